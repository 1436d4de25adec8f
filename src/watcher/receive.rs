//! One receive, from the poll to the buffer, and the way to sleep.
//!
//! ```text
//! poll_transition ─▶ receive ─▶ pop ─▶ hand, ring          without the lock
//!        │                         └──▶ take_spill         one trip through it for all that lies there
//!        └──────────▶ sleep                                nothing anywhere: the waker into the seat
//! ```

use super::Watcher;
use crate::error::{Closed, TryRecvError};
use crate::observers::{Item, Place, Ring, SHORT, Seat};
use crate::sync::{Arc, Slot, after_pop, wake};
use crate::transition::Transition;
use alloc::collections::VecDeque;
use core::task::{Context, Poll, Waker};

/// How many answers in a row a polled watcher gives before it lets its executor look after others.
const BUDGET: u32 = 512;

/// Room for so many transitions is kept for the next backlog.
const KEPT: usize = 1024;

/// Where a watcher receives from.
pub(super) enum Source<T> {
    Bounded(Arc<Ring<T>>),
    Unbounded {
        /// Made when it first receives.
        short: Option<Arc<Ring<T>>>,
        /// A spill that it took: older than all that is elsewhere.
        hand: VecDeque<Item<T>>,
    },
}

impl<T> Source<T> {
    pub(super) const fn unbounded() -> Self {
        Self::Unbounded {
            short: None,
            hand: VecDeque::new(),
        }
    }

    /// The next one, if it can be had without the lock.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Item<T>> {
        match self {
            Source::Bounded(ring) => ring.pop(),
            Source::Unbounded { short, hand } => match hand.pop_front() {
                Some(item) => {
                    // A large hand is freed as it empties.
                    if hand.capacity() > KEPT && hand.len() < hand.capacity() / 4 {
                        hand.shrink_to(2 * hand.len());
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
}

impl<T> Watcher<T> {
    /// The next one from wherever it is.
    #[inline]
    #[track_caller]
    fn pop(&mut self) -> Result<Item<T>, TryRecvError> {
        if let Source::Bounded(_) = self.source {
            // Whoever waits for room is called under the lock: looked at before anything is popped.
            if self.shared.pacing.load() != 0 {
                self.shared.lock.forbid_reentry();
            }
        }
        // Before the look, so that what came before the end is seen.
        let ended = self.shared.has_ended();
        if let Some(item) = self.source.pop() {
            return Ok(item);
        }
        if let Source::Unbounded { .. } = self.source {
            if self.shared.version.peek() != Some(self.seen_seq) {
                if let Some(item) = self.take_spill() {
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

    /// Takes the whole spill in hand, in one trip through the lock.
    #[inline(never)]
    #[track_caller]
    fn take_spill(&mut self) -> Option<Item<T>> {
        let Source::Unbounded { short, hand } = &mut self.source else {
            return None;
        };
        if hand.capacity() > KEPT {
            *hand = VecDeque::new();
        }
        let made = short.is_none().then(|| Arc::new(Ring::new(SHORT)));
        let item = self.shared.lock.with(|state| {
            // Between the look and the lock something may have come into the ring: that is older than the spill.
            let in_ring = short.as_ref().and_then(|short| short.pop());
            if in_ring.is_none() {
                if let Some(seat) = state.observers.seats.get(self.key) {
                    seat.hand_over(hand, made.clone());
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
        let (seq, new) = self.pop()?;
        let new = Slot(Some(new));
        // Lost, unless the user's code comes back, a paced setter's waker or the clone: a panic there is counted like
        // any other loss.
        self.lost += 1;
        if let Source::Bounded(_) = self.source {
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
