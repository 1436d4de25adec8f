//! A watcher's buffer, its place among the observers, and the bell that wakes it.

use crate::roll::Roll;
use crate::sync::{Arc, Lock, Panic, catch, ring};
use alloc::boxed::Box;
use alloc::vec::Vec;
use concurrent_queue::{ConcurrentQueue, PopError, PushError};
use core::task::Waker;
use event_listener::Event;

/// What a full bounded buffer does with a new transition.
///
/// Either way the loss is counted: in [`Transition::missed`](crate::Transition::missed) of the next transition
/// received and in [`Watcher::missed`](crate::Watcher::missed).
///
/// # Examples
///
/// ```
/// use onlooker::{Overflow, Watched};
///
/// let state = Watched::new(0);
/// let mut latest = state.watch_bounded(1, Overflow::DropOldest);
/// let mut first = state.watch_bounded(1, Overflow::DropNewest);
/// state.set(1);
/// state.set(2);
/// assert_eq!(latest.try_recv().unwrap().new, 2);
/// assert_eq!(first.try_recv().unwrap().new, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Makes room by giving up the oldest transition: the watcher always ends on the present value.
    DropOldest,
    /// Gives up the new transition: the watcher keeps the beginning of what happened, and may **not** end on the
    /// present value.
    DropNewest,
}

/// What a ring holds: the value before is what its watcher saw last.
pub(crate) type Item<T> = (u64, T);

/// The buffer alone. The commit pushes, under its lock; only the watcher pops, and the commit when it evicts.
///
/// Boxed: the queue is aligned to cache lines, which beside an `Arc`'s counts would waste one.
pub(crate) struct Ring<T> {
    queue: Box<ConcurrentQueue<Item<T>>>,
}

impl<T> Ring<T> {
    pub(crate) fn new(capacity: Option<usize>) -> Self {
        Self {
            queue: Box::new(match capacity {
                Some(capacity) => ConcurrentQueue::bounded(capacity),
                None => ConcurrentQueue::unbounded(),
            }),
        }
    }

    /// `Closed` comes only after the last one.
    #[inline]
    pub(crate) fn pop(&self) -> Result<Item<T>, PopError> {
        ring(|| self.queue.pop())
    }

    /// Pushes no more; what is left can still be popped.
    pub(crate) fn close(&self) {
        ring(|| self.queue.close());
    }

    pub(crate) fn is_closed(&self) -> bool {
        ring(|| self.queue.is_closed())
    }

    pub(crate) fn len(&self) -> usize {
        ring(|| self.queue.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        ring(|| self.queue.is_empty())
    }

    fn is_full(&self) -> bool {
        ring(|| self.queue.is_full())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        self.queue.capacity()
    }
}

/// Wakes a watcher that sleeps.
///
/// The event knows whether somebody listens; the waker is kept, woken and dropped by our own hand. event-listener
/// would do all that under its own lock, where a waker that sets the same state deadlocks and one that panics
/// leaves its list miscounted.
pub(crate) struct Bell {
    pub(crate) event: Event,
    sleeper: Lock<Option<Waker>>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            event: Event::new(),
            sleeper: Lock::new(None),
        }
    }

    pub(crate) fn ring(&self) {
        if self.event.notify(1) > 0 {
            if let Some(waker) = self.put(None) {
                waker.wake();
            }
        }
    }

    /// Leaves the waker of who lies down, or of nobody. What was there is for the caller to drop.
    pub(crate) fn put(&self, sleeper: Option<Waker>) -> Option<Waker> {
        self.sleeper.with(|kept| core::mem::replace(kept, sleeper))
    }
}

/// Somebody to wake, once no lock is held.
pub(crate) enum Wake {
    Task(Waker),
    Bell(Arc<Bell>),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Wake::Task(waker) => waker.wake(),
            Wake::Bell(bell) => bell.ring(),
        }
    }
}

/// A watcher's place among the observers. All of it is touched under the lock only.
pub(crate) struct Seat<T> {
    pub(crate) ring: Arc<Ring<T>>,
    /// `None`: unbounded.
    pub(crate) overflow: Option<Overflow>,
    /// Transitions its overflow policy, or a panic of `T`'s `Clone`, kept from it.
    pub(crate) missed: u64,
    /// It sleeps, or is about to: it found its ring empty under this same lock.
    pub(crate) asleep: Option<Arc<Bell>>,
}

impl<T> Seat<T> {
    pub(crate) fn has_room(&self) -> bool {
        self.overflow.is_none() || !self.ring.is_full()
    }
}

/// Gives every watcher a clone of `new`. Called inside the commit.
///
/// A panic of `T`'s `Clone` costs its watcher this one transition, counted as missed; the first such panic comes
/// back and the others are served.
pub(crate) type Feed<T> =
    fn(&mut Roll<Seat<T>>, seq: u64, new: &T, out: &mut Outgoing<'_, T>) -> Option<Panic>;

/// What a commit leaves to do once the lock is released.
pub(crate) struct Outgoing<'a, T> {
    pub(crate) woken: &'a mut alloc::collections::VecDeque<Wake>,
    pub(crate) evicted: &'a mut Vec<T>,
}

pub(crate) fn feed<T: Clone>(
    seats: &mut Roll<Seat<T>>,
    seq: u64,
    new: &T,
    out: &mut Outgoing<'_, T>,
) -> Option<Panic> {
    let mut first = None;
    seats.rewind();
    // One frame for all of them, not one each: the cursor is in the roll and goes on after a panic.
    loop {
        let mut at = None;
        let fed = catch(|| {
            while let Some((key, seat)) = seats.advance() {
                at = Some(key);
                seat.push(seq, new, out);
            }
        });
        let Err(panic) = fed else { return first };
        if let Some(seat) = at.and_then(|key| seats.get(key)) {
            seat.missed += 1;
        }
        first.get_or_insert(panic);
    }
}

impl<T: Clone> Seat<T> {
    #[inline]
    fn push(&mut self, seq: u64, new: &T, out: &mut Outgoing<'_, T>) {
        match self.overflow {
            None => {
                let pushed = ring(|| self.ring.queue.push((seq, new.clone())));
                debug_assert!(pushed.is_ok(), "closed only when the state is gone");
            }
            Some(Overflow::DropOldest) => {
                let item = (seq, new.clone());
                if let Ok(Some((_, oldest))) = ring(|| self.ring.queue.force_push(item)) {
                    self.missed += u64::from(!cfg!(fault = "loss_uncounted"));
                    out.discard(oldest);
                }
            }
            Some(Overflow::DropNewest) => {
                if self.ring.is_full() {
                    self.missed += 1;
                    return;
                }
                let mut item = (seq, new.clone());
                // Only its watcher may have come between, so there is room; but a buffer of one refuses while the
                // watcher is half way through its pop.
                while let Err(PushError::Full(back)) = ring(|| self.ring.queue.push(item)) {
                    item = back;
                    spin();
                }
            }
        }
        if self.asleep.is_some() && !cfg!(fault = "push_without_wake") {
            out.woken.extend(self.asleep.take().map(Wake::Bell));
        }
    }
}

fn spin() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

impl<T> Outgoing<'_, T> {
    /// Values are not dropped under the lock.
    fn discard(&mut self, value: T) {
        if core::mem::needs_drop::<T>() {
            self.evicted.push(value);
        }
    }
}
