//! `on_…`: functions that setting threads call.

use super::Watched;
use crate::callback::{Callback, OnChange, OnValue};
use crate::observers::Follow;
use crate::transition::Transition;
use alloc::boxed::Box;

/// Callbacks. They run on setting threads, in order, one at a time, after watchers and waits were served; no executor
/// is needed. One that panics stays registered and reaches nobody else (`std`).
impl<T: Clone + Send + 'static> Watched<T> {
    /// Calls `f` at every transition from now on, for as long as the [`Callback`] lives.
    ///
    /// `f` may call any method of any `Watched`; what it sets is called back after it has returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// let log = Arc::new(Mutex::new(Vec::new()));
    /// let state = onlooker::Watched::new(0);
    /// let sink = log.clone();
    /// let callback = state.on_change(move |change| sink.lock().unwrap().push((change.old, change.new)));
    /// state.set(1);
    /// state.set(2);
    /// assert_eq!(*log.lock().unwrap(), [(0, 1), (1, 2)]);
    /// # drop(callback);
    /// ```
    pub fn on_change(&self, f: impl FnMut(&Transition<T>) + Send + 'static) -> Callback {
        let call = Box::new(OnChange(f));
        let shared = self.cell.shared().clone();
        let key = shared.lock.with(|state| {
            let seq = state.seq;
            state.observers().join_callback(seq, call)
        });
        Callback::new(shared, key)
    }

    /// Calls `f` once: when the state becomes `value`, or at once if it is that already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// let log = Arc::new(Mutex::new(Vec::new()));
    /// let state = onlooker::Watched::new("open");
    /// let sink = log.clone();
    /// let callback = state.on_value("closed", move |value| sink.lock().unwrap().push(*value));
    /// state.set("closed");
    /// assert_eq!(*log.lock().unwrap(), ["closed"]);
    /// # drop(callback);
    /// ```
    pub fn on_value(&self, value: T, f: impl FnOnce(&T) + Send + 'static) -> Callback
    where
        T: PartialEq,
    {
        let mut call = Some(Box::new(OnValue { value, f: Some(f) }));
        let shared = self.cell.shared().clone();
        loop {
            let key = shared.act(|state| {
                let seq = state.seq;
                let (present, observers) = state.parts();
                let is_it = call.as_ref().is_some_and(|call| call.value == *present);
                if is_it && observers.must_wait() {
                    return (None, Follow::Nothing);
                }
                let debut = is_it.then(|| present.clone());
                let key = call.take().map(|call| observers.join_callback(seq, call));
                let follow = match (debut, key) {
                    (Some(present), Some(key)) => observers.show_callback(key, seq, present),
                    _ => Follow::Nothing,
                };
                (key, follow)
            });
            match key {
                Some(key) => return Callback::new(shared, key),
                None => self.cell.wait_for_relief(),
            }
        }
    }
}
