//! The public face: a value that hides no state from those who watch it.

mod callbacks;
mod waits;

use crate::cell::Cell;
use crate::observers::Observers;
use crate::paced::SetPaced;
use crate::reader::Reader;
use crate::ring::{Overflow, Ring, Seat, feed};
use crate::sync::{Arc, const_fn};
use crate::watcher::Watcher;
use core::fmt;

/// A value that hides no state from those who watch it.
///
/// A plain struct: put it in a `static`, an `Arc`, or a field. Any thread may set it through a shared reference; no
/// allocation happens until something observes.
///
/// # Panics
///
/// Every method panics, with a message that names the rule, when it is called from inside a closure of
/// [`read`](Self::read), [`set_if`](Self::set_if), [`update`](Self::update), [`try_update`](Self::try_update) or
/// [`modify`](Self::modify) of the same state, or from `T`'s own `PartialEq` or `Clone` while the state compares or
/// clones: these run under its lock. The state stays usable. A watcher, wait or callback may be dropped there: it
/// leaves as soon as the lock is free.
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
                cell: Cell::new(value),
            }
        }
    }

    /// Ends the state and gives its value back. Watchers drain what they have, then end.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(String::from("last"));
    /// assert_eq!(state.into_inner(), "last");
    /// ```
    pub fn into_inner(mut self) -> T {
        match self.cell.close() {
            Some(value) => value,
            None => unreachable!("only this and the drop take the value"),
        }
    }

    // Writing

    /// Stores `value`; says whether that was a transition. Storing an equal value is none.
    ///
    /// Never fails and waits for no reader. When it returns, watchers and value waits have the transition, and
    /// predicates and callbacks have seen it too, unless another thread is delivering at that moment, which then
    /// does it right away.
    ///
    /// # Blocking
    ///
    /// Predicates and callbacks run on setting threads. While more than a thousand transitions are on their way to
    /// them, because they take longer than the setters, a setter sleeps until they have caught up; one inside such a
    /// predicate or callback never does.
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
    #[doc(alias = "send")]
    pub fn set(&self, value: T) -> bool
    where
        T: PartialEq,
    {
        let mut value = value;
        // Under the lock: compare, swap, count, fill rings, latch value waits. Released: wake, then predicates, then
        // callbacks. What `value` holds then, old or refused, is dropped last.
        self.cell.write(|state, owed| {
            let changes = *state.value() != value || cfg!(fault = "equal_counts");
            if changes {
                state.commit(&mut value, owed);
            }
            changes
        })
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
    pub fn replace(&self, value: T) -> T {
        let mut value = value;
        self.cell
            .write(|state, owed| state.commit(&mut value, owed));
        value
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
    pub fn set_if(&self, value: T, condition: impl FnOnce(&T) -> bool) -> Result<(), T>
    where
        T: PartialEq,
    {
        let mut value = value;
        let held = self.cell.write(|state, owed| {
            let held = condition(state.value());
            if held && *state.value() != value {
                state.commit(&mut value, owed);
            }
            held
        });
        if held { Ok(()) } else { Err(value) }
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
    pub fn try_update(&self, f: impl FnOnce(&T) -> Option<T>) -> Result<T, T>
    where
        T: Clone + PartialEq,
    {
        let mut made = None;
        let present = self.cell.write(|state, owed| {
            made = f(state.value());
            match &mut made {
                Some(new) if *new != *state.value() => {
                    state.commit(new, owed);
                    None
                }
                _ => Some(state.value().clone()),
            }
        });
        match (present, made) {
            (None, Some(previous)) => Ok(previous),
            (Some(previous), Some(_equal)) => Ok(previous),
            (Some(present), None) => Err(present),
            (None, None) => unreachable!("without a new value the present one comes back"),
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
    pub fn modify(&self, f: impl FnOnce(&mut T)) -> bool
    where
        T: Clone + PartialEq,
    {
        // Declared out here, as everywhere: a panic under the lock drops no value there.
        let mut made = None;
        self.cell.write(|state, owed| {
            let value = made.insert(state.value().clone());
            f(value);
            let changes = *value != *state.value();
            if changes {
                state.commit(value, owed);
            }
            changes
        })
    }

    /// Waits until every bounded buffer has room, then sets: nothing is lost, at the price of a setter that waits for
    /// its readers. The output says whether it was a transition.
    ///
    /// Fair: paced setters set in the order in which they first found no room. Plain setters do not queue; they may
    /// take the room first.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has set nothing, and the next in line has its place.
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
    pub fn set_paced(&self, value: T) -> SetPaced<'_, T>
    where
        T: PartialEq,
    {
        SetPaced::new(&self.cell, value)
    }

    // Reading

    /// A clone of the present value.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(onlooker::Watched::new(7).get(), 7);
    /// ```
    #[inline]
    #[doc(alias = "borrow")]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.read(T::clone)
    }

    /// What `f` makes of the present value, without cloning it. `f` runs under the state's lock: keep it short.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = onlooker::Watched::new(String::from("sensor"));
    /// assert_eq!(name.read(|name| name.len()), 6);
    /// ```
    #[inline]
    pub fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.cell.with(|state| f(state.value()))
    }

    /// How many transitions there were so far. [`Transition::seq`](crate::Transition::seq) counts the same way.
    ///
    /// Read without the lock, where the target can: while another thread commits a transition, this may count it a moment
    /// before watchers have it.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// state.set(1);
    /// state.set(1);
    /// assert_eq!(state.version(), 1);
    /// ```
    #[inline]
    pub fn version(&self) -> u64 {
        self.cell.forbid_reentry();
        self.cell.version()
    }

    /// A cached view for hot loops, which reads again only when the version moved.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let mut reader = state.reader();
    /// state.set(1);
    /// assert_eq!(*reader.get(), 1);
    /// ```
    pub fn reader(&self) -> Reader<'_, T>
    where
        T: Clone,
    {
        Reader::new(&self.cell)
    }

    /// How many [`Watcher`]s there are.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let watcher = state.watch();
    /// assert_eq!(state.watcher_count(), 1);
    /// drop(watcher);
    /// assert_eq!(state.watcher_count(), 0);
    /// ```
    #[doc(alias = "receiver_count")]
    pub fn watcher_count(&self) -> usize {
        self.cell
            .with(|state| state.seen_by().map_or(0, |observers| observers.seats.len()))
    }

    // Watching

    /// Subscribes, with a buffer that grows as it must: nothing is ever missed.
    ///
    /// Registration and the snapshot [`seen`](Watcher::seen) are one step: no transition comes between.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// state.set(1);
    /// state.set(2);
    /// assert_eq!(watcher.try_recv().unwrap().new, 1);
    /// assert_eq!(watcher.try_recv().unwrap().new, 2);
    /// ```
    #[doc(alias = "subscribe")]
    pub fn watch(&self) -> Watcher<T>
    where
        T: Clone,
    {
        self.join(None)
    }

    /// Subscribes, with a buffer for exactly `capacity` transitions; `overflow` says what a full one gives up.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0: a buffer without room would miss everything.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{Overflow, Watched};
    ///
    /// let gauge = Watched::new(0);
    /// let mut latest = gauge.watch_bounded(1, Overflow::DropOldest);
    /// (1..=100).for_each(|n| { gauge.set(n); });
    /// let change = latest.try_recv().unwrap();
    /// assert_eq!((change.new, change.missed), (100, 99));
    /// ```
    #[track_caller]
    pub fn watch_bounded(&self, capacity: usize, overflow: Overflow) -> Watcher<T>
    where
        T: Clone,
    {
        assert!(
            capacity > 0,
            "onlooker: a watcher's capacity is at least 1, since a buffer without room would miss everything"
        );
        self.join(Some((capacity, overflow)))
    }

    fn join(&self, bound: Option<(usize, Overflow)>) -> Watcher<T>
    where
        T: Clone,
    {
        let shared = self.cell.shared().clone();
        let ring = Arc::new(Ring::new(bound.map(|(capacity, _)| capacity)));
        let seat = Seat {
            ring: ring.clone(),
            overflow: bound.map(|(_, overflow)| overflow),
            missed: 0,
            asleep: None,
        };
        let (key, seen, seq) = shared.with(|state| {
            let (seen, seq) = (state.value().clone(), state.seq);
            let observers = state.observers();
            observers.feed = Some(feed::<T>);
            let key = observers.seats.join(seat);
            observers.reserve();
            (key, seen, seq)
        });
        Watcher::new(shared, ring, key, seen, seq)
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        drop(self.cell.close());
    }
}

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

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, watchers, waits, callbacks) = self.cell.with(|state| {
            let (watchers, waits, callbacks) = state.seen_by().map_or((0, 0, 0), Observers::counts);
            (state.seq, watchers, waits, callbacks)
        });
        f.debug_struct("Watched")
            .field("version", &version)
            .field("watchers", &watchers)
            .field("waits", &waits)
            .field("callbacks", &callbacks)
            .finish_non_exhaustive()
    }
}
