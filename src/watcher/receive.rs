//! One receive, from the poll to the buffer, and the way to sleep.
//!
//! ```text
//! poll_transition ─▶ receive ─▶ pop ─▶ hand, ring          without the lock
//!        │                         └──▶ take_spill         one trip through it for all that lies there
//!        └──────────▶ sleep                                nothing anywhere: the waker into the seat
//! ```

use super::Watcher;
use crate::cell::Shared;
use crate::error::{Closed, TryRecvError};
use crate::observers::{
    Buffer, Buffers, Item, Kept, Lies, Overflow, Place, Ring, SHORT, Seat, either, is_large,
};
use crate::slab::Key;
use crate::sync::{Arc, Slot, after_pop, wake};
use crate::transition::Transition;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::task::{Context, Poll, Waker};

/// How many answers in a row a polled watcher gives before it lets its executor look after others.
const BUDGET: u32 = 512;

/// Room for so many transitions is kept for the next backlog.
const KEPT: usize = 1024;

/// Where a watcher receives from.
pub(super) enum Source<V> {
    Bounded(Arc<Ring<V>>),
    Unbounded {
        /// Made when it first receives.
        short: Option<Arc<Ring<V>>>,
        /// A spill that it took: older than all that is elsewhere.
        hand: VecDeque<Item<V>>,
    },
}

#[cold]
#[inline(never)]
fn shrink<V>(hand: &mut VecDeque<Item<V>>) {
    hand.shrink_to(2 * hand.len());
}

/// Of a watcher of `T`s.
pub(super) type Sources<T> = Kept<Source<T>, Source<Box<T>>>;

/// The two ends of a new buffer: its watcher's, and the seat's.
#[track_caller]
pub(super) fn ends<T>(bound: Option<(usize, Overflow)>) -> (Sources<T>, Buffers<T>) {
    if is_large::<T>() {
        let (source, buffer) = Source::new(bound);
        (Kept::Boxed(source), Kept::Boxed(Box::new(buffer)))
    } else {
        let (source, buffer) = Source::new(bound);
        (Kept::Plain(source), Kept::Plain(buffer))
    }
}

impl<V> Source<V> {
    #[track_caller]
    fn new(bound: Option<(usize, Overflow)>) -> (Self, Buffer<V>) {
        match bound {
            None => {
                let (short, hand) = (None, VecDeque::new());
                (Source::Unbounded { short, hand }, Buffer::unbounded())
            }
            Some((capacity, overflow)) => {
                let ring = Arc::new(Ring::new(capacity));
                let source = Source::Bounded(ring.clone());
                (source, Buffer::Bounded(ring, overflow))
            }
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match self {
            Source::Bounded(ring) => ring.capacity(),
            Source::Unbounded { .. } => None,
        }
    }

    /// The next one, if it can be had without the lock.
    #[inline]
    fn pop(&mut self) -> Option<Item<V>> {
        match self {
            Source::Bounded(ring) => ring.pop(),
            Source::Unbounded { short, hand } => match hand.pop_front() {
                Some(item) => {
                    // A large hand is freed as it empties.
                    if hand.capacity() > KEPT && hand.len() < hand.capacity() / 4 {
                        shrink(hand);
                    }
                    if let Some(short) = short {
                        short.in_hand.note(hand.len());
                    }
                    Some(item)
                }
                None => short.as_ref()?.pop(),
            },
        }
    }

    /// Drops the next one; `false` if there is none.
    pub(super) fn discard(&mut self) -> bool {
        self.pop().is_some()
    }

    /// The next one from wherever it is.
    #[inline]
    #[track_caller]
    fn next<T>(&mut self, of: &Shared<T>, key: &Key, seen_seq: u64) -> Result<Item<V>, TryRecvError>
    where
        V: Lies<T>,
    {
        if let Source::Bounded(_) = self {
            // Whoever waits for room is called under the lock: looked at before anything is popped.
            if of.pacing.load() != 0 {
                of.lock.forbid_reentry();
            }
        }
        // Before the look, so that what came before the end is seen.
        let ended = of.has_ended();
        if let Some(item) = self.pop() {
            return Ok(item);
        }
        if let Source::Unbounded { .. } = self {
            if of.version.peek() != Some(seen_seq) {
                if let Some(item) = self.take_spill(of, key) {
                    return Ok(item);
                }
            }
        }
        Err(if ended {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        })
    }

    /// The next one's number and value, and whether there is room for another now. By itself: a large value takes much
    /// of a stack where nothing is optimised.
    #[cfg_attr(not(debug_assertions), inline(always))]
    #[track_caller]
    fn fetch<T>(
        &mut self,
        of: &Shared<T>,
        key: &Key,
        seen_seq: u64,
    ) -> Result<(u64, bool, Slot<T>), TryRecvError>
    where
        V: Lies<T>,
    {
        let (seq, item) = self.next(of, key, seen_seq)?;
        let bounded = matches!(self, Source::Bounded(_));
        Ok((seq, bounded, Slot(Some(item.into_value()))))
    }

    /// Takes the whole spill in hand, in one trip through the lock.
    #[inline(never)]
    #[track_caller]
    fn take_spill<T>(&mut self, of: &Shared<T>, key: &Key) -> Option<Item<V>>
    where
        V: Lies<T>,
    {
        let Source::Unbounded { short, hand } = self else {
            return None;
        };
        if hand.capacity() > KEPT {
            *hand = VecDeque::new();
        }
        let made = short.is_none().then(|| Arc::new(Ring::new(SHORT)));
        let item = of.lock.with(|state| {
            // Between the look and the lock something may have come into the ring: that is older than the spill.
            let in_ring = short.as_ref().and_then(|short| short.pop());
            if in_ring.is_none() {
                let seat = state.observers.seats.get(*key);
                if let Some(buffer) = seat.and_then(V::buffer_of) {
                    buffer.hand_over(hand, made.clone());
                    let item = hand.pop_front();
                    if let Some(short) = short.as_ref().or(made.as_ref()) {
                        short.in_hand.note(hand.len());
                    }
                    return item;
                }
            }
            in_ring
        });
        if made.is_some() {
            *short = made;
        }
        item
    }
}

impl<T> Watcher<T> {
    /// Lays this watcher to sleep, unless there is something to do after all. **A push happens under the same lock, so
    /// it either is seen here or takes the waker.**
    fn sleep(&mut self, waker: &Waker) -> bool {
        // Cloned before the lock; what it replaces is dropped after it.
        let mut sleeper = Slot(Some(waker.clone()));
        let asleep = self.shared.lock.with(|state| {
            let open = state.open;
            match state.observers.seats.get(self.key) {
                Some(seat) if open && seat.is_empty() => {
                    core::mem::swap(&mut seat.asleep, &mut sleeper.0);
                    state.observers.fit_wakers();
                    true
                }
                _ => false,
            }
        });
        // What it replaced may set when it is dropped.
        let replaced = asleep && sleeper.0.is_some();
        drop(sleeper);
        asleep && (!replaced || self.seat(Seat::is_empty))
    }

    /// A future of this watcher that slept is gone: its waker goes too.
    pub(super) fn forget_waker(&self) {
        self.shared.leave(Place::sleeper(self.key));
    }
}

impl<T: Clone> Watcher<T> {
    /// The next transition. Inlined where it is handed on, since handing one on in memory costs as much as receiving it.
    #[inline(always)]
    #[track_caller]
    pub(super) fn receive(&mut self) -> Result<Transition<T>, TryRecvError> {
        let fetched = either!(T, &mut self.source, source => {
            source.fetch(&self.shared, &self.key, self.seen_seq)
        });
        let (seq, bounded, new) = fetched?;
        // Lost, unless the user's code comes back, a paced setter's waker or the clone: a panic there is counted like
        // any other loss.
        self.lost += 1;
        if bounded {
            self.made_room();
        }
        let seen = new.0.clone();
        self.lost -= 1;
        let missed = seq - self.seen_seq - 1;
        self.seen_seq = seq;
        Ok(Transition {
            old: Slot(core::mem::replace(&mut self.seen.0, seen)).take(),
            new: new.take(),
            seq,
            missed,
        })
    }

    /// Calls the first paced setter, if one waits for room.
    #[inline]
    fn made_room(&self) {
        after_pop();
        if self.shared.pacing.load() != 0 {
            let first = self
                .shared
                .lock
                .with(|state| state.observers.line.call_first());
            if let Some(first) = first {
                wake(first);
            }
        }
    }

    /// Lets the executor look after others once so many answers have been given.
    #[inline]
    pub(super) fn yields(&mut self, context: &mut Context<'_>) -> bool {
        let yields = self.spent >= BUDGET;
        if yields {
            self.spent = 0;
            context.waker().wake_by_ref();
        }
        self.spent += 1;
        yields
    }

    /// One look, then one place to sleep, then one more look. A wake-up proves nothing: whoever comes back looks
    /// again.
    pub(super) fn poll_transition(
        &mut self,
        context: &mut Context<'_>,
        slept: &mut bool,
    ) -> Poll<Result<Transition<T>, Closed>> {
        if self.yields(context) {
            return Poll::Pending;
        }
        loop {
            match self.receive() {
                Ok(transition) => return Poll::Ready(Ok(transition)),
                Err(TryRecvError::Closed) => return Poll::Ready(Err(Closed)),
                Err(TryRecvError::Empty) => {}
            }
            *slept = true;
            if self.sleep(context.waker()) {
                self.spent = 0;
                return Poll::Pending;
            }
        }
    }
}
