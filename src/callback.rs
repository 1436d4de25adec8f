//! Functions that setting threads call.

use crate::cell::{Owing, Shared};
use crate::observers::{Call, Calls, Heard, Left, Origin, Place};
use crate::slab::Key;
use crate::sync::{Arc, Slot, forbid_in_closure};
use crate::transition::Transition;
use alloc::boxed::Box;
use core::fmt;

/// Keeps a callback registered for as long as it lives.
///
/// Made by [`on_change`](crate::Watched::on_change) and [`on_value`](crate::Watched::on_value). Dropping it deregisters
/// the callback and drops its closure: once the drop has returned no call starts any more. A call that is running on
/// another thread at that moment finishes (and the closure is dropped there); the drop does not wait for it, and may
/// stand inside the callback itself.
///
/// # Examples
///
/// ```
/// use onlooker::Watched;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// static CALLS: AtomicU32 = AtomicU32::new(0);
/// let state = Watched::new(0);
/// let callback = state.on_change(|_| { CALLS.fetch_add(1, Relaxed); });
/// state.set(1);
/// drop(callback);
/// state.set(2);
/// assert_eq!(CALLS.load(Relaxed), 1);
/// ```
#[must_use = "dropping a `Callback` deregisters it; keep it, or call `detach` to keep it for the life of the state"]
pub struct Callback {
    leave: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Callback {
    #[track_caller]
    pub(crate) fn on_change<T: Clone + Send + 'static>(
        shared: &Arc<Shared<T>>,
        f: impl FnMut(&Transition<T>) + Send + 'static,
    ) -> Self {
        let origin = Origin::at(0);
        let mut f = f;
        let call: Call<T> = Box::new(move |heard: &Heard<T>| {
            if let Heard::Transition(transition) = heard {
                f(transition);
            }
            false
        });
        // Out here: a panic under the lock drops nothing there.
        let mut call = Slot(Some(call));
        let mut left = Left::new();
        let key = shared.register(&mut left, |state, _| {
            let seq = state.seq;
            state.calls().join(call.give(), origin.since(seq))
        });
        let callback = Self::new(shared, key);
        left.before(callback)
    }

    #[track_caller]
    pub(crate) fn on_value<T: Clone + PartialEq + Send + 'static>(
        shared: &Arc<Shared<T>>,
        value: T,
        f: impl FnOnce(&T) + Send + 'static,
    ) -> Self {
        // Out here, and each by itself: a panic under the lock drops nothing there.
        let (value, mut f) = (Slot(Some(value)), Slot(Some(f)));
        forbid_in_closure();
        let origin = Origin::at(0);
        let target = Slot(value.0.clone());
        let call: Call<T> = Box::new(move |heard: &Heard<T>| {
            let new = match heard {
                Heard::Transition(transition) => &transition.new,
                Heard::Present(_, value) => value,
            };
            if Some(new) == target.0.as_ref() {
                if let Some(f) = f.0.take() {
                    f(new);
                }
            }
            f.0.is_none()
        });
        let mut call = Slot(Some(call));
        let (mut owing, mut left) = (Owing::new(), Left::new());
        let key = shared.register(&mut left, |state, _| {
            let present = state
                .value
                .as_ref()
                .filter(|present| Some(*present) == value.0.as_ref());
            let present = present.cloned();
            let seq = state.seq;
            let calls = state.calls();
            let key = calls.join(call.give(), origin.since(seq));
            // What is there already lines up like a transition.
            if let Some(present) = present {
                let ticket = calls.push(Heard::Present(key, present), false);
                owing.ticket = state.call_back.map(|call_back| (ticket, call_back));
            }
            key
        });
        let callback = Self::new(shared, key);
        Shared::pay(shared, &mut owing);
        drop((value, call));
        left.before(callback)
    }

    fn new<T: Send + 'static>(shared: &Arc<Shared<T>>, key: Key) -> Self {
        let shared = shared.clone();
        Self {
            leave: Some(Box::new(move || shared.leave(Place::callback(key)))),
        }
    }

    /// Keeps the callback registered for the life of the state.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new(0);
    /// state.on_change(|change| println!("{} -> {}", change.old, change.new)).detach();
    /// state.set(1);
    /// ```
    pub fn detach(mut self) {
        self.leave = None;
    }
}

impl<T: Clone + Send + 'static> crate::cell::State<T> {
    /// The callbacks, with what it takes to call them.
    fn calls(&mut self) -> &mut Calls<T> {
        self.call_back = Some(Shared::call_back_in_turn);
        let calls = &mut self.observers.calls;
        calls.get_or_insert_with(|| Box::new(Calls::new()))
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(leave) = &self.leave {
            leave();
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}
