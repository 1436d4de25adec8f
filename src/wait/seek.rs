//! What waits look for, and what they find.

use crate::observers::{Predicate, Shown, Test, find_equal};
use crate::sync::Slot;
use crate::transition::Transition;
use alloc::boxed::Box;
use core::any::Any;

impl<T> Test<T> {
    /// An equal value.
    pub(crate) fn equal(target: T) -> Self
    where
        T: Clone + PartialEq,
    {
        Test::Equal(Slot(Some(target)), (find_equal::<T>, T::clone))
    }

    /// A value that a function makes something of.
    pub(crate) fn seek<U: Send + 'static>(
        mut seek: impl FnMut(&T) -> Option<U> + Send + 'static,
    ) -> Self {
        Self::shown(move |shown| match *shown {
            Shown::Present(value) | Shown::Transition { new: value, .. } => seek(value),
            Shown::Lookers(_) => None,
        })
    }

    /// Anything that a function makes something of.
    pub(crate) fn shown<U: Send + 'static>(
        seek: impl FnMut(&Shown<'_, T>) -> Option<U> + Send + 'static,
    ) -> Self {
        let found = Slot(None);
        Test::Judged(Some(Box::new(Seek { seek, found })))
    }

    /// Any transition.
    pub(crate) fn change() -> Self
    where
        T: Clone + Send + 'static,
    {
        Test::Judged(Some(Box::new(SeekChange { found: None })))
    }
}

/// A predicate that makes a `U` of what it is shown, and keeps it.
struct Seek<F, U> {
    seek: F,
    found: Slot<U>,
}

impl<T, U: Send + 'static, F> Predicate<T> for Seek<F, U>
where
    F: FnMut(&Shown<'_, T>) -> Option<U> + Send,
{
    fn judge(&mut self, shown: &Shown<'_, T>) -> bool {
        self.found.0 = (self.seek)(shown);
        self.found.0.is_some()
    }

    fn give(&mut self, into: &mut dyn Any) {
        give(into, self.found.0.take());
    }
}

/// The next transition. Its values are dropped each by itself.
struct SeekChange<T> {
    found: Option<(u64, Slot<T>, Slot<T>)>,
}

impl<T: Clone + Send + 'static> Predicate<T> for SeekChange<T> {
    fn judge(&mut self, shown: &Shown<'_, T>) -> bool {
        if let Shown::Transition { seq, old, new } = *shown {
            let old = Slot(Some(old.clone()));
            self.found = Some((seq, old, Slot(Some(new.clone()))));
        }
        self.found.is_some()
    }

    fn give(&mut self, into: &mut dyn Any) {
        if let Some((seq, old, new)) = self.found.take() {
            let (old, new, missed) = (old.take(), new.take(), 0);
            give(
                into,
                Some(Transition {
                    old,
                    new,
                    seq,
                    missed,
                }),
            );
        }
    }
}

/// Puts `found` into the `Option` that waits for it.
pub(super) fn give<U: 'static>(into: &mut dyn Any, found: Option<U>) {
    if let Some(into) = into.downcast_mut::<Option<U>>() {
        *into = found;
    }
}
