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
//! includes the decision. (Models `join_*`; `histories/one.rs`.)

use super::{Origin, Outgoing};
use crate::slab::{Key, Slab};
use crate::sync::{Inside, Panic, catch, enter};
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

/// What a wait waits for.
pub(crate) enum Test<T> {
    /// An equal value, with `T`'s own code: writers do not ask for these bounds.
    Equal(T, Code<T>),
    Judged(Box<dyn Predicate<T>>),
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

    /// Takes a test out; says whose is at its place now.
    #[inline]
    fn remove(&mut self, place: u32) -> (V, Option<u32>) {
        let test = self.tests.swap_remove(place as usize);
        self.owners.swap_remove(place as usize);
        if self.owners.capacity() > 64.max(4 * self.owners.len()) {
            self.give_back();
        }
        (test, self.owners.get(place as usize).copied())
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

    /// A wait sits down, with what it waits for or what it has already.
    #[inline]
    pub(crate) fn join(
        &mut self,
        test: Result<Outcome<T>, Test<T>>,
        owned: bool,
        method: Method,
        origin: Origin,
    ) -> Key {
        let owner = self.desks.next_key().index();
        let (at, equal, outcome) = match test {
            Err(Test::Equal(target, code)) => {
                self.code = Some(code);
                (self.targets.join(target, owner), true, None)
            }
            Err(Test::Judged(predicate)) => {
                self.counting += usize::from(method.counts());
                (self.predicates.join(predicate, owner), false, None)
            }
            Ok(outcome) => (NONE, false, Some(outcome)),
        };
        let key = self.desks.join_with(|| Desk {
            outcome: None,
            waker: None,
            origin,
            at,
            method,
            equal,
            polled: false,
            owned,
        });
        if let (Some(desk), true) = (self.desks.at(owner), outcome.is_some()) {
            desk.outcome = outcome;
        }
        key
    }

    /// Takes a target or a predicate out of its list.
    #[inline]
    fn withdraw(&mut self, equal: bool, place: u32) -> Outcome<T> {
        let (withdrawn, moved) = if equal {
            let (target, moved) = self.targets.remove(place);
            (Outcome::Value(target), moved)
        } else {
            let (predicate, moved) = self.predicates.remove(place);
            (Outcome::Judged(predicate), moved)
        };
        if let Some(desk) = moved.and_then(|index| self.desks.at(index)) {
            desk.at = place;
        }
        withdrawn
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
        if let Some((find, clone)) = self.code {
            let mut below = self.targets.owners.len();
            while below > 0 {
                let found = match catch(|| find(&self.targets.tests, new, &mut below)) {
                    Ok(false) => break,
                    Ok(true) => catch(|| clone(new)),
                    Err(panic) => Err(panic),
                };
                // Its place is then the last one's, who has been judged already.
                let outcome = found.map_or_else(Outcome::panicked, Outcome::Value);
                self.decide(true, below, |_| outcome, out);
            }
        }
        self.judge(&Shown::Transition { seq, old, new }, out);
        self.wake_decided(out);
    }

    /// Decides those who wait for a number of lookers.
    pub(crate) fn count(&mut self, lookers: usize, out: &mut Outgoing<'_, T>) {
        if self.counting > 0 {
            self.judge(&Shown::Lookers(lookers), out);
            self.wake_decided(out);
        }
    }

    /// Shows something to all predicates.
    fn judge(&mut self, shown: &Shown<'_, T>, out: &mut Outgoing<'_, T>) {
        let mut below = self.predicates.owners.len();
        while below > 0 {
            let predicates = &mut self.predicates.tests;
            let mut found = false;
            let judged = catch(|| {
                let _inside = enter(Inside::Predicate);
                while below > 0 && !found {
                    below -= 1;
                    found = predicates[below].judge(shown);
                }
            });
            match judged {
                Ok(()) if found => self.decide(false, below, Outcome::judged, out),
                Ok(()) => {}
                Err(panic) => {
                    let outcome = |predicate| Outcome::Panicked(Box::new((panic, predicate)));
                    self.decide(false, below, outcome, out);
                }
            }
        }
    }

    /// Latches an outcome. Its waker follows, in the order in which the waits joined.
    fn decide(
        &mut self,
        equal: bool,
        place: usize,
        outcome: impl FnOnce(Option<Box<dyn Predicate<T>>>) -> Outcome<T>,
        out: &mut Outgoing<'_, T>,
    ) {
        let owner = if equal {
            self.targets.owners[place]
        } else {
            self.predicates.owners[place]
        };
        let predicate = match self.withdraw(equal, place as u32) {
            Outcome::Judged(predicate) => Some(predicate),
            Outcome::Value(target) => {
                out.discard(target);
                None
            }
            _ => unreachable!("that is all that lies in the lists"),
        };
        if let Some(desk) = self.desks.at(owner) {
            self.counting -= usize::from(desk.method.counts());
            // There was none to drop.
            core::mem::forget(desk.outcome.replace(outcome(predicate)));
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
            let (equal, place) = (desk.equal, desk.at as usize);
            if !desk.owned {
                forgotten.push(key);
            } else if desk.outcome.is_none() {
                self.decide(equal, place, Outcome::Closed, out);
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
                self.withdraw(equal, place)
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

impl<T> Test<T> {
    /// What it makes of what there is already. If that decides it, the outcome, and the target it had, if any.
    pub(crate) fn look(self, shown: Shown<'_, T>) -> Result<(Outcome<T>, Option<T>), Self> {
        match (self, shown) {
            (Test::Equal(target, code), Shown::Present(value)) => {
                let found = catch(|| {
                    let (find, clone) = code;
                    let equal = find(core::slice::from_ref(&target), value, &mut 1);
                    equal.then(|| clone(value))
                });
                match found.transpose() {
                    None => Err(Test::Equal(target, code)),
                    Some(found) => {
                        let outcome = found.map_or_else(Outcome::panicked, Outcome::Value);
                        Ok((outcome, Some(target)))
                    }
                }
            }
            (Test::Judged(mut predicate), shown) => {
                let judged = catch(|| {
                    let _inside = enter(Inside::Predicate);
                    predicate.judge(&shown)
                });
                match judged {
                    Ok(false) => Err(Test::Judged(predicate)),
                    Ok(true) => Ok((Outcome::Judged(predicate), None)),
                    Err(panic) => Ok((Outcome::Panicked(Box::new((panic, Some(predicate)))), None)),
                }
            }
            (test, _) => Err(test),
        }
    }
}

impl<T> Outcome<T> {
    fn judged(predicate: Option<Box<dyn Predicate<T>>>) -> Self {
        match predicate {
            Some(predicate) => Outcome::Judged(predicate),
            None => unreachable!("only a predicate is judged"),
        }
    }

    fn panicked(panic: Panic) -> Self {
        Outcome::Panicked(Box::new((panic, None)))
    }
}
