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
pub(crate) type Item<V> = (u64, V);

/// What holds values as they are, or, of a type of more than 4 KiB, each in a box: they would take much of a stack on
/// their way. The second of the two lies in a box itself, so that the first has all the room.
pub(crate) enum Kept<P, B> {
    Plain(P),
    Boxed(B),
}

/// Whether a type is so large.
pub(crate) const fn is_large<T>() -> bool {
    size_of::<T>() > 4096
}

/// Does the same with either. What is never there for a type takes no room in a program, nor on a stack.
macro_rules! either {
    ($t:ty, $kept:expr, $inner:pat => $do:expr) => {
        match $kept {
            $crate::observers::Kept::Plain($inner) if !$crate::observers::is_large::<$t>() => $do,
            $crate::observers::Kept::Boxed($inner) if $crate::observers::is_large::<$t>() => $do,
            _ => unreachable!("its size decides"),
        }
    };
}
pub(crate) use either;

/// A value as it lies in a buffer.
pub(crate) trait Lies<T> {
    fn of(value: T) -> Self;

    fn into_value(self) -> T;

    /// A seat's buffer, which holds these if its watcher does.
    fn buffer_of(seat: &mut Seat<T>) -> Option<&mut Buffer<Self>>
    where
        Self: Sized;
}

impl<T> Lies<T> for T {
    #[inline]
    fn of(value: T) -> T {
        value
    }

    #[inline]
    fn into_value(self) -> T {
        self
    }

    #[inline]
    fn buffer_of(seat: &mut Seat<T>) -> Option<&mut Buffer<T>> {
        match &mut seat.buffer {
            Kept::Plain(buffer) => Some(buffer),
            Kept::Boxed(_) => None,
        }
    }
}

impl<T> Lies<T> for Box<T> {
    fn of(value: T) -> Self {
        Box::new(value)
    }

    fn into_value(self) -> T {
        *self
    }

    fn buffer_of(seat: &mut Seat<T>) -> Option<&mut Buffer<Self>> {
        match &mut seat.buffer {
            Kept::Boxed(buffer) => Some(&mut **buffer),
            Kept::Plain(_) => None,
        }
    }
}

/// A lock-free buffer.
///
/// Boxed: the queue is aligned to cache lines, which beside an `Arc`'s counts would waste one.
pub(crate) struct Ring<V> {
    queue: Box<ConcurrentQueue<Item<V>>>,
    /// How much its watcher has in hand, to be counted by others.
    pub(crate) in_hand: Counter,
}

/// Slots of an unbounded watcher's ring.
pub(crate) const SHORT: usize = if cfg!(loom) { 1 } else { 4 };

impl<V> Ring<V> {
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
        let mut room = Vec::<(usize, Item<V>)>::new();
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
    pub(crate) fn pop(&self) -> Option<Item<V>> {
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

pub(crate) enum Buffer<V> {
    Bounded(Arc<Ring<V>>, Overflow),
    Unbounded {
        /// What does not fit in the ring. Made when something first does not.
        #[expect(clippy::box_collection, reason = "most watchers never have one")]
        spill: Option<Box<VecDeque<Item<V>>>>,
        /// Made when the watcher first receives.
        short: Option<Arc<Ring<V>>>,
    },
}

impl<V> Buffer<V> {
    pub(crate) const fn unbounded() -> Self {
        let (spill, short) = (None, None);
        Buffer::Unbounded { spill, short }
    }

    fn is_bounded(&self) -> bool {
        matches!(self, Buffer::Bounded(..))
    }

    fn has_room(&self) -> bool {
        match self {
            Buffer::Bounded(ring, _) => !ring.is_full(),
            Buffer::Unbounded { .. } => true,
        }
    }

    pub(crate) fn discard(&mut self) -> bool {
        match self {
            Buffer::Bounded(ring, _) => ring.pop().is_some(),
            Buffer::Unbounded { spill, short } => {
                let item = spill.as_mut().and_then(|spill| spill.pop_front());
                item.or_else(|| short.as_ref()?.pop()).is_some()
            }
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        match self {
            Buffer::Bounded(ring, _) => ring.is_empty(),
            Buffer::Unbounded { spill, short } => {
                let spilled = spill.as_ref().is_some_and(|spill| !spill.is_empty());
                !spilled && short.as_ref().is_none_or(|short| short.is_empty())
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Buffer::Bounded(ring, _) => ring.len(),
            Buffer::Unbounded { spill, short } => {
                let spilled = spill.as_ref().map_or(0, |spill| spill.len());
                spilled + short.as_ref().map_or(0, |short| short.len())
            }
        }
    }

    fn capacity(&self) -> Option<usize> {
        match self {
            Buffer::Bounded(ring, _) => ring.capacity(),
            Buffer::Unbounded { .. } => None,
        }
    }

    /// Gives out the whole spill for `hand`, which is empty and whose room is used again; and takes the ring that its
    /// watcher has made.
    pub(crate) fn hand_over(&mut self, hand: &mut VecDeque<Item<V>>, made: Option<Arc<Ring<V>>>) {
        if let Buffer::Unbounded { spill, short } = self {
            if let Some(spill) = spill {
                core::mem::swap(&mut **spill, hand);
            }
            if made.is_some() {
                *short = made;
            }
        }
    }

    /// Takes in what an unbounded one is to begin with. Clones one after the other: a panic leaves those before.
    pub(crate) fn begin<'a, T: Clone + 'a>(&mut self, past: impl Iterator<Item = (u64, &'a T)>)
    where
        V: Lies<T>,
    {
        if let Buffer::Unbounded { spill, .. } = self {
            let past = past.map(|(seq, value)| (seq, V::of(value.clone())));
            spill.get_or_insert_default().extend(past);
        }
    }

    /// Takes in a clone of `new`, or does not. Whatever is lost is counted in `missed`, and what is evicted goes to
    /// `spent`.
    #[inline]
    fn push<T: Clone>(&mut self, seq: u64, new: &T, missed: &mut u64, spent: impl FnOnce(T))
    where
        V: Lies<T>,
    {
        match self {
            Buffer::Unbounded { spill, short } => {
                let spilled = spill.as_ref().is_some_and(|spill| !spill.is_empty());
                let ring_first = short.as_ref().filter(|short| !spilled && !short.is_full());
                let spills = match ring_first {
                    Some(short) => {
                        let refused = ring(|| short.queue.push((seq, V::of(new.clone())))).err();
                        refused.map(PushError::into_inner)
                    }
                    None => Some((seq, V::of(new.clone()))),
                };
                if let Some(item) = spills {
                    spill.get_or_insert_default().push_back(item);
                }
            }
            Buffer::Bounded(full, Overflow::DropOldest) => {
                let item = (seq, V::of(new.clone()));
                if let Ok(Some((_, oldest))) = ring(|| full.queue.force_push(item)) {
                    *missed += 1;
                    spent(oldest.into_value());
                }
            }
            Buffer::Bounded(full, Overflow::DropNewest) => {
                if full.is_full() {
                    *missed += 1;
                    return;
                }
                let mut item = (seq, V::of(new.clone()));
                // Only its watcher may have come between, so there is room; but a buffer of one refuses while the
                // watcher is half way through its pop.
                while let Err(PushError::Full(back)) = ring(|| full.queue.push(item)) {
                    item = back;
                    spin();
                }
            }
        }
    }
}

/// The buffer of a watcher of `T`s.
pub(crate) type Buffers<T> = Kept<Buffer<T>, Box<Buffer<Box<T>>>>;

pub(crate) fn unbounded<T>() -> Buffers<T> {
    if is_large::<T>() {
        Kept::Boxed(Box::new(Buffer::unbounded()))
    } else {
        Kept::Plain(Buffer::unbounded())
    }
}

/// A watcher's place among the observers. All of it is touched under the lock only.
pub(crate) struct Seat<T> {
    pub(crate) buffer: Buffers<T>,
    /// Transitions that its overflow policy, or a panic of `T`'s `Clone`, kept from it.
    pub(crate) missed: u64,
    /// Whom to wake: it sleeps, and had no news when it fell asleep.
    pub(crate) asleep: Option<Waker>,
    pub(crate) origin: Origin,
}

impl<T> Seat<T> {
    pub(crate) fn new(buffer: Buffers<T>, origin: Origin) -> Self {
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
        either!(T, &self.buffer, buffer => buffer.is_bounded())
    }

    pub(crate) fn has_room(&self) -> bool {
        either!(T, &self.buffer, buffer => buffer.has_room())
    }

    /// Drops a value that nobody will receive; `false` if there is none.
    pub(crate) fn discard(&mut self) -> bool {
        either!(T, &mut self.buffer, buffer => buffer.discard())
    }

    /// Whether nothing waits to be received.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        either!(T, &self.buffer, buffer => buffer.is_empty())
    }

    /// How much waits to be received.
    pub(crate) fn len(&self) -> usize {
        either!(T, &self.buffer, buffer => buffer.len())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        either!(T, &self.buffer, buffer => buffer.capacity())
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
        let (missed, spent) = (&mut self.missed, |oldest| out.discard(oldest));
        either!(T, &mut self.buffer, buffer => buffer.push(seq, new, missed, spent));
        if let Some(waker) = self.asleep.take() {
            out.wake(waker);
        }
    }
}
