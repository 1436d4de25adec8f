//! An owned subscription: receiving, and falling asleep.

mod futures;
mod receive;
mod waits;

#[cfg(feature = "std")]
pub use futures::Iter;
pub use futures::{Recv, TryIter, Values, WatcherWait};
use receive::{Sources, ends};

use crate::cell::Shared;
use crate::error::{Closed, Forgotten, TryRecvError};
use crate::observers::{Left, Origin, Overflow, Past, Place, Seat, either, unbounded};
use crate::slab::Key;
use crate::sync::{Arc, Pieces, Slot};
use crate::transition::Transition;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::{FusedStream, Stream};

/// An owned subscription to a [`Watched`](crate::Watched): every transition, in order, in a buffer of its own.
///
/// Made by [`Watched::watch`](crate::Watched::watch) (unbounded) and
/// [`Watched::watch_bounded`](crate::Watched::watch_bounded). It is `'static`, a [`Stream`], and independent: a slow,
/// idle or forgotten watcher delays nobody and costs only its own buffer.
///
/// * **The chain holds**: `old` of each transition is `new` of the one before, and the first `old` is what
///   [`seen`](Watcher::seen) said at the start. What an overflow policy dropped in between is counted in
///   [`Transition::missed`].
/// * **The end comes last**: once the `Watched` is dropped the watcher still drains all it has, the last value
///   included, and then gets [`Closed`] (or `None`, as a stream).
/// * **It shares its thread**: polled by a task, it returns `Pending` and wakes itself after 512 transitions in a row,
///   so a loop over a hot watcher starves no timer.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// use onlooker::Watched;
///
/// let state = Watched::new("connected");
/// let mut watcher = state.watch();
/// state.set("closing");
/// state.set("closed");
/// drop(state);
///
/// let mut seen = vec![*watcher.seen()];
/// while let Ok(change) = watcher.recv().await {
///     seen.push(change.new);
/// }
/// assert_eq!(seen, ["connected", "closing", "closed"]);
/// # });
/// ```
#[must_use = "a watcher that is dropped at once watches nothing"]
pub struct Watcher<T> {
    pub(crate) shared: Arc<Shared<T>>,
    key: Key,
    source: Sources<T>,
    seen: Slot<T>,
    seen_seq: u64,
    /// Transitions that a panic of `T::clone` kept from being handed out.
    lost: u64,
    /// Answers given since the last `Pending`.
    spent: u32,
    /// It has said that it ended.
    over: bool,
}

impl<T> Unpin for Watcher<T> {}

impl<T> Watcher<T> {
    /// Returns the value this watcher saw last; at first, the value at registration.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// state.set(1);
    /// assert_eq!(*watcher.seen(), 0);
    /// watcher.try_recv().unwrap();
    /// assert_eq!(*watcher.seen(), 1);
    /// ```
    pub fn seen(&self) -> &T {
        match &self.seen.0 {
            Some(seen) => seen,
            None => unreachable!("it is there as long as the watcher is"),
        }
    }

    /// Returns the version of [`seen`](Self::seen): where [`watch_since`](crate::Watched::watch_since) would go on.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// state.set(1);
    /// watcher.try_recv().unwrap();
    /// assert_eq!(watcher.seen_version(), 1);
    /// ```
    pub fn seen_version(&self) -> u64 {
        self.seen_seq
    }

    /// Returns how many transitions wait to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let watcher = state.watch();
    /// state.set(1);
    /// assert_eq!(watcher.len(), 1);
    /// ```
    #[track_caller]
    pub fn len(&self) -> usize {
        self.seat(Seat::len)
    }

    /// Returns whether no transition waits to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// assert!(state.watch().is_empty());
    /// ```
    #[track_caller]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many transitions the buffer holds at most; `None` for an unbounded one.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{Overflow, Watched};
    ///
    /// let state = Watched::new(0);
    /// assert_eq!(state.watch().capacity(), None);
    /// assert_eq!(state.watch_bounded(3, Overflow::DropOldest).capacity(), Some(3));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        either!(T, &self.source, source => source.capacity())
    }

    /// Returns whether the state has ended. There may still be transitions to receive.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let watcher = state.watch();
    /// drop(state);
    /// assert!(watcher.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }

    /// Returns how many transitions this watcher lost so far, counted when they were lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{Overflow, Watched};
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
    /// state.set(1);
    /// state.set(2);
    /// assert_eq!(watcher.missed(), 1);
    /// assert_eq!(watcher.try_recv().unwrap().missed, 1);
    /// ```
    #[track_caller]
    pub fn missed(&self) -> u64 {
        self.seat(|seat| seat.missed) + self.lost
    }

    #[track_caller]
    fn seat<R>(&self, f: impl FnOnce(&Seat<T>) -> R) -> R {
        self.shared
            .lock
            .with(|state| match state.observers.seats.get(self.key) {
                Some(seat) => f(seat),
                None => unreachable!("a watcher keeps its seat"),
            })
    }
}

// Registering

impl<T: Clone> Watcher<T> {
    /// Takes a seat, and the snapshot, in one step.
    #[track_caller]
    pub(crate) fn join(shared: &Arc<Shared<T>>, bound: Option<(usize, Overflow)>) -> Self {
        let (source, buffer) = ends(bound);
        let seat = Seat::new(buffer, Origin::at(0));
        let mut left = Left::new();
        let (key, seen, seen_seq) = shared.register(&mut left, |state, left| {
            let (seen, seq) = (state.value().clone(), state.seq);
            let key = state.observers.join_watcher(seat.since(seq), left);
            (key, seen, seq)
        });
        let watcher = Self::new(shared.clone(), key, source, seen, seen_seq);
        left.before(watcher)
    }

    /// The same as of an earlier version.
    #[track_caller]
    pub(crate) fn join_since(shared: &Arc<Shared<T>>, version: u64) -> Result<Self, Forgotten> {
        let origin = Origin::at(version);
        // Out here: a panic under the lock drops nothing there.
        let mut past = Past::new();
        let mut left = Left::new();
        let key = shared.register(&mut left, |state, left| {
            state.since(version, &mut past)?;
            let buffer = core::mem::replace(&mut past.missed, unbounded());
            let seat = Seat::new(buffer, origin);
            Ok(state.observers.join_watcher(seat, left))
        })?;
        let seen = past.seen.give();
        let (source, _) = ends(None);
        let watcher = Self::new(shared.clone(), key, source, seen, version);
        Ok(left.before(watcher))
    }

    fn new(shared: Arc<Shared<T>>, key: Key, source: Sources<T>, seen: T, seen_seq: u64) -> Self {
        Self {
            shared,
            key,
            source,
            seen: Slot(Some(seen)),
            seen_seq,
            lost: 0,
            spent: 0,
            over: false,
        }
    }
}

// Receiving

impl<T: Clone> Watcher<T> {
    /// Receives the next transition, if one is there already.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing has happened since, [`TryRecvError::Closed`] if nothing ever will again.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{TryRecvError, Watched};
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    /// state.set(1);
    /// assert_eq!(watcher.try_recv().unwrap().new, 1);
    /// drop(state);
    /// assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_recv(&mut self) -> Result<Transition<T>, TryRecvError> {
        self.receive()
    }

    /// Waits for the next transition, in order.
    ///
    /// # Errors
    ///
    /// [`Closed`] once the `Watched` is gone and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next call returns the transition.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// state.set(1);
    /// assert_eq!(watcher.recv().await.unwrap().new, 1);
    /// # });
    /// ```
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv::new(self)
    }

    /// Waits for the next transition, in order; puts this thread to sleep until there is one.
    ///
    /// # Errors
    ///
    /// [`Closed`] once the `Watched` is gone and everything was received.
    ///
    /// # Blocking
    ///
    /// Blocks the thread: not for use inside an async task.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// let thread = std::thread::spawn(move || watcher.recv_blocking().unwrap().new);
    /// state.set(1);
    /// assert_eq!(thread.join().unwrap(), 1);
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn recv_blocking(&mut self) -> Result<Transition<T>, Closed> {
        match self.try_recv() {
            Ok(transition) => Ok(transition),
            Err(TryRecvError::Closed) => Err(Closed),
            Err(TryRecvError::Empty) => self.recv().wait(),
        }
    }

    /// Waits for the next transition, in order; puts this thread to sleep until there is one, or for `after` at most.
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`](crate::WaitError::TimedOut) if there was none by then, and
    /// [`WaitError::Closed`](crate::WaitError::Closed) once the `Watched` is gone and everything was
    /// received. What is there already is returned even with a duration of zero; a duration too long for the clock
    /// is for ever.
    ///
    /// # Blocking
    ///
    /// Blocks the thread: not for use inside an async task.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{WaitError, Watched};
    /// use std::time::Duration;
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// let brief = Duration::from_millis(1);
    /// assert_eq!(watcher.recv_timeout(brief), Err(WaitError::TimedOut));
    /// drop(state);
    /// assert_eq!(watcher.recv_timeout(brief), Err(WaitError::Closed));
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn recv_timeout(
        &mut self,
        after: core::time::Duration,
    ) -> Result<Transition<T>, crate::WaitError> {
        self.recv().wait_timeout(after)
    }

    /// Returns an iterator that blocks until the next transition, and ends with the state.
    ///
    /// # Blocking
    ///
    /// Blocks the thread: not for use inside an async task.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=3).for_each(|n| { state.set(n); });
    /// drop(state);
    /// assert_eq!(watcher.iter().map(|change| change.new).collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    #[cfg(feature = "std")]
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { watcher: self }
    }

    /// Returns an iterator over the transitions that are there already.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=3).for_each(|n| { state.set(n); });
    /// assert_eq!(watcher.try_iter().map(|change| change.new).sum::<i32>(), 6);
    /// ```
    pub fn try_iter(&mut self) -> TryIter<'_, T> {
        TryIter { watcher: self }
    }

    /// Returns a stream of values that begins with [`seen`](Self::seen).
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use futures_lite::StreamExt;
    ///
    /// let state = onlooker::Watched::new(0);
    /// let values = state.watch().values();
    /// (1..=2).for_each(|n| { state.set(n); });
    /// drop(state);
    /// assert_eq!(values.collect::<Vec<_>>().await, [0, 1, 2]);
    /// # });
    /// ```
    pub fn values(self) -> Values<T> {
        Values::new(self)
    }
}

impl<T: Clone> Stream for Watcher<T> {
    type Item = Transition<T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Transition<T>>> {
        let this = &mut *self;
        let polled = this.poll_transition(context, &mut false);
        this.over = matches!(polled, Poll::Ready(Err(Closed)));
        polled.map(Result::ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let seat = self.shared.lock.enter(|state| {
            let seat = state.observers.seats.get(self.key);
            seat.map_or(0, |seat| seat.len())
        });
        (seat.unwrap_or(0), None)
    }
}

impl<T: Clone> FusedStream for Watcher<T> {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        // What lies in the seat goes with it, where no lock is held; then what is in hand, one by one.
        let mut pieces = Pieces::new();
        pieces.run(|| self.shared.leave(Place::watcher(self.key)));
        if core::mem::needs_drop::<T>() {
            let mut discard = || either!(T, &mut self.source, source => source.discard());
            while pieces.run(&mut discard) != Some(false) {}
        }
        pieces.end();
    }
}

impl<T: fmt::Debug> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("seen", self.seen())
            .field("seen_version", &self.seen_seq)
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
