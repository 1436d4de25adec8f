//! The looking face: a value without the right to set it.

use crate::cell::{Shared, State};
use crate::inspect::debug;
use crate::look::looking;
use crate::observers::{Left, Method, Place, Test};
use crate::sync::Arc;
use crate::transition::Transition;
use crate::wait::{OwnedWait, Start};
use crate::watcher::Watcher;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// The value of a [`Watched`](crate::Watched), without the right to set it: what a library hands out, what a task takes
/// along.
///
/// It looks, waits, watches and calls back like the `Watched`, and is `Clone`, `Send`, `Sync` and `'static`. Its waits
/// are [`OwnedWait`]s. When the `Watched` is gone they give [`Closed`](crate::Closed), and the last value still counts as
/// the present one.
///
/// # Examples
///
/// ```
/// use onlooker::{View, Watched};
///
/// /// A library publishes what its connection is doing.
/// pub struct Connection {
///     state: Watched<&'static str>,
/// }
///
/// impl Connection {
///     pub fn state(&self) -> View<&'static str> {
///         self.state.view()
///     }
/// }
///
/// let connection = Connection { state: Watched::new("connecting") };
/// let connected = connection.state().wait_for("connected");
/// connection.state.set("connected");
/// drop(connection);
/// assert_eq!(connected.wait(), Ok("connected"));
/// ```
pub struct View<T> {
    shared: Arc<Shared<T>>,
}

impl<T> View<T> {
    #[track_caller]
    pub(crate) fn new(shared: &Arc<Shared<T>>) -> Self {
        let mut left = Left::new();
        shared.register(&mut left, |state, left| state.observers.join_view(left));
        left.before(Self {
            shared: shared.clone(),
        })
    }

    /// One that has been counted already.
    pub(crate) fn counted(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Returns whether the `Watched` is gone, or, of a derived view, all that it is derived from.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(7);
    /// let view = state.view();
    /// drop(state);
    /// assert!(view.is_closed());
    /// assert_eq!(view.get(), 7);
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }

    /// Returns whether two views show the same state.
    ///
    /// # Examples
    ///
    /// ```
    /// let (a, b) = (onlooker::Watched::new(0), onlooker::Watched::new(0));
    /// assert!(a.view().same_state(&a.view()));
    /// assert!(!a.view().same_state(&b.view()));
    /// ```
    pub fn same_state(&self, other: &View<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    #[inline]
    pub(crate) fn host(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    #[inline]
    fn shared(&self) -> &Arc<Shared<T>> {
        &self.shared
    }

    #[track_caller]
    fn observed<R>(&self, f: impl FnOnce(&State<T>) -> R) -> Option<R> {
        Some(self.shared.with(|state, _: &mut Left<T>| f(state)))
    }
}

looking!(View, OwnedWait []; "view", "let view = state.view();", "Ok(", ")");

impl<T> Watcher<T> {
    /// Returns a view of the state that it watches.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// state.set(1);
    /// assert_eq!((*watcher.seen(), watcher.view().get()), (0, 1));
    /// ```
    #[track_caller]
    pub fn view(&self) -> View<T> {
        View::new(&self.shared)
    }
}

impl<T> Clone for View<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl<T> Drop for View<T> {
    fn drop(&mut self) {
        self.shared.leave(Place::view());
    }
}

// As std's `Mutex`: every critical section leaves the state whole, whatever panics.
impl<T> UnwindSafe for View<T> {}
impl<T> RefUnwindSafe for View<T> {}

impl<T: fmt::Debug> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f.debug_struct("View"), |show| self.shared.peek(show))
    }
}
