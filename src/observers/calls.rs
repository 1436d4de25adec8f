//! The callbacks of one state, and the line of transitions that they have not had yet.
//!
//! ```text
//! commit ─▶ ticket n joins the line                             the turn: free, or one thread's
//! setter ─▶ is n called back?  yes: done
//!                              no, the turn is free and nobody is here for an earlier one:
//!                                  takes it, calls back everything up to n, gives it up
//!                              no: sleeps until it is told, and asks again
//! ```
//!
//! **Whoever left a ticket comes back for it**: its setter before it returns, or the outermost setter of its thread. So
//! whoever has the turn calls back its own ticket, and before it those whose setters are still busy elsewhere (waking,
//! or inside a callback of another state), and no more: nobody works for others without limit, nobody waits for
//! anything but callbacks, and nothing is left behind. Only with interrupts nobody may wait: there the turn is given
//! up with the line empty. (Models `turn_*`; Spin's `turns.pml`.)

use super::{Left, Origin, Outgoing, Thing};
use crate::settle::is_settling;
use crate::slab::{Key, Slab};
use crate::sync::{MAY_WAIT, catch, clock};
use crate::transition::Transition;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

/// What callbacks are given.
pub(crate) enum Heard<T> {
    Transition(Transition<T>),
    /// What one callback found when it joined.
    Present(Key, T),
}

/// Where the setter of a ticket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Busy elsewhere: whoever comes first calls back this one too.
    Away,
    /// On its way to the turn.
    Here,
    /// Asleep until it is told.
    Asleep,
}

/// A callback. Says whether that was its last call.
pub(crate) type Call<T> = Box<dyn FnMut(&Heard<T>) -> bool + Send>;

/// A callback's place. Its closure is out while it runs.
pub(crate) struct CallSeat<T> {
    call: Option<Call<T>>,
    pub(crate) origin: Origin,
    pub(crate) runs: u64,
    pub(crate) panics: u64,
    pub(crate) longest: Option<Duration>,
}

impl<T> CallSeat<T> {
    pub(crate) fn is_running(&self) -> bool {
        self.call.is_none()
    }
}

/// Gives a transition its place in the line, if anybody is there to be called. `first`: nothing else is owed. Called inside
/// the commit.
pub(super) type LineUp<T> = fn(
    &mut Calls<T>,
    seq: u64,
    old: &T,
    new: &T,
    first: bool,
    out: &mut Outgoing<'_, T>,
) -> Option<u64>;

fn line_up<T: Clone>(
    calls: &mut Calls<T>,
    seq: u64,
    old: &T,
    new: &T,
    first: bool,
    out: &mut Outgoing<'_, T>,
) -> Option<u64> {
    if calls.seats.is_empty() {
        return None;
    }
    let mut cloned = (None, None);
    out.clone_to(&mut cloned.0, old);
    out.clone_to(&mut cloned.1, new);
    match cloned {
        (Some(old), Some(new)) => {
            let missed = 0;
            let change = Transition {
                old,
                new,
                seq,
                missed,
            };
            // Then the setter has nothing to do but this.
            let here = first && !is_settling();
            return Some(calls.push(Heard::Transition(change), here));
        }
        (Some(value), None) | (None, Some(value)) => out.discard(value),
        (None, None) => {}
    }
    None
}

pub(crate) struct Calls<T> {
    seats: Slab<CallSeat<T>>,
    /// A function, and not a method: where nobody is called back, a program has none of it.
    pub(super) line_up: LineUp<T>,
    line: VecDeque<(Heard<T>, Owner)>,
    /// Tickets before this one have left the line.
    begun: u64,
    /// Tickets before this one are called back.
    done: u64,
    /// Somebody has the turn.
    taken: bool,
    /// Somebody sleeps whose ticket another calls back.
    wanted: bool,
    /// The state is gone: callbacks that have had everything go too.
    ended: bool,
}

/// What the one whose turn it is has in hand.
pub(crate) struct Hand<T> {
    heard: Option<Heard<T>>,
    /// The seat whose closure is in hand, or was.
    at: Option<Key>,
    call: Option<Call<T>>,
    /// How the call went: whether it was the last one; `None` if it panicked. And how long it took.
    went: (Option<bool>, Option<Duration>),
}

impl<T> Hand<T> {
    pub(crate) const fn new() -> Self {
        Self {
            heard: None,
            at: None,
            call: None,
            went: (None, None),
        }
    }

    /// Runs the callback in hand. One that panics stays registered, and its panic ends here.
    pub(crate) fn call(&mut self) {
        if let (Some(call), Some(heard)) = (&mut self.call, &self.heard) {
            let began = clock();
            let last = catch(|| call(heard)).ok();
            self.went = (last, clock().zip(began).map(|(now, began)| now - began));
        }
    }

    /// What has been called back is dropped outside, each value by itself.
    fn spend(&mut self, left: &mut Left<T>) {
        match self.heard.take() {
            Some(Heard::Transition(Transition { old, new, .. })) => {
                left.push(Thing::Value(old));
                left.push(Thing::Value(new));
            }
            Some(Heard::Present(_, value)) => left.push(Thing::Value(value)),
            None => {}
        }
    }
}

/// Where a thread stands that wants a ticket called back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is called back.
    Done,
    /// It is this thread's turn now.
    Yours,
    /// Another thread has it.
    Taken,
}

impl<T> Calls<T> {
    pub(crate) const fn new() -> Self
    where
        T: Clone,
    {
        Self {
            seats: Slab::new(),
            line_up: line_up::<T>,
            line: VecDeque::new(),
            begun: 0,
            done: 0,
            taken: false,
            wanted: false,
            ended: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CallSeat<T>> {
        self.seats.iter()
    }

    pub(crate) fn join(&mut self, call: Call<T>, origin: Origin) -> Key {
        self.seats.join(CallSeat {
            call: Some(call),
            origin,
            runs: 0,
            panics: 0,
            longest: None,
        })
    }

    pub(crate) fn leave(&mut self, key: Key) -> Option<CallSeat<T>> {
        self.seats.leave(key)
    }

    /// Lines up. `here`: the setter has nothing else to see to.
    #[inline]
    pub(crate) fn push(&mut self, heard: Heard<T>, here: bool) -> u64 {
        let ticket = self.begun + self.line.len() as u64;
        let owner = if here { Owner::Here } else { Owner::Away };
        self.line.push_back((heard, owner));
        ticket
    }

    fn owner(&mut self, ticket: u64) -> Option<&mut Owner> {
        let at = ticket.checked_sub(self.begun)?;
        self.line.get_mut(at as usize).map(|(_, owner)| owner)
    }

    /// Where this ticket stands.
    fn turn(&self, ticket: u64) -> Turn {
        let before = ticket.saturating_sub(self.begun) as usize;
        let mut before = self.line.iter().take(before);
        if self.done > ticket {
            Turn::Done
        } else if self.taken || MAY_WAIT && before.any(|(_, owner)| *owner != Owner::Away) {
            Turn::Taken
        } else {
            Turn::Yours
        }
    }

    /// Asks for the turn.
    pub(crate) fn ask(&mut self, ticket: u64) -> Turn {
        let turn = self.turn(ticket);
        self.taken |= turn == Turn::Yours;
        if let Some(owner) = self.owner(ticket) {
            *owner = Owner::Here;
        }
        turn
    }

    /// Asks once more, now that it listens; whether to sleep then.
    pub(crate) fn sleeps(&mut self, ticket: u64) -> bool {
        let sleeps = self.turn(ticket) == Turn::Taken;
        if sleeps {
            match self.owner(ticket) {
                Some(owner) => *owner = Owner::Asleep,
                // It is called back right now.
                None => self.wanted = true,
            }
        }
        sleeps
    }

    /// How many of those who sleep to tell that the turn is free: the first in line, or all if some of them are done.
    pub(crate) fn sleepers_to_tell(&mut self) -> usize {
        if self.taken {
            return 0;
        }
        if core::mem::take(&mut self.wanted) {
            return usize::MAX;
        }
        let mut owners = self.line.iter().map(|(_, owner)| *owner);
        let first = owners.find(|owner| *owner != Owner::Away);
        usize::from(first == Some(Owner::Asleep))
    }

    /// Takes back the callback that ran and gives out the next one. `false`: the turn is given up, `ticket` is done.
    pub(crate) fn step(&mut self, ticket: u64, hand: &mut Hand<T>, left: &mut Left<T>) -> bool {
        self.take_back(hand, left);
        loop {
            if let Some(heard) = &hand.heard {
                let next = match (heard, hand.at) {
                    (Heard::Transition(_), None) => self.seats.first(),
                    (Heard::Transition(_), Some(at)) => self.seats.after(at),
                    (Heard::Present(key, _), None) => {
                        let key = *key;
                        self.seats.get(key).map(|seat| (key, seat))
                    }
                    (Heard::Present(..), Some(_)) => None,
                };
                if let Some((key, seat)) = next {
                    hand.at = Some(key);
                    let joined_before = match heard {
                        Heard::Transition(transition) => seat.origin.since < transition.seq,
                        Heard::Present(..) => true,
                    };
                    if joined_before {
                        hand.call = seat.call.take();
                    }
                    if hand.call.is_some() {
                        return true;
                    }
                    continue;
                }
                if core::mem::needs_drop::<T>() {
                    hand.spend(left);
                }
                hand.heard = None;
                self.done += 1;
            }
            hand.at = None;
            if MAY_WAIT && self.done > ticket {
                break;
            }
            if !self.take_first(hand) {
                break;
            }
            // Between two transitions what is spent is dropped.
            if !left.is_empty() {
                return true;
            }
        }
        self.give_up(left);
        false
    }

    /// Takes the first in line in hand. By itself, as what follows: a large value takes much of a stack.
    fn take_first(&mut self, hand: &mut Hand<T>) -> bool {
        let Some((heard, owner)) = self.line.pop_front() else {
            return false;
        };
        self.wanted |= owner == Owner::Asleep;
        hand.heard = Some(heard);
        self.begun += 1;
        true
    }

    fn take_back(&mut self, hand: &mut Hand<T>, left: &mut Left<T>) {
        let (Some(at), Some(call)) = (hand.at, hand.call.take()) else {
            return;
        };
        let (last, took) = hand.went;
        match self.seats.get(at) {
            Some(seat) => {
                seat.call = Some(call);
                seat.runs += 1;
                seat.panics += u64::from(last.is_none());
                seat.longest = seat.longest.max(took);
                if last == Some(true) {
                    left.extend(self.seats.leave(at).map(Thing::Callback));
                }
            }
            // Its guard was dropped meanwhile.
            None => left.push(Thing::Call(call)),
        }
    }

    /// The turn is free again.
    fn give_up(&mut self, left: &mut Left<T>) {
        self.taken = false;
        if self.line.is_empty() {
            if self.line.capacity() > 64 {
                self.line = VecDeque::new();
            }
            if self.ended {
                self.take_all(left);
            }
        }
    }

    /// A panic that nothing could catch ended this turn: its transition counts as called back.
    pub(crate) fn abandon(&mut self, left: &mut Left<T>) {
        self.done = self.begun;
        self.give_up(left);
    }

    fn take_all(&mut self, left: &mut Left<T>) {
        for seat in self.seats.take_all() {
            left.push(Thing::Callback(seat));
        }
    }

    /// The state is gone. The callbacks go with it, or with the last transition in line.
    pub(crate) fn end(&mut self, left: &mut Left<T>) {
        self.ended = true;
        if !self.taken && self.line.is_empty() {
            self.take_all(left);
        }
    }
}
