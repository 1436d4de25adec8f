//! Interrupts: a critical section.

use core::cell::{OnceCell, RefCell};
use critical_section::Mutex;

pub(crate) struct Lock<S>(Mutex<RefCell<S>>);

impl<S> Lock<S> {
    pub(crate) const fn new(state: S) -> Self {
        Self(Mutex::new(RefCell::new(state)))
    }

    /// Runs `f` alone, with interrupts masked; `None` if this very context is inside already.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut S) -> R) -> Option<R> {
        critical_section::with(|cs| {
            let mut state = self.0.borrow(cs).try_borrow_mut().ok()?;
            Some(f(&mut state))
        })
    }

    /// Whether this very context is inside.
    pub(crate) fn is_held_here(&self) -> bool {
        critical_section::with(|cs| self.0.borrow(cs).try_borrow_mut().is_err())
    }
}

pub(crate) struct Once<V>(Mutex<OnceCell<V>>);

pub(crate) type Held<'a, V> = V;

impl<V: Clone> Once<V> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(OnceCell::new()))
    }

    pub(crate) fn get(&self) -> Option<Held<'_, V>> {
        critical_section::with(|cs| self.0.borrow(cs).get().cloned())
    }

    pub(crate) fn set(&self, value: V) {
        critical_section::with(|cs| {
            let _ = self.0.borrow(cs).set(value);
        });
    }
}
