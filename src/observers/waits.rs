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
use crate::sync::{Inside, Panic, catch, enter};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Waker;

/// A predicate, and what it found once it matched.
pub(crate) trait Predicate<T>: Send {
    /// Whether it matches; what it makes of the transition it keeps.
    fn judge(&mut self, seq: u64, old: &T, new: &T) -> bool;

    /// Puts what it found into `into`, an `Option` of its own output.
    fn give(&mut self, into: &mut dyn Any);
}

/// What a wait waits for.
pub(crate) enum Test<T> {
    Equal(T),
    Differs(T),
    Judged(Box<dyn Predicate<T>>),
    /// Nobody looks at the state.
    Unwatched,
    /// Somebody does.
    Watched,
}

/// How a wait ended.
pub(crate) enum Outcome<T> {
    Value(T),
    /// What was found is in there.
    Judged(Box<dyn Predicate<T>>),
    /// Of those who count lookers.
    Counted,
    /// The state is gone. What lies in the box is for the waiter to drop.
    Closed(Option<Box<dyn Predicate<T>>>),
    /// The user's code panicked over it.
    Panicked(Panic, Option<Box<dyn Predicate<T>>>),
}

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
}

/// A wait's place.
pub(crate) struct Desk<T> {
    phase: Phase<T>,
    waker: Option<Waker>,
    origin: Origin,
    /// The next one that the present commit decided.
    next: u32,
    method: Method,
    polled: bool,
    /// Of an `OwnedWait`, which outlives the `Watched`.
    owned: bool,
}

enum Phase<T> {
    /// Its test lies at this place of a list.
    Waiting(Which, u32),
    Decided(Outcome<T>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Targets,
    Tests,
}

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
            self.owners.shrink_to(2 * self.owners.len());
            self.tests.shrink_to(2 * self.tests.len());
        }
        (test, self.owners.get(place as usize).copied())
    }
}

/// Finds, walking down from `below`, the next target that `new` is equal to; `below` is then its place. A panic of
/// `T`'s `PartialEq` leaves `below` at the place of the one that panicked.
type Find<T> = fn(&[T], new: &T, below: &mut usize) -> bool;

fn find_equal<T: PartialEq>(targets: &[T], new: &T, below: &mut usize) -> bool {
    while *below > 0 {
        *below -= 1;
        if *new == targets[*below] {
            return true;
        }
    }
    false
}

/// `T`'s own code, as the waits brought it: the writers do not ask for these bounds.
struct Code<T> {
    find: Option<Find<T>>,
    eq: Option<fn(&T, &T) -> bool>,
    clone: Option<fn(&T) -> T>,
}

pub(crate) struct Waits<T> {
    desks: Slab<Desk<T>>,
    /// The targets of those that wait for an equal value.
    targets: Dense<T>,
    /// All other tests.
    tests: Dense<Test<T>>,
    /// The first of those that the present commit decided.
    decided: u32,
    /// How many wait for a number of lookers.
    counting: usize,
    code: Code<T>,
}

/// What a wait learns when it asks.
pub(crate) enum Asked<T> {
    Waiting,
    /// Not decided either, and its waker is not the one that is known.
    NewWaker,
    /// Its desk is given up; what it left there is to be dropped outside.
    Decided(Outcome<T>, Option<Waker>),
}

/// What of a wait lay with the state, to be dropped where no lock is held.
#[expect(dead_code, reason = "held to be dropped")]
pub(crate) enum LeftWait<T> {
    Waiting(Test<T>, Option<Waker>),
    Decided(Outcome<T>, Option<Waker>),
}

impl<T> Waits<T> {
    pub(crate) const fn new() -> Self {
        Self {
            desks: Slab::new(),
            targets: Dense::new(),
            tests: Dense::new(),
            decided: NONE,
            counting: 0,
            code: Code {
                find: None,
                eq: None,
                clone: None,
            },
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.desks.len()
    }

    /// Learns to compare.
    #[inline]
    pub(crate) fn learn_eq(&mut self)
    where
        T: PartialEq,
    {
        self.code.find = Some(find_equal::<T>);
        self.code.eq = Some(T::eq);
    }

    /// Learns to clone.
    #[inline]
    pub(crate) fn learn_clone(&mut self)
    where
        T: Clone,
    {
        self.code.clone = Some(T::clone);
    }

    /// What a test makes of the present value. If that decides it, the outcome, and the target it had, if any.
    pub(crate) fn look(
        &self,
        mut test: Test<T>,
        value: &T,
    ) -> Result<(Outcome<T>, Option<T>), Test<T>> {
        let judged = catch(|| test.judge(0, value, value, &self.code));
        if let Ok(None) = judged {
            return Err(test);
        }
        let (predicate, target) = test.take_apart();
        let outcome = match judged {
            Err(panic) => Outcome::Panicked(panic, predicate),
            Ok(Some(Matched::With(outcome))) => outcome,
            Ok(_) => Outcome::of_predicate(predicate),
        };
        Ok((outcome, target))
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
        let phase = match test {
            Err(Test::Equal(target)) => {
                Phase::Waiting(Which::Targets, self.targets.join(target, owner))
            }
            Err(test) => {
                self.counting += usize::from(test.counts());
                Phase::Waiting(Which::Tests, self.tests.join(test, owner))
            }
            Ok(outcome) => Phase::Decided(outcome),
        };
        self.desks.join(Desk {
            phase,
            waker: None,
            origin,
            next: NONE,
            method,
            polled: false,
            owned,
        })
    }

    /// Takes a test out of its list.
    #[inline]
    fn withdraw(&mut self, which: Which, place: u32) -> Test<T> {
        let (test, moved) = match which {
            Which::Targets => {
                let (target, moved) = self.targets.remove(place);
                (Test::Equal(target), moved)
            }
            Which::Tests => self.tests.remove(place),
        };
        if let Some(desk) = moved.and_then(|index| self.desks.at(index)) {
            if let Phase::Waiting(_, at) = &mut desk.phase {
                *at = place;
            }
        }
        self.counting -= usize::from(test.counts());
        test
    }

    /// Frees a desk. Where others moved up, their tests are told.
    #[inline]
    fn free(&mut self, key: Key) -> Option<Desk<T>> {
        let (desk, moved) = self.desks.leave_or_move(key)?;
        if moved {
            for (index, desk) in self.desks.iter_mut().enumerate() {
                if let Phase::Waiting(which, place) = desk.phase {
                    let owners = match which {
                        Which::Targets => &mut self.targets.owners,
                        Which::Tests => &mut self.tests.owners,
                    };
                    owners[place as usize] = index as u32;
                }
            }
        }
        Some(desk)
    }

    /// Shows one transition to every wait. Called inside the commit; runs `T`'s code and the predicates.
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T, out: &mut Outgoing<'_, T>) {
        if let (Some(find), Some(clone)) = (self.code.find, self.code.clone) {
            let mut below = self.targets.owners.len();
            while below > 0 {
                let found = match catch(|| find(&self.targets.tests, new, &mut below)) {
                    Ok(false) => break,
                    Ok(true) => catch(|| clone(new)),
                    Err(panic) => Err(panic),
                };
                // Its place is then the last one's, who has been judged already.
                let outcome = match found {
                    Ok(found) => Outcome::Value(found),
                    Err(panic) => Outcome::Panicked(panic, None),
                };
                self.decide(Which::Targets, below, |_| outcome, out);
            }
        }
        let mut below = self.tests.owners.len();
        while below > 0 {
            let (tests, code) = (&mut self.tests.tests, &self.code);
            let mut found = None;
            let matched = catch(|| {
                while below > 0 && found.is_none() {
                    below -= 1;
                    found = tests[below].judge(seq, old, new, code);
                }
            });
            match (matched, found) {
                (Ok(()), None) => break,
                (Ok(()), Some(Matched::Judged)) => {
                    self.decide(Which::Tests, below, Outcome::of_predicate, out);
                }
                (Ok(()), Some(Matched::With(outcome))) => {
                    self.decide(Which::Tests, below, |_| outcome, out);
                }
                (Err(panic), _) => {
                    let outcome = |predicate| Outcome::Panicked(panic, predicate);
                    self.decide(Which::Tests, below, outcome, out);
                }
            }
        }
        self.wake_decided(out);
    }

    /// Latches an outcome. Its waker follows, in the order in which the waits joined.
    fn decide(
        &mut self,
        which: Which,
        place: usize,
        outcome: impl FnOnce(Option<Box<dyn Predicate<T>>>) -> Outcome<T>,
        out: &mut Outgoing<'_, T>,
    ) {
        let owner = match which {
            Which::Targets => self.targets.owners[place],
            Which::Tests => self.tests.owners[place],
        };
        let (predicate, target) = self.withdraw(which, place as u32).take_apart();
        if let Some(target) = target {
            out.discard(target);
        }
        if let Some(desk) = self.desks.at(owner) {
            desk.phase = Phase::Decided(outcome(predicate));
            desk.next = self.decided;
            self.decided = owner;
        }
    }

    /// Found from the last to the first, woken from the first to the last.
    fn wake_decided(&mut self, out: &mut Outgoing<'_, T>) {
        let mut at = core::mem::replace(&mut self.decided, NONE);
        while let Some(desk) = self.desks.at(at) {
            at = core::mem::replace(&mut desk.next, NONE);
            if let Some(waker) = desk.waker.take() {
                out.wake(waker);
            }
        }
    }

    #[inline]
    pub(crate) fn counts(&self) -> bool {
        self.counting > 0
    }

    /// Decides those who wait for this number of lookers.
    pub(crate) fn count(&mut self, lookers: usize, out: &mut Outgoing<'_, T>) {
        let mut below = self.tests.owners.len();
        while below > 0 {
            below -= 1;
            let counted = match &self.tests.tests[below] {
                Test::Unwatched => lookers == 0,
                Test::Watched => lookers > 0,
                _ => false,
            };
            if counted {
                self.decide(Which::Tests, below, |_| Outcome::Counted, out);
            }
        }
        self.wake_decided(out);
    }

    /// The state ends: owned waits that are not decided are closed; what others have forgotten comes back.
    pub(crate) fn end(&mut self, out: &mut Outgoing<'_, T>) -> Vec<LeftWait<T>> {
        let mut at = self.desks.first();
        let mut forgotten = Vec::new();
        while let Some((key, desk)) = at {
            match desk.phase {
                _ if !desk.owned => forgotten.push(key),
                Phase::Waiting(which, place) => {
                    self.decide(which, place as usize, Outcome::Closed, out);
                }
                Phase::Decided(_) => {}
            }
            at = self.desks.after(key);
        }
        // While those that are decided are known by their index nobody leaves.
        self.wake_decided(out);
        forgotten
            .into_iter()
            .filter_map(|key| self.leave(key))
            .collect()
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
        if let Phase::Waiting(..) = desk.phase {
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
            Some(LeftWait::Decided(outcome, waker)) => Asked::Decided(outcome, waker),
            _ => unreachable!("it is there, and not waiting"),
        }
    }

    /// A wait leaves, decided or not. What it held comes back.
    #[inline]
    pub(crate) fn leave(&mut self, key: Key) -> Option<LeftWait<T>> {
        let Desk { phase, waker, .. } = self.free(key)?;
        Some(match phase {
            Phase::Waiting(which, place) => LeftWait::Waiting(self.withdraw(which, place), waker),
            Phase::Decided(outcome) => LeftWait::Decided(outcome, waker),
        })
    }

    /// The wait's method, where it came from, whether it was polled, whether it is decided.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&'static str, Origin, bool, bool)> {
        self.desks.iter().map(|desk| {
            let decided = matches!(desk.phase, Phase::Decided(_));
            (desk.method.name(), desk.origin, desk.polled, decided)
        })
    }
}

/// That a test matched.
enum Matched<T> {
    With(Outcome<T>),
    /// The outcome is in the predicate.
    Judged,
}

impl<T> Test<T> {
    pub(crate) fn take_apart(self) -> (Option<Box<dyn Predicate<T>>>, Option<T>) {
        match self {
            Test::Judged(predicate) => (Some(predicate), None),
            Test::Equal(target) | Test::Differs(target) => (None, Some(target)),
            Test::Unwatched | Test::Watched => (None, None),
        }
    }

    fn counts(&self) -> bool {
        matches!(self, Test::Unwatched | Test::Watched)
    }

    #[inline]
    fn judge(&mut self, seq: u64, old: &T, new: &T, code: &Code<T>) -> Option<Matched<T>> {
        let equal = matches!(self, Test::Equal(_));
        match self {
            Test::Judged(predicate) => {
                let _inside = enter(Inside::Predicate);
                predicate.judge(seq, old, new).then_some(Matched::Judged)
            }
            Test::Equal(target) | Test::Differs(target) => {
                let (eq, clone) = (code.eq?, code.clone?);
                (eq(new, target) == equal).then(|| Matched::With(Outcome::Value(clone(new))))
            }
            Test::Unwatched | Test::Watched => None,
        }
    }
}

impl<T> Outcome<T> {
    pub(crate) fn of_predicate(predicate: Option<Box<dyn Predicate<T>>>) -> Self {
        match predicate {
            Some(predicate) => Outcome::Judged(predicate),
            None => unreachable!("only a predicate is judged"),
        }
    }
}
