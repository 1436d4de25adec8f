//! An owned subscription: its buffer, read from the watcher's side.

mod futures;
mod waits;

pub use futures::{Recv, Seek};

use crate::cell::Shared;
use crate::error::{Closed, TryRecvError};
use crate::observers::Place;
use crate::ring::{Bell, Ring};
use crate::roll::Key;
use crate::sync::Arc;
use crate::transition::Transition;
use alloc::boxed::Box;
use concurrent_queue::PopError;
use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
#[cfg(feature = "std")]
use core::time::Duration;
use event_listener::listener;
use futures_core::Stream;

/// How many transitions in a row a polled watcher hands out before it lets its executor look after others.
const BUDGET: u32 = 512;

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
pub struct Watcher<T> {
    shared: Arc<Shared<T>>,
    ring: Arc<Ring<T>>,
    key: Key,
    seen: T,
    seen_seq: u64,
    bounded: bool,
    /// Transitions that a panic of `T::clone` kept from being handed out.
    lost: u64,
    /// Made when it first lies down.
    bed: Option<Bed>,
    /// The bell may have the waker of a future that is gone.
    armed: bool,
    /// Transitions handed out since the last `Pending`.
    spent: u32,
}

impl<T> Unpin for Watcher<T> {}

/// Where a watcher sleeps. Allocated once, so that falling asleep allocates nothing.
struct Bed {
    bell: Arc<Bell>,
    /// Listens for ever: each poll leaves a listener in place.
    sleep: Pin<Box<dyn Future<Output = Infallible> + Send>>,
}

impl Bed {
    fn new() -> Self {
        let bell = Arc::new(Bell::new());
        let rung = bell.clone();
        let sleep = Box::pin(async move {
            loop {
                listener!(rung.event => listener);
                listener.await;
            }
        });
        Self { bell, sleep }
    }
}

impl<T> Watcher<T> {
    pub(crate) fn new(
        shared: Arc<Shared<T>>,
        ring: Arc<Ring<T>>,
        key: Key,
        seen: T,
        seen_seq: u64,
    ) -> Self {
        let bounded = ring.capacity().is_some();
        Self {
            shared,
            ring,
            key,
            seen,
            seen_seq,
            bounded,
            lost: 0,
            bed: None,
            armed: false,
            spent: 0,
        }
    }

    /// The value this watcher saw last; at first, the value at registration.
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
        &self.seen
    }

    /// How many transitions wait to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// let watcher = state.watch();
    /// state.set(1);
    /// assert_eq!(watcher.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether no transition waits to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(0);
    /// assert!(state.watch().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many transitions the buffer holds at most; `None` for an unbounded one.
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
        self.ring.capacity()
    }

    /// Whether the `Watched` is gone. There may still be transitions to receive.
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
        self.ring.is_closed()
    }

    /// How many transitions this watcher lost so far, counted when they were lost.
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
    pub fn missed(&self) -> u64 {
        self.shared.lock.with(|state| {
            let seat = state.observers().seats.get(self.key);
            seat.map_or(0, |seat| seat.missed) + self.lost
        })
    }

    /// Marks this watcher asleep, unless there is something to do after all. A push happens under the same lock, so
    /// it either is seen here or sees the mark.
    fn park(&self) -> bool {
        self.shared.lock.with(|state| {
            let look = !cfg!(fault = "park_without_look");
            let awake = state.is_closed() || (look && !self.ring.is_empty());
            if let (false, Some(seat)) = (awake, state.observers().seats.get(self.key)) {
                seat.asleep = self.bed.as_ref().map(|bed| bed.bell.clone());
            }
            !awake
        })
    }
}

impl<T: Clone> Watcher<T> {
    /// The next transition, if one is there already.
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
    pub fn try_recv(&mut self) -> Result<Transition<T>, TryRecvError> {
        let (seq, new) = match self.ring.pop() {
            Ok(item) => item,
            Err(PopError::Empty) => return Err(TryRecvError::Empty),
            Err(PopError::Closed) => return Err(TryRecvError::Closed),
        };
        // Lost, unless the user's code comes back, a paced setter's waker or the clone: a panic there is counted like
        // any other loss.
        self.lost += 1;
        if self.bounded {
            self.shared.made_room();
        }
        let seen = new.clone();
        self.lost -= 1;
        let missed = (seq - self.seen_seq - 1) * u64::from(!cfg!(fault = "loss_hidden"));
        self.seen_seq = seq;
        Ok(Transition {
            old: core::mem::replace(&mut self.seen, seen),
            new,
            seq,
            missed,
        })
    }

    /// The next transition, in order.
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
        Recv { watcher: self }
    }

    /// The next transition, in order; puts this thread to sleep until there is one.
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
    pub fn recv_blocking(&mut self) -> Result<Transition<T>, Closed> {
        match self.try_recv() {
            Ok(transition) => Ok(transition),
            Err(TryRecvError::Closed) => Err(Closed),
            Err(TryRecvError::Empty) => crate::park::block_on(self.recv()),
        }
    }

    /// The next transition, in order; puts this thread to sleep until there is one, or for `after` at most.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::TimedOut`](crate::RecvTimeoutError::TimedOut) if there was none by then, and
    /// [`RecvTimeoutError::Closed`](crate::RecvTimeoutError::Closed) once the `Watched` is gone and everything was
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
    /// use onlooker::{RecvTimeoutError, Watched};
    /// use std::time::Duration;
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// let brief = Duration::from_millis(1);
    /// assert_eq!(watcher.recv_timeout(brief), Err(RecvTimeoutError::TimedOut));
    /// drop(state);
    /// assert_eq!(watcher.recv_timeout(brief), Err(RecvTimeoutError::Closed));
    /// ```
    #[cfg(feature = "std")]
    pub fn recv_timeout(
        &mut self,
        after: Duration,
    ) -> Result<Transition<T>, crate::RecvTimeoutError> {
        match self.try_recv() {
            Ok(transition) => return Ok(transition),
            Err(TryRecvError::Closed) => return Err(crate::RecvTimeoutError::Closed),
            Err(TryRecvError::Empty) => {}
        }
        let deadline = std::time::Instant::now().checked_add(after);
        match crate::park::block_until(self.recv(), deadline) {
            Some(received) => Ok(received?),
            None => Err(crate::RecvTimeoutError::TimedOut),
        }
    }

    /// One look, then one place to sleep, then one more look. A wake-up proves nothing: whoever comes back looks
    /// again.
    fn poll_next_transition(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Transition<T>, Closed>> {
        if self.spent >= BUDGET {
            self.spent = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match self.try_recv() {
                Ok(transition) => {
                    self.spent += 1;
                    return Poll::Ready(Ok(transition));
                }
                Err(TryRecvError::Closed) => return Poll::Ready(Err(Closed)),
                Err(TryRecvError::Empty) => {}
            }
            self.listen(context);
            if self.park() {
                self.spent = 0;
                return Poll::Pending;
            }
        }
    }
}

// Sleeping

impl<T> Watcher<T> {
    fn listen(&mut self, context: &mut Context<'_>) {
        let waker = context.waker().clone();
        let bed = self.bed.get_or_insert_with(Bed::new);
        self.armed = true;
        let _replaced = bed.bell.put(Some(waker));
        let Poll::Pending = bed
            .sleep
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }

    /// A future of this watcher is gone: its waker goes too.
    fn forget_waker(&mut self) {
        if core::mem::take(&mut self.armed) && !cfg!(fault = "waker_kept") {
            let _waker = self.bed.as_ref().and_then(|bed| bed.bell.put(None));
        }
    }
}

impl<T: Clone> Stream for Watcher<T> {
    type Item = Transition<T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Transition<T>>> {
        self.poll_next_transition(context).map(Result::ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        // The buffered values go with the seat, where no lock is held.
        self.shared.leave(Place::Watcher(self.key));
    }
}

impl<T> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("seen_seq", &self.seen_seq)
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("missed", &self.missed())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
