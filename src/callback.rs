//! Functions that setting threads call.

use crate::cell::Shared;
use crate::observers::{Judged, Place};
use crate::roll::Key;
use crate::sync::Arc;
use crate::transition::Transition;
use alloc::boxed::Box;
use core::fmt;

/// Keeps a callback registered for as long as it lives.
///
/// Made by [`Watched::on_change`](crate::Watched::on_change) and [`Watched::on_value`](crate::Watched::on_value).
/// Dropping it deregisters the callback and drops its closure: once the drop has returned no call starts any more. A
/// call that is running on another thread at that moment finishes (and the closure is dropped there); the drop does
/// not wait for it, and may stand inside the callback itself.
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
    pub(crate) fn new<T: Send + 'static>(shared: Arc<Shared<T>>, key: Key) -> Self {
        Self {
            seat: Some(Box::new(Seated { shared, key })),
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

impl Drop for Callback {
    fn drop(&mut self) {
        if let (Some(seat), false) = (&self.seat, cfg!(fault = "callback_stays")) {
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

/// A callback, as the calling thread sees it.
pub(crate) trait Call<T>: Send {
    /// Says whether that was its last call.
    fn call(&mut self, judged: &Judged<T>) -> bool;
}

/// Called at every transition.
pub(crate) struct OnChange<F>(pub(crate) F);

impl<T, F: FnMut(&Transition<T>) + Send> Call<T> for OnChange<F> {
    fn call(&mut self, judged: &Judged<T>) -> bool {
        if let Judged::Transition(transition) = judged {
            (self.0)(transition);
        }
        false
    }
}

/// Called once, at the first transition to a value.
pub(crate) struct OnValue<T, F> {
    pub(crate) value: T,
    pub(crate) f: Option<F>,
}

impl<T: PartialEq + Send, F: FnOnce(&T) + Send> Call<T> for OnValue<T, F> {
    fn call(&mut self, judged: &Judged<T>) -> bool {
        let new = match judged {
            Judged::Transition(transition) => &transition.new,
            Judged::Debut(_, value) => value,
        };
        if *new == self.value {
            if let Some(f) = self.f.take() {
                f(new);
            }
        }
        self.f.is_none()
    }
}
