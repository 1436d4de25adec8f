//! The waits on one state, each judged inside the commit.
//!
//! A wait sits at a desk that it keeps until it leaves. What it waits for lies in a dense list beside others of its
//! kind, so that a transition that matches nobody costs a walk over plain memory.
//!
//! ```text
//! waiting   the commit judges its test; who asks leaves a waker
//! decided   the match is latched: commits pass it by; who asks takes it and leaves the desk
//! ```
//!
//! **A wait is decided in the critical section of the commit that matches it**: what any thread sees after that commit
//! includes the decision. (Models `join_*`; `histories.rs`.)

use super::{Origin, Outgoing};
use crate::slab::{Key, Slab};
use crate::sync::{Inside, Panic, Slot, catch, enter};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Waker;

/// What a predicate is shown.
pub(crate) enum Shown<'a, T> {
    /// The value that it finds.
    Present(&'a T),
    Transition {
        seq: u64,
        old: &'a T,
        new: &'a T,
    },
    /// How many look at the state.
    Lookers(usize),
}

/// A predicate, and what it found once it matched.
pub(crate) trait Predicate<T>: Send {
    /// Whether it matches; what it makes of what it is shown it keeps.
    fn judge(&mut self, shown: &Shown<'_, T>) -> bool;

    /// Puts what it found into `into`, an `Option` of its own output.
    fn give(&mut self, into: &mut dyn Any);
}

/// What a wait waits for, until it sits at its desk. Handed on by its address: a value may be large.
pub(crate) enum Test<T> {
    /// An equal value, with `T`'s own code: writers do not ask for these bounds.
    Equal(Slot<T>, Code<T>),
    Judged(Option<Box<dyn Predicate<T>>>),
}

/// How to find targets that a value is equal to, and how to clone it.
pub(crate) type Code<T> = (Find<T>, fn(&T) -> T);

/// How a wait ended; or, of one that leaves before it has, what it waited for.
pub(crate) enum Outcome<T> {
    Value(T),
    /// What was found is in there.
    Judged(Box<dyn Predicate<T>>),
    /// The state is gone. What lies in the box is for the waiter to drop.
    Closed(Option<Box<dyn Predicate<T>>>),
    /// The user's code panicked over it.
    Panicked(Box<Panicked<T>>),
}

type Panicked<T> = (Panic, Option<Box<dyn Predicate<T>>>);

/// The method that made a wait.
#[derive(Clone, Copy)]
pub(crate) enum Method {
    For,
    ForNot,
    ForSome,
    ForChange,
    ForNext,
    Until,
    UntilNext,
    Map,
    Unwatched,
    Watched,
}

impl Method {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Method::For => "wait_for",
            Method::ForNot => "wait_for_not",
            Method::ForSome => "wait_for_some",
            Method::ForChange => "wait_for_change",
            Method::ForNext => "wait_for_next",
            Method::Until => "wait_until",
            Method::UntilNext => "wait_until_next",
            Method::Map => "wait_map",
            Method::Unwatched => "wait_unwatched",
            Method::Watched => "wait_watched",
        }
    }

    /// Whether it waits for a number of lookers.
    pub(crate) const fn counts(self) -> bool {
        matches!(self, Method::Unwatched | Method::Watched)
    }
}

/// A wait's place. It is filled and emptied where it is, piece by piece: as a whole it is large to move about.
struct Desk<T> {
    /// There once it is decided.
    outcome: Option<Outcome<T>>,
    waker: Option<Waker>,
    origin: Origin,
    /// While it waits, where in its list its target or predicate lies; then the next one that the same commit decided.
    at: u32,
    method: Method,
    /// It waits for an equal value.
    equal: bool,
    polled: bool,
    /// Of an `OwnedWait`, which outlives the `Watched`.
    owned: bool,
}

/// What a wait leaves at its desk, to be dropped outside.
pub(crate) type Held<T> = (Outcome<T>, Option<Waker>);

/// An end of the list of those that were decided.
const NONE: u32 = u32::MAX;

/// Tests of one kind, and beside each the desk it belongs to, by its index.
struct Dense<V> {
    tests: Vec<V>,
    owners: Vec<u32>,
}

impl<V> Dense<V> {
    const fn new() -> Self {
        Self {
            tests: Vec::new(),
            owners: Vec::new(),
        }
    }

    #[inline]
    fn join(&mut self, test: V, owner: u32) -> u32 {
        self.tests.push(test);
        self.owners.push(owner);
        (self.owners.len() - 1) as u32
    }

    /// Takes a test out; the one that takes its place is told.
    #[inline]
    fn remove<T>(&mut self, place: u32, desks: &mut Slab<Desk<T>>) -> V {
        let test = self.tests.swap_remove(place as usize);
        self.owners.swap_remove(place as usize);
        if self.owners.capacity() > 64.max(4 * self.owners.len()) {
            self.give_back();
        }
        let moved = self.owners.get(place as usize);
        if let Some(desk) = moved.and_then(|owner| desks.at(*owner)) {
            desk.at = place;
        }
        test
    }

    #[cold]
    fn give_back(&mut self) {
        self.owners.shrink_to(2 * self.owners.len());
        self.tests.shrink_to(2 * self.tests.len());
    }
}

/// Finds, walking down from `below`, the next target that `new` is equal to; `below` is then its place. A panic of
/// `T`'s `PartialEq` leaves `below` at the place of the one that panicked.
pub(crate) type Find<T> = fn(&[T], new: &T, below: &mut usize) -> bool;

pub(crate) fn find_equal<T: PartialEq>(targets: &[T], new: &T, below: &mut usize) -> bool {
    while *below > 0 {
        *below -= 1;
        if *new == targets[*below] {
            return true;
        }
    }
    false
}

pub(crate) struct Waits<T> {
    desks: Slab<Desk<T>>,
    targets: Dense<T>,
    predicates: Dense<Box<dyn Predicate<T>>>,
    /// There since the first wait for an equal value.
    code: Option<Code<T>>,
    /// The first of those that the present commit decided.
    decided: u32,
    /// How many wait for a number of lookers.
    counting: usize,
}

/// What a wait learns when it asks.
pub(crate) enum Asked<T> {
    Waiting,
    /// Not decided either, and its waker is not the one that is known.
    NewWaker,
    /// Its desk is given up; the waker that it left there is to be dropped outside.
    Decided(Outcome<T>, Option<Waker>),
}

impl<T> Waits<T> {
    pub(crate) const fn new() -> Self {
        Self {
            desks: Slab::new(),
            targets: Dense::new(),
            predicates: Dense::new(),
            code: None,
            decided: NONE,
            counting: 0,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.desks.len()
    }

    /// A wait sits down, with what it waits for.
    #[inline]
    pub(crate) fn join(
        &mut self,
        test: &mut Test<T>,
        owned: bool,
        method: Method,
        origin: Origin,
    ) -> Key {
        let owner = self.desks.next_key().index();
        let (at, equal) = match test {
            Test::Equal(target, code) => {
                self.code = Some(*code);
                (self.targets.join(target.give(), owner), true)
            }
            Test::Judged(predicate) => {
                self.counting += usize::from(method.counts());
                let at = predicate.take().map(|one| self.predicates.join(one, owner));
                (at.unwrap_or(NONE), false)
            }
        };
        self.desks.join_with(|| Desk {
            outcome: None,
            waker: None,
            origin,
            at,
            method,
            equal,
            polled: false,
            owned,
        })
    }

    /// Shows what there is to the one that has just sat down, and closes it if there will be nothing else. `spent` is
    /// given the target of one that is decided.
    #[inline]
    pub(crate) fn look(
        &mut self,
        key: Key,
        shown: Option<&Shown<'_, T>>,
        open: bool,
        mut spent: impl FnMut(T),
    ) {
        let Some(desk) = self.desks.get(key) else {
            return;
        };
        let (equal, place) = (desk.equal, desk.at as usize);
        match shown {
            Some(Shown::Present(value)) if equal => self.compare(place, value, &mut spent),
            Some(shown) if !equal => self.judge(place, shown),
            _ => {}
        }
        if !open {
            self.close(key, &mut spent);
        }
        // Nobody sleeps on it yet.
        self.decided = NONE;
    }

    /// Where others moved up, their tests are told.
    #[cold]
    fn moved(&mut self) {
        for (index, desk) in self.desks.iter_mut().enumerate() {
            if desk.outcome.is_none() {
                let owners = if desk.equal {
                    &mut self.targets.owners
                } else {
                    &mut self.predicates.owners
                };
                owners[desk.at as usize] = index as u32;
            }
        }
    }

    /// Shows one transition to every wait. Called inside the commit; runs `T`'s code and the predicates.
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T, out: &mut Outgoing<'_, T>) {
        self.compare(0, new, &mut |target| out.discard(target));
        self.judge(0, &Shown::Transition { seq, old, new });
        self.wake_decided(out);
    }

    /// Decides those who wait for a number of lookers.
    pub(crate) fn count(&mut self, lookers: usize, out: &mut Outgoing<'_, T>) {
        if self.counting > 0 {
            self.judge(0, &Shown::Lookers(lookers));
            self.wake_decided(out);
        }
    }

    /// Compares a value with the targets from a place on. Whoever is decided has been looked at, as has the last one,
    /// which then lies at its place.
    fn compare(&mut self, from: usize, new: &T, spent: &mut impl FnMut(T)) {
        let Some((find, clone)) = self.code else {
            return;
        };
        let mut below = self.targets.owners.len() - from;
        while below > 0 {
            let targets = &self.targets.tests[from..];
            let found = match catch(|| find(targets, new, &mut below)) {
                Ok(false) => break,
                Ok(true) => catch(|| clone(new)),
                Err(panic) => Err(panic),
            };
            let outcome = found.map_or_else(
                |panic| Outcome::Panicked(Box::new((panic, None))),
                Outcome::Value,
            );
            let owner = self.targets.owners[from + below];
            spent(self.targets.remove((from + below) as u32, &mut self.desks));
            self.decide(owner, outcome);
        }
    }

    /// Shows something to the predicates from a place on.
    fn judge(&mut self, from: usize, shown: &Shown<'_, T>) {
        let mut below = self.predicates.owners.len();
        while below > from {
            let predicates = &mut self.predicates.tests;
            let mut found = false;
            let judged = catch(|| {
                let _inside = enter(Inside::Predicate);
                while below > from && !found {
                    below -= 1;
                    found = predicates[below].judge(shown);
                }
            });
            if found || judged.is_err() {
                let owner = self.predicates.owners[below];
                let predicate = self.predicates.remove(below as u32, &mut self.desks);
                let outcome = match judged {
                    Ok(()) => Outcome::Judged(predicate),
                    Err(panic) => Outcome::Panicked(Box::new((panic, Some(predicate)))),
                };
                self.decide(owner, outcome);
            }
        }
    }

    /// Closes one that is not decided.
    fn close(&mut self, key: Key, spent: &mut impl FnMut(T)) {
        let Some(desk) = self.desks.get(key) else {
            return;
        };
        if desk.outcome.is_some() {
            return;
        }
        let (equal, place) = (desk.equal, desk.at);
        let list = if equal {
            &self.targets.owners
        } else {
            &self.predicates.owners
        };
        let owner = list[place as usize];
        let predicate = if equal {
            spent(self.targets.remove(place, &mut self.desks));
            None
        } else {
            Some(self.predicates.remove(place, &mut self.desks))
        };
        self.decide(owner, Outcome::Closed(predicate));
    }

    /// Latches an outcome. Its waker follows, in the order in which the waits joined.
    fn decide(&mut self, owner: u32, outcome: Outcome<T>) {
        if let Some(desk) = self.desks.at(owner) {
            self.counting -= usize::from(desk.method.counts());
            // There was none to drop.
            core::mem::forget(desk.outcome.replace(outcome));
            desk.at = self.decided;
            self.decided = owner;
        }
    }

    /// Found from the last to the first, woken from the first to the last.
    fn wake_decided(&mut self, out: &mut Outgoing<'_, T>) {
        let mut at = core::mem::replace(&mut self.decided, NONE);
        while let Some(desk) = self.desks.at(at) {
            at = desk.at;
            if let Some(waker) = desk.waker.take() {
                out.wake(waker);
            }
        }
    }

    /// The state ends: owned waits that are not decided are closed; what others have forgotten comes back.
    pub(crate) fn end(&mut self, out: &mut Outgoing<'_, T>) -> Vec<Held<T>> {
        let mut at = self.desks.first();
        let mut forgotten = Vec::new();
        while let Some((key, desk)) = at {
            if desk.owned {
                self.close(key, &mut |target| out.discard(target));
            } else {
                forgotten.push(key);
            }
            at = self.desks.after(key);
        }
        // While those that are decided are known by their index nobody leaves.
        self.wake_decided(out);
        let left = forgotten.into_iter().filter_map(|key| self.leave(key));
        left.collect()
    }

    /// A wait asks for its result. While there is none, `sleeper` is who to wake, and whoever was before comes back
    /// in it; without a `sleeper` it is whoever is known, if that is `waker`. Without a `waker` it only looks.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        key: Key,
        waker: Option<&Waker>,
        sleeper: &mut Option<Waker>,
    ) -> Asked<T> {
        let Some(desk) = self.desks.get(key) else {
            unreachable!("a wait keeps its desk until it leaves")
        };
        if desk.outcome.is_none() {
            desk.polled |= waker.is_some();
            let known = desk.waker.as_ref();
            if sleeper.is_some() {
                core::mem::swap(&mut desk.waker, sleeper);
            } else if waker.is_some_and(|new| !known.is_some_and(|known| known.will_wake(new))) {
                return Asked::NewWaker;
            }
            return Asked::Waiting;
        }
        match self.leave(key) {
            Some((outcome, waker)) => Asked::Decided(outcome, waker),
            None => unreachable!("it is there"),
        }
    }

    /// A wait leaves, decided or not. What it held comes back.
    #[inline]
    pub(crate) fn leave(&mut self, key: Key) -> Option<Held<T>> {
        let desk = self.desks.get(key)?;
        let (waker, outcome) = (desk.waker.take(), desk.outcome.take());
        let (method, equal, place) = (desk.method, desk.equal, desk.at);
        if self.desks.vacate(key) {
            self.moved();
        }
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                self.counting -= usize::from(method.counts());
                if equal {
                    Outcome::Value(self.targets.remove(place, &mut self.desks))
                } else {
                    Outcome::Judged(self.predicates.remove(place, &mut self.desks))
                }
            }
        };
        Some((outcome, waker))
    }

    /// The wait's method, where it came from, whether it was polled, whether it is decided.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&'static str, Origin, bool, bool)> {
        self.desks.iter().map(|desk| {
            let decided = desk.outcome.is_some();
            (desk.method.name(), desk.origin, desk.polled, decided)
        })
    }
}
