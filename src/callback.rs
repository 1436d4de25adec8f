//! Functions that setting threads call.

use crate::cell::{Owing, Shared};
use crate::observers::{Call, Calls, Heard, Origin, Place};
use crate::slab::Key;
use crate::sync::{Arc, erase, forbid_in_closure};
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
    seat: Option<Box<dyn Leave>>,
}

impl Callback {
    #[track_caller]
    pub(crate) fn on_change<T: Clone + Send + 'static>(
        shared: &Arc<Shared<T>>,
        f: impl FnMut(&Transition<T>) + Send + 'static,
    ) -> Self {
        let origin = Origin::at(0);
        let call = Box::new(OnChange(f));
        let key = shared.with(|state, _| {
            let seq = state.seq;
            state.calls().join(call, origin.since(seq))
        });
        Self::new(shared, key)
    }

    #[track_caller]
    pub(crate) fn on_value<T: Clone + PartialEq + Send + 'static>(
        shared: &Arc<Shared<T>>,
        value: T,
        f: impl FnOnce(&T) + Send + 'static,
    ) -> Self {
        forbid_in_closure();
        let origin = Origin::at(0);
        let call = Box::new(OnValue { value, f: Some(f) });
        let mut owing = Owing::new();
        let key = shared.with(|state, _| {
            let present = match &state.value {
                Some(present) if *present == call.value => Some(present.clone()),
                _ => None,
            };
            let seq = state.seq;
            let calls = state.calls();
            let key = calls.join(call, origin.since(seq));
            // What is there already lines up like a transition.
            if let Some(present) = present {
                owing
                    .debts
                    .own
                    .call(calls.push(Heard::Present(key, present)));
            }
            key
        });
        let callback = Self::new(shared, key);
        Shared::pay(shared, owing);
        callback
    }

    fn new<T: Send + 'static>(shared: &Arc<Shared<T>>, key: Key) -> Self {
        Self {
            seat: Some(Box::new(Seated {
                shared: shared.clone(),
                key,
            })),
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
        self.seat = None;
    }
}

impl<T: Clone + Send + 'static> crate::cell::State<T> {
    /// The callbacks, with what it takes to call them.
    fn calls(&mut self) -> &mut Calls<T> {
        self.erase = Some(|shared| erase!(shared.clone() => dyn crate::settle::AnyState));
        let calls = &mut self.observers.calls;
        calls.get_or_insert_with(|| Box::new(Calls::new(T::clone)))
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            seat.leave();
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

/// A callback's place, whatever the type of the state.
trait Leave: Send + Sync {
    fn leave(&self);
}

struct Seated<T> {
    shared: Arc<Shared<T>>,
    key: Key,
}

impl<T: Send> Leave for Seated<T> {
    fn leave(&self) {
        self.shared.leave(Place::Callback(self.key));
    }
}

/// Called at every transition.
struct OnChange<F>(F);

impl<T, F: FnMut(&Transition<T>) + Send> Call<T> for OnChange<F> {
    fn call(&mut self, heard: &Heard<T>) -> bool {
        if let Heard::Transition(transition) = heard {
            (self.0)(transition);
        }
        false
    }
}

/// Called once, at the first transition to a value.
struct OnValue<T, F> {
    value: T,
    f: Option<F>,
}

impl<T: PartialEq + Send, F: FnOnce(&T) + Send> Call<T> for OnValue<T, F> {
    fn call(&mut self, heard: &Heard<T>) -> bool {
        let new = match heard {
            Heard::Transition(transition) => &transition.new,
            Heard::Present(_, value) => value,
        };
        if *new == self.value {
            if let Some(f) = self.f.take() {
                f(new);
            }
        }
        self.f.is_none()
    }
}
