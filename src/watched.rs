//! The public face: a value that hides no state from those who watch it.

use crate::cell::{Cell, Shared, State};
use crate::inspect::debug;
use crate::look::looking;
use crate::observers::{History, Method, Shown, Test};
use crate::paced::{SetPaced, try_set_paced};
use crate::sync::{Arc, Held, Slot, const_fn};
use crate::transition::Transition;
use crate::view::View;
use crate::wait::{Start, Wait};
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// A value that hides no state from those who watch it.
///
/// A plain struct: put it in a `static`, an `Arc`, or a field. Any thread may set it through a shared reference; no
/// allocation happens until something observes.
///
/// It is the right to set the value. What a library hands out and a task takes along is a [`View`], of
/// [`view`](Self::view).
///
/// # Panics
///
/// Closures of [`read`](Self::read), [`set_if`](Self::set_if), [`update`](Self::update),
/// [`try_update`](Self::try_update), [`modify`](Self::modify) and [`replace_with`](Self::replace_with), and `T`'s own
/// `PartialEq` and `Clone`, run under the state's lock. Calling the same state there panics, and so does setting any
/// other; the message names the rule, and the state stays usable. A predicate of a wait calls no state at all. Guards,
/// futures, watchers and views may be dropped there.
///
/// # Examples
///
/// ```
/// use onlooker::Watched;
///
/// static MODE: Watched<&str> = Watched::new("idle");
///
/// let busy = MODE.wait_for("busy");
/// MODE.set("busy");
/// MODE.set("idle");
/// assert_eq!(busy.wait(), "busy");
/// ```
pub struct Watched<T> {
    cell: Cell<T>,
}

impl<T> Watched<T> {
    const_fn! {
        /// A state with this value, at version 0.
        pub const fn new(value: T) -> Self {
            Self {
                cell: Cell::new(value, None),
            }
        }
    }

    const_fn! {
        /// A state with this value, at version 0, that keeps its last `kept` transitions (`usize::MAX`: all) for
        /// [`watch_since`](Self::watch_since).
        ///
        /// At most `2 * kept + 1` values are alive for it.
        ///
        /// # Examples
        ///
        /// ```
        /// use onlooker::Watched;
        ///
        /// static STATUS: Watched<u32> = Watched::with_history(0, 100);
        /// ```
        pub const fn with_history(value: T, kept: usize) -> Self
        where
            T: Clone,
        {
            Self {
                cell: Cell::new(value, Some((kept, History::new))),
            }
        }
    }

    // Writing

    /// Stores `value`; says whether that was a transition. Storing an equal value is none.
    ///
    /// Never fails, waits for no reader, and stores whether or not anybody watches. When it returns, watchers, waits
    /// and views have the transition, and callbacks have been called with it; only inside a callback, a waker or a drop
    /// that another setter of this thread runs, callbacks come after what is under way.
    ///
    /// # Blocking
    ///
    /// Runs the callbacks of its transition, and waits for those of earlier transitions that another thread is running.
    ///
    /// # Panics
    ///
    /// Inside a closure or a predicate of any state. Where a value's own code or a waker panics, all others are served
    /// first; then that panic goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(1);
    /// assert!(state.set(2));
    /// assert!(!state.set(2));
    /// assert_eq!(state.version(), 1);
    /// ```
    #[inline]
    #[track_caller]
    #[doc(alias = "send")]
    pub fn set(&self, value: T) -> bool
    where
        T: PartialEq,
    {
        // Under the lock: compare, swap, count, fill rings, judge waits. Released: wake, drop, call back. What the slot
        // holds then, the old value or a refused one, is dropped last.
        let mut slot = Slot(Some(value));
        self.cell.write(&mut slot, differs)
    }

    /// Stores `value` and returns the one before. Always a transition, even to an equal value.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(1);
    /// assert_eq!(state.replace(1), 1);
    /// assert_eq!(state.version(), 1);
    /// ```
    #[doc(alias = "send_replace")]
    #[track_caller]
    pub fn replace(&self, value: T) -> T {
        let mut slot = Slot(Some(value));
        self.cell.write(&mut slot, |_, _| true);
        slot.take()
    }

    /// Stores what `f` makes of the present value, in one step, and returns the one before. Always a transition: for
    /// types without `PartialEq`.
    ///
    /// # Examples
    ///
    /// ```
    /// let count = onlooker::Watched::new(1);
    /// assert_eq!(count.replace_with(|n| n + 1), 1);
    /// assert_eq!(count.get(), 2);
    /// ```
    #[track_caller]
    pub fn replace_with(&self, f: impl FnOnce(&T) -> T) -> T {
        let mut slot = Slot(None);
        self.cell.write(&mut slot, |present, new| {
            *new = Some(f(present));
            true
        });
        slot.take()
    }

    /// Stores `value` if `condition` holds for the present one, in one step.
    ///
    /// `Ok` if it held; were the values equal, nothing happened.
    ///
    /// # Errors
    ///
    /// Gives `value` back if the condition did not hold.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new("open");
    /// assert_eq!(state.set_if("closing", |now| *now == "open"), Ok(()));
    /// assert_eq!(state.set_if("closing", |now| *now == "open"), Err("closing"));
    /// ```
    #[doc(alias = "send_if_modified")]
    #[doc(alias = "compare_exchange")]
    #[track_caller]
    pub fn set_if(&self, value: T, condition: impl FnOnce(&T) -> bool) -> Result<(), T>
    where
        T: PartialEq,
    {
        let mut slot = Slot(Some(value));
        let mut held = false;
        self.cell.write(&mut slot, |present, new| {
            held = condition(present);
            held && differs(present, new)
        });
        if held { Ok(()) } else { Err(slot.take()) }
    }

    /// Stores what `f` makes of the present value, in one step, and returns the value before. An equal result is no
    /// transition.
    ///
    /// # Examples
    ///
    /// ```
    /// let count = onlooker::Watched::new(1);
    /// assert_eq!(count.update(|n| n + 1), 1);
    /// assert_eq!(count.get(), 2);
    /// ```
    #[track_caller]
    pub fn update(&self, f: impl FnOnce(&T) -> T) -> T
    where
        T: Clone + PartialEq,
    {
        match self.try_update(|value| Some(f(value))) {
            Ok(previous) | Err(previous) => previous,
        }
    }

    /// Stores what `f` makes of the present value, if it makes something, in one step; returns the value before.
    ///
    /// An equal result is no transition.
    ///
    /// # Errors
    ///
    /// The present value, if `f` gave `None`.
    ///
    /// # Examples
    ///
    /// ```
    /// let tickets = onlooker::Watched::new(1_u32);
    /// assert_eq!(tickets.try_update(|n| n.checked_sub(1)), Ok(1));
    /// assert_eq!(tickets.try_update(|n| n.checked_sub(1)), Err(0));
    /// ```
    #[doc(alias = "fetch_update")]
    #[track_caller]
    pub fn try_update(&self, f: impl FnOnce(&T) -> Option<T>) -> Result<T, T>
    where
        T: Clone + PartialEq,
    {
        let (mut slot, mut stays) = (Slot(None), Slot(None));
        let commits = self.cell.write(&mut slot, |present, new| {
            *new = f(present);
            let commits = new.is_some() && differs(present, new);
            if !commits {
                stays.0 = Some(present.clone());
            }
            commits
        });
        if commits {
            return Ok(slot.take());
        }
        // What is not given back goes first: its drop may panic.
        let made = slot.0.is_some();
        drop(slot);
        if made {
            Ok(stays.take())
        } else {
            Err(stays.take())
        }
    }

    /// Changes the value in place, in one step; says whether that was a transition.
    ///
    /// `f` works on a clone, which is published if it differs: a panic in `f` changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let list = onlooker::Watched::new(vec![1]);
    /// assert!(list.modify(|list| list.push(2)));
    /// assert_eq!(list.get(), [1, 2]);
    /// ```
    #[doc(alias = "send_modify")]
    #[track_caller]
    pub fn modify(&self, f: impl FnOnce(&mut T)) -> bool
    where
        T: Clone + PartialEq,
    {
        let mut slot = Slot(None);
        self.cell.write(&mut slot, |present, new| {
            f(new.insert(present.clone()));
            differs(present, new)
        })
    }

    /// Waits until every bounded buffer has room, then sets: nothing is lost, at the price of a setter that waits for
    /// its readers. The output says whether it was a transition; an equal value is none.
    ///
    /// Fair: paced setters set in the order in which they first found no room. Plain setters do not queue; they may
    /// take the room first.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has set nothing, and the next in line has its place. **One that is kept but no longer
    /// polled keeps its place, and those behind it wait**: in a `select!` that goes round, let it go, or poll it on.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::{Overflow, Watched};
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
    /// state.set_paced(1).await;
    /// let (set, received) = futures_lite::future::zip(state.set_paced(2), watcher.recv()).await;
    /// assert!(set);
    /// assert_eq!(received.unwrap().new, 1);
    /// assert_eq!(watcher.missed(), 0);
    /// # });
    /// ```
    #[track_caller]
    pub fn set_paced(&self, value: T) -> SetPaced<'_, T>
    where
        T: PartialEq,
    {
        SetPaced::new(&self.cell, value)
    }

    /// Sets at once if every bounded buffer has room and nobody stands in line for it. Says whether that was a
    /// transition; an equal value is none, whatever the room.
    ///
    /// # Errors
    ///
    /// Gives `value` back if there is no room.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{Overflow, Watched};
    ///
    /// let state = Watched::new(0);
    /// let _watcher = state.watch_bounded(1, Overflow::DropNewest);
    /// assert_eq!(state.try_set_paced(1), Ok(true));
    /// assert_eq!(state.try_set_paced(1), Ok(false));
    /// assert_eq!(state.try_set_paced(2), Err(2));
    /// ```
    #[track_caller]
    pub fn try_set_paced(&self, value: T) -> Result<bool, T>
    where
        T: PartialEq,
    {
        try_set_paced(&self.cell, value)
    }

    // Handing out

    /// Returns a view: the value, without the right to set it.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let view = state.view();
    /// state.set(1);
    /// assert_eq!(view.get(), 1);
    /// ```
    #[track_caller]
    pub fn view(&self) -> View<T> {
        View::new(&self.shared())
    }

    #[inline]
    fn host(&self) -> &Cell<T> {
        &self.cell
    }

    #[inline]
    #[track_caller]
    fn shared(&self) -> Held<'_, Arc<Shared<T>>> {
        self.cell.shared()
    }

    #[track_caller]
    fn observed<R>(&self, f: impl FnOnce(&State<T>) -> R) -> Option<R> {
        self.cell.observed(f)
    }
}

/// Whether the new value would be a transition.
#[inline]
fn differs<T: PartialEq>(present: &T, new: &mut Option<T>) -> bool {
    new.as_ref().is_some_and(|new| *new != *present)
}

looking!(Watched, Wait ['_,]; "state", "", "", "");

/// Waiting for those who look.
impl<T: Send + 'static> Watched<T> {
    /// Waits until nobody has a [`View`], [`Watcher`](crate::Watcher) or [`OwnedWait`](crate::OwnedWait): now, or at any
    /// moment since.
    ///
    /// For a graceful end: hand a view to every connection, and wait until all are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let shutdown = onlooker::Watched::new(false);
    /// let connection = shutdown.view();
    /// let idle = shutdown.wait_unwatched();
    /// std::thread::spawn(move || connection.wait_for(true).wait());
    /// shutdown.set(true);
    /// idle.wait();
    /// ```
    #[track_caller]
    #[doc(alias = "closed")]
    pub fn wait_unwatched(&self) -> Wait<'_, ()> {
        let unwatched = |shown: &Shown<'_, T>| matches!(shown, Shown::Lookers(0)).then_some(());
        Wait::new(
            self.host(),
            Method::Unwatched,
            Test::shown(unwatched),
            Start::Now,
        )
    }

    /// Waits until somebody has a [`View`], [`Watcher`](crate::Watcher) or [`OwnedWait`](crate::OwnedWait): now, or at
    /// any moment since.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let somebody = state.wait_watched();
    /// drop(state.view());
    /// somebody.wait();
    /// ```
    #[track_caller]
    pub fn wait_watched(&self) -> Wait<'_, ()> {
        let watched = |shown: &Shown<'_, T>| matches!(shown, Shown::Lookers(1..)).then_some(());
        Wait::new(
            self.host(),
            Method::Watched,
            Test::shown(watched),
            Start::Now,
        )
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.cell.end();
    }
}

// As std's `Mutex`: every critical section leaves the state whole, whatever panics.
impl<T> UnwindSafe for Watched<T> {}
impl<T> RefUnwindSafe for Watched<T> {}

impl<T: Default> Default for Watched<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Watched<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f.debug_struct("Watched"), |show| self.cell.peek(show))
    }
}
