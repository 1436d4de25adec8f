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
use crate::sync::{INTERRUPTS, Inside, Panic, catch, enter};
use crate::transition::Transition;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Waker;

/// A predicate, and what it found once it matched.
pub(crate) trait Predicate<T>: Send {
    /// Whether it matches; what it makes of the value it keeps.
    fn judge(&mut self, new: &T) -> bool;

    /// Puts what it found into `into`, an `Option` of its own output.
    fn give(&mut self, into: &mut dyn Any);
}

/// What a wait waits for.
pub(crate) enum Test<T> {
    Equal(T),
    Differs(T),
    Change,
    Judged(Box<dyn Predicate<T>>),
    /// Nobody looks at the state.
    Unwatched,
    /// Somebody does.
    Watched,
}

/// How a wait ended.
pub(crate) enum Outcome<T> {
    Value(T),
    Change(Transition<T>),
    /// What was found is in there.
    Judged(Box<dyn Predicate<T>>),
    /// Of those who count lookers.
    Counted,
    /// The state is gone. What lies in the box is for the waiter to drop.
    Closed(Option<Box<dyn Predicate<T>>>),
    /// The user's code panicked over it.
    Panicked(Panic, Option<Box<dyn Predicate<T>>>),
}

/// A wait's place.
pub(crate) struct Desk<T> {
    phase: Phase<T>,
    waker: Option<Waker>,
    polled: bool,
    /// Of an `OwnedWait`, which outlives the `Watched`.
    owned: bool,
    /// The wait's method.
    what: &'static &'static str,
    origin: Origin,
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

/// Tests of one kind, and beside each the wait it belongs to.
struct Dense<V> {
    tests: Vec<V>,
    owners: Vec<Key>,
}

impl<V> Dense<V> {
    const fn new() -> Self {
        Self {
            tests: Vec::new(),
            owners: Vec::new(),
        }
    }

    fn join(&mut self, test: V, owner: Key) -> u32 {
        self.tests.push(test);
        self.owners.push(owner);
        (self.owners.len() - 1) as u32
    }

    /// Takes a test out; says whose is at its place now.
    #[inline]
    fn remove(&mut self, place: u32) -> (V, Option<Key>) {
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
    /// Those that the present commit decided.
    decided: Vec<Key>,
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
            decided: Vec::new(),
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
        what: &'static &'static str,
        origin: Origin,
    ) -> Key {
        let key = self.desks.next_key();
        let phase = match test {
            Err(Test::Equal(target)) => {
                Phase::Waiting(Which::Targets, self.targets.join(target, key))
            }
            Err(test) => {
                self.counting += usize::from(test.counts());
                Phase::Waiting(Which::Tests, self.tests.join(test, key))
            }
            Ok(outcome) => Phase::Decided(outcome),
        };
        if INTERRUPTS && self.decided.capacity() < self.desks.len() + 1 {
            self.decided.reserve(self.desks.len() + 1);
        }
        self.desks.join(Desk {
            phase,
            waker: None,
            polled: false,
            owned,
            what,
            origin,
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
        if let Some(Desk { phase, .. }) = moved.and_then(|key| self.desks.get(key)) {
            if let Phase::Waiting(_, at) = phase {
                *at = place;
            }
        }
        self.counting -= usize::from(test.counts());
        test
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
        if let Some(desk) = self.desks.get(owner) {
            desk.phase = Phase::Decided(outcome(predicate));
            self.decided.push(owner);
        }
    }

    fn wake_decided(&mut self, out: &mut Outgoing<'_, T>) {
        if self.decided.len() > 1 {
            self.decided.sort_unstable_by_key(|key| key.number());
        }
        for key in self.decided.drain(..) {
            if let Some(waker) = self.desks.get(key).and_then(|desk| desk.waker.take()) {
                out.wake(waker);
            }
        }
        if self.decided.capacity() > 64.max(4 * self.desks.len()) {
            self.decided = Vec::new();
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
        let mut forgotten = Vec::new();
        let mut at = self.desks.first().map(|(key, desk)| (key, desk.owned));
        while let Some((key, owned)) = at {
            if !owned {
                forgotten.extend(self.leave(key));
            } else if let Some(Desk {
                phase: Phase::Waiting(which, place),
                ..
            }) = self.desks.get(key)
            {
                let (which, place) = (*which, *place as usize);
                self.decide(which, place, Outcome::Closed, out);
            }
            at = self.desks.after(key).map(|(key, desk)| (key, desk.owned));
        }
        self.wake_decided(out);
        forgotten
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
        let Desk { phase, waker, .. } = self.desks.leave(key)?;
        Some(match phase {
            Phase::Waiting(which, place) => LeftWait::Waiting(self.withdraw(which, place), waker),
            Phase::Decided(outcome) => LeftWait::Decided(outcome, waker),
        })
    }

    /// The wait's method, where it came from, whether it was polled, whether it is decided.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&'static str, Origin, bool, bool)> {
        self.desks.iter().map(|desk| {
            let decided = matches!(desk.phase, Phase::Decided(_));
            (*desk.what, desk.origin, desk.polled, decided)
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
            Test::Change | Test::Unwatched | Test::Watched => (None, None),
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
                predicate.judge(new).then_some(Matched::Judged)
            }
            Test::Equal(target) | Test::Differs(target) => {
                let (eq, clone) = (code.eq?, code.clone?);
                (eq(new, target) == equal).then(|| Matched::With(Outcome::Value(clone(new))))
            }
            Test::Change => {
                let clone = code.clone?;
                Some(Matched::With(Outcome::Change(Transition {
                    old: clone(old),
                    new: clone(new),
                    seq,
                    missed: 0,
                })))
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
