//! A watcher's seat: its buffer, and the waker of the task that sleeps on it.
//!
//! ```text
//! bounded     seat ─▶ ring ◀─ watcher
//! unbounded   seat: spill, short ring ◀─ watcher: hand       older ◀── hand · ring · spill ──▶ newer
//! ```
//!
//! A ring is lock-free: the commit pushes, under the state's lock; only the watcher pops, and the commit when it
//! evicts. An unbounded watcher has a short ring, and behind it a spill under the lock that a commit holds anyway.
//! **While the spill holds anything nothing goes into the ring.** So a watcher that finds hand and ring empty takes the
//! whole spill in hand, in one trip through the lock, and misses nothing. (Models `spill_*`.)
//!
//! **Falling asleep looks for news and leaves the waker under the lock, where a push happens too**: the push either is
//! seen, or finds the waker. (Models `sleep_*`.)

use super::{Origin, Outgoing};
use crate::slab::Slab;
use crate::sync::{Arc, Counter, catch, ring, spin};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use concurrent_queue::{ConcurrentQueue, PushError};
use core::task::Waker;

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

/// A buffered transition: its number and the value after. The value before is what its watcher saw last.
pub(crate) type Item<T> = (u64, T);

/// A lock-free buffer.
///
/// Boxed: the queue is aligned to cache lines, which beside an `Arc`'s counts would waste one.
pub(crate) struct Ring<T> {
    queue: Box<ConcurrentQueue<Item<T>>>,
    /// How much its watcher has in hand, to be counted by others.
    pub(crate) in_hand: Counter,
}

/// Slots of an unbounded watcher's ring.
pub(crate) const SHORT: usize = if cfg!(loom) { 1 } else { 4 };

impl<T> Ring<T> {
    /// # Panics
    ///
    /// If the capacity cannot be had.
    #[track_caller]
    pub(crate) fn new(capacity: usize) -> Self {
        assert!(
            capacity > 0,
            "onlooker: a watcher's capacity is at least 1, since a buffer without room would miss everything"
        );
        // What a slot takes at most, beside the item a stamp; tried before, since the ring would end the process.
        let mut room = Vec::<(usize, Item<T>)>::new();
        let had = capacity <= isize::MAX as usize / 2 && room.try_reserve_exact(capacity).is_ok();
        assert!(
            had,
            "onlooker: there is no memory for a watcher's capacity of {capacity} transitions; take what it needs at most, or \
             `watch`, whose buffer grows as it must"
        );
        drop(room);
        Self {
            queue: Box::new(ConcurrentQueue::bounded(capacity)),
            in_hand: Counter::new(),
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Item<T>> {
        ring(|| self.queue.pop()).ok()
    }

    pub(crate) fn len(&self) -> usize {
        ring(|| self.queue.len()) + self.in_hand.load()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        ring(|| self.queue.is_empty()) && self.in_hand.load() == 0
    }

    #[inline]
    fn is_full(&self) -> bool {
        ring(|| self.queue.is_full())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        self.queue.capacity()
    }
}

pub(crate) enum Buffer<T> {
    Bounded(Arc<Ring<T>>, Overflow),
    Unbounded {
        /// What does not fit in the ring. Made when something first does not.
        #[expect(clippy::box_collection, reason = "most watchers never have one")]
        spill: Option<Box<VecDeque<Item<T>>>>,
        /// Made when the watcher first receives.
        short: Option<Arc<Ring<T>>>,
    },
}

/// A watcher's place among the observers. All of it is touched under the lock only.
pub(crate) struct Seat<T> {
    pub(crate) buffer: Buffer<T>,
    /// Transitions that its overflow policy, or a panic of `T`'s `Clone`, kept from it.
    pub(crate) missed: u64,
    /// Whom to wake: it sleeps, and had no news when it fell asleep.
    pub(crate) asleep: Option<Waker>,
    pub(crate) origin: Origin,
}

impl<T> Seat<T> {
    pub(crate) fn new(buffer: Buffer<T>, origin: Origin) -> Self {
        Self {
            buffer,
            missed: 0,
            asleep: None,
            origin,
        }
    }

    pub(crate) fn since(mut self, version: u64) -> Self {
        self.origin.since = version;
        self
    }

    pub(crate) fn is_bounded(&self) -> bool {
        matches!(self.buffer, Buffer::Bounded(..))
    }

    pub(crate) fn has_room(&self) -> bool {
        match &self.buffer {
            Buffer::Bounded(ring, _) => !ring.is_full(),
            Buffer::Unbounded { .. } => true,
        }
    }

    /// Drops a value that nobody will receive; `false` if there is none.
    pub(crate) fn discard(&mut self) -> bool {
        match &mut self.buffer {
            Buffer::Bounded(ring, _) => ring.pop().is_some(),
            Buffer::Unbounded { spill, short } => {
                let item = spill.as_mut().and_then(|spill| spill.pop_front());
                item.or_else(|| short.as_ref()?.pop()).is_some()
            }
        }
    }

    /// Whether nothing waits to be received.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match &self.buffer {
            Buffer::Bounded(ring, _) => ring.is_empty(),
            Buffer::Unbounded { spill, short } => {
                let spilled = spill.as_ref().is_some_and(|spill| !spill.is_empty());
                !spilled && short.as_ref().is_none_or(|short| short.is_empty())
            }
        }
    }

    /// How much waits to be received.
    pub(crate) fn len(&self) -> usize {
        match &self.buffer {
            Buffer::Bounded(ring, _) => ring.len(),
            Buffer::Unbounded { spill, short } => {
                let spilled = spill.as_ref().map_or(0, |spill| spill.len());
                spilled + short.as_ref().map_or(0, |short| short.len())
            }
        }
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        match &self.buffer {
            Buffer::Bounded(ring, _) => ring.capacity(),
            Buffer::Unbounded { .. } => None,
        }
    }

    /// Gives out the whole spill for `hand`, which is empty and whose room is used again; and takes the ring that its
    /// watcher has made.
    pub(crate) fn hand_over(&mut self, hand: &mut VecDeque<Item<T>>, made: Option<Arc<Ring<T>>>) {
        if let Buffer::Unbounded { spill, short } = &mut self.buffer {
            if let Some(spill) = spill {
                core::mem::swap(&mut **spill, hand);
            }
            if made.is_some() {
                *short = made;
            }
        }
    }
}

/// Gives every watcher a clone of `new`. Called inside the commit.
///
/// A panic of `T`'s `Clone` costs its watcher this one transition, counted as missed; the others are served, and the
/// panic goes on when the commit is settled.
pub(crate) type Feed<T> = fn(&mut Slab<Seat<T>>, seq: u64, new: &T, out: &mut Outgoing<'_, T>);

pub(crate) fn feed<T: Clone>(
    seats: &mut Slab<Seat<T>>,
    seq: u64,
    new: &T,
    out: &mut Outgoing<'_, T>,
) {
    let mut seats = seats.iter_mut();
    // One frame for all of them, not one each: the walk goes on after a panic.
    loop {
        let mut at = None;
        let fed = catch(|| {
            for seat in &mut seats {
                at.insert(seat).push(seq, new, out);
            }
        });
        let Err(panic) = fed else { return };
        if let Some(seat) = at {
            seat.missed += 1;
        }
        out.trouble(panic);
    }
}

impl<T: Clone> Seat<T> {
    #[inline]
    fn push(&mut self, seq: u64, new: &T, out: &mut Outgoing<'_, T>) {
        match &mut self.buffer {
            Buffer::Unbounded { spill, short } => {
                let spilled = spill.as_ref().is_some_and(|spill| !spill.is_empty());
                let ring_first = short.as_ref().filter(|short| !spilled && !short.is_full());
                let spills = match ring_first {
                    Some(short) => {
                        let refused = ring(|| short.queue.push((seq, new.clone()))).err();
                        refused.map(PushError::into_inner)
                    }
                    None => Some((seq, new.clone())),
                };
                if let Some(item) = spills {
                    spill.get_or_insert_default().push_back(item);
                }
            }
            Buffer::Bounded(full, Overflow::DropOldest) => {
                let item = (seq, new.clone());
                if let Ok(Some((_, oldest))) = ring(|| full.queue.force_push(item)) {
                    self.missed += 1;
                    out.discard(oldest);
                }
            }
            Buffer::Bounded(full, Overflow::DropNewest) => {
                if full.is_full() {
                    self.missed += 1;
                    return;
                }
                let mut item = (seq, new.clone());
                // Only its watcher may have come between, so there is room; but a buffer of one refuses while the
                // watcher is half way through its pop.
                while let Err(PushError::Full(back)) = ring(|| full.queue.push(item)) {
                    item = back;
                    spin();
                }
            }
        }
        if let Some(waker) = self.asleep.take() {
            out.wake(waker);
        }
    }
}
