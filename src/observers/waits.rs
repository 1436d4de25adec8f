//! The waits on one state, each judged inside the commit.
//!
//! A wait sits at a desk that it keeps until it leaves. What it waits for lies in a dense list beside others of its
//! kind, so that a transition that matches nobody costs a walk over plain memory. What it found takes that place, behind
//! those that wait: there is one place for both, and it is there before it is needed.
//!
//! ```text
//! waiting   the commit judges its test; who asks leaves a waker
//! decided   the match is latched: commits pass it by; who asks takes it and leaves the desk
//! ```
//!
//! **A wait is decided in the critical section of the commit that matches it**: what any thread sees after that commit
//! includes the decision. (Models `join_*`; `histories/one.rs`.)

use super::{Origin, Outgoing};
use crate::slab::{Key, Slab, make_room};
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

    /// Whether it waits for an equal value.
    const fn compares(self) -> bool {
        matches!(self, Method::For | Method::ForNext)
    }
}

/// How far a wait has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// The match lies where the test lay.
    Found,
    /// The state is gone. Its target is, too; its predicate is for the waiter to drop.
    Closed,
    /// The user's code panicked over it.
    Panicked,
}

/// A wait's place.
struct Desk {
    waker: Option<Waker>,
    origin: Origin,
    /// Where in its list what belongs to it lies.
    at: u32,
    method: Method,
    stage: Stage,
    polled: bool,
    /// Of an `OwnedWait`, which outlives the `Watched`.
    owned: bool,
}

/// What a wait leaves at its desk, to be dropped outside.
pub(crate) type Held<T> = (Outcome<T>, Option<Waker>);

/// Things of one kind, and beside each the desk it belongs to, by its index. Those that wait come first, what is latched
/// lies behind them.
struct Dense<V> {
    things: Vec<V>,
    owners: Vec<u32>,
    waiting: u32,
}

impl<V> Dense<V> {
    const fn new() -> Self {
        Self {
            things: Vec::new(),
            owners: Vec::new(),
            waiting: 0,
        }
    }

    #[inline]
    fn waiting(&self) -> usize {
        self.waiting as usize
    }

    /// Adds something that is latched.
    #[inline]
    fn keep(&mut self, thing: V, owner: u32) -> u32 {
        make_room(&mut self.things);
        make_room(&mut self.owners);
        self.things.push(thing);
        self.owners.push(owner);
        (self.owners.len() - 1) as u32
    }

    /// Adds something that waits.
    #[inline]
    fn join(&mut self, thing: V, owner: u32, desks: &mut Slab<Desk>) -> u32 {
        let (last, place) = (self.keep(thing, owner), self.waiting);
        self.swap(place, last, desks);
        self.waiting += 1;
        place
    }

    /// Whatever moves, its desk is told.
    #[inline]
    fn swap(&mut self, one: u32, other: u32, desks: &mut Slab<Desk>) {
        if one == other {
            return;
        }
        self.things.swap(one as usize, other as usize);
        self.owners.swap(one as usize, other as usize);
        for place in [one, other] {
            if let Some(desk) = desks.at(self.owners[place as usize]) {
                desk.at = place;
            }
        }
    }

    /// It waits no longer; says where it lies now. **The last one that waits takes its place.**
    #[inline]
    fn latch(&mut self, place: u32, desks: &mut Slab<Desk>) -> u32 {
        self.waiting -= 1;
        self.swap(place, self.waiting, desks);
        self.waiting
    }

    /// Takes something out, latched or not.
    #[inline]
    fn remove(&mut self, mut place: u32, desks: &mut Slab<Desk>) -> V {
        if place < self.waiting {
            place = self.latch(place, desks);
        }
        self.swap(place, (self.owners.len() - 1) as u32, desks);
        self.owners.pop();
        let Some(thing) = self.things.pop() else {
            unreachable!("there is one for each owner")
        };
        if self.owners.capacity() > 64.max(4 * self.owners.len()) {
            self.give_back();
        }
        thing
    }

    #[cold]
    fn give_back(&mut self) {
        self.owners.shrink_to(2 * self.owners.len());
        self.things.shrink_to(2 * self.things.len());
    }

    /// Wakes whoever was latched since so many waited.
    #[inline]
    fn wake_since<T>(&self, waited: usize, desks: &mut Slab<Desk>, out: &mut Outgoing<'_, T>) {
        let mut at = self.waiting();
        while at < waited {
            // Fewer than that are there, if the user's code panicked over some.
            let owner = self.owners.get(at).copied();
            let desk = owner.and_then(|owner| desks.at(owner));
            if let Some(waker) = desk.and_then(|desk| desk.waker.take()) {
                out.wake(waker);
            }
            at += 1;
        }
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
    desks: Slab<Desk>,
    targets: Dense<T>,
    predicates: Dense<Box<dyn Predicate<T>>>,
    /// What is left of those over whom the user's code panicked.
    panicked: Dense<Box<Panicked<T>>>,
    /// There since the first wait for an equal value.
    code: Option<Code<T>>,
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
            panicked: Dense::new(),
            code: None,
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
        let at = match test {
            Test::Equal(target, code) => {
                self.code = Some(*code);
                self.targets.join(target.give(), owner, &mut self.desks)
            }
            Test::Judged(predicate) => {
                self.counting += usize::from(method.counts());
                let Some(predicate) = predicate.take() else {
                    unreachable!("it is taken once")
                };
                self.predicates.join(predicate, owner, &mut self.desks)
            }
        };
        self.desks.join(Desk {
            waker: None,
            origin,
            at,
            method,
            stage: Stage::Waiting,
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
        // The last of those that wait, and nobody sleeps on it yet.
        let (compares, place) = (desk.method.compares(), desk.at as usize);
        match shown {
            Some(Shown::Present(value)) if compares => self.compare(place, value, &mut spent),
            Some(shown) if !compares => self.judge(place, shown),
            _ => {}
        }
        if !open {
            self.close(key, &mut spent);
        }
    }

    /// Where desks moved up, what belongs to them is told.
    #[cold]
    fn moved(&mut self) {
        for (index, desk) in self.desks.iter_mut().enumerate() {
            let owners = match desk.stage {
                Stage::Panicked => &mut self.panicked.owners,
                Stage::Closed if desk.method.compares() => continue,
                _ if desk.method.compares() => &mut self.targets.owners,
                _ => &mut self.predicates.owners,
            };
            owners[desk.at as usize] = index as u32;
        }
    }

    /// Shows one transition to every wait. Called inside the commit; runs `T`'s code and the predicates.
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T, out: &mut Outgoing<'_, T>) {
        let waited = (self.targets.waiting(), self.predicates.waiting());
        self.compare(0, new, &mut |target| out.discard(target));
        self.judge(0, &Shown::Transition { seq, old, new });
        self.wake_since(waited, out);
    }

    /// Decides those who wait for a number of lookers.
    pub(crate) fn count(&mut self, lookers: usize, out: &mut Outgoing<'_, T>) {
        if self.counting > 0 {
            let waited = (self.targets.waiting(), self.predicates.waiting());
            self.judge(0, &Shown::Lookers(lookers));
            self.wake_since(waited, out);
        }
    }

    /// Compares a value with the targets from a place on. Whoever is decided has been looked at, as has the last one,
    /// which then lies at its place.
    fn compare(&mut self, from: usize, new: &T, spent: &mut impl FnMut(T)) {
        let Some((find, clone)) = self.code else {
            return;
        };
        let mut below = self.targets.waiting() - from;
        while below > 0 {
            let targets = &self.targets.things[from..];
            let found = match catch(|| find(targets, new, &mut below)) {
                Ok(false) => break,
                Ok(true) => catch(|| clone(new)),
                Err(panic) => Err(panic),
            };
            let place = (from + below) as u32;
            let owner = self.targets.owners[from + below];
            match found {
                Ok(value) => {
                    let place = self.targets.latch(place, &mut self.desks);
                    let target = &mut self.targets.things[place as usize];
                    spent(core::mem::replace(target, value));
                    self.decide(owner, Stage::Found);
                }
                Err(panic) => {
                    spent(self.targets.remove(place, &mut self.desks));
                    self.panic(owner, panic, None);
                }
            }
        }
    }

    /// Shows something to the predicates from a place on.
    fn judge(&mut self, from: usize, shown: &Shown<'_, T>) {
        let mut below = self.predicates.waiting();
        while below > from {
            let predicates = &mut self.predicates.things;
            let mut found = false;
            let judged = catch(|| {
                let _inside = enter(Inside::Predicate);
                found = predicates[from..below].iter_mut().rev().any(|predicate| {
                    below -= 1;
                    predicate.judge(shown)
                });
            });
            if found || judged.is_err() {
                let (place, owner) = (below as u32, self.predicates.owners[below]);
                match judged {
                    Ok(()) => {
                        self.predicates.latch(place, &mut self.desks);
                        self.decide(owner, Stage::Found);
                    }
                    Err(panic) => {
                        let predicate = self.predicates.remove(place, &mut self.desks);
                        self.panic(owner, panic, Some(predicate));
                    }
                }
            }
        }
    }

    #[cold]
    fn panic(&mut self, owner: u32, panic: Panic, predicate: Option<Box<dyn Predicate<T>>>) {
        let at = self.panicked.keep(Box::new((panic, predicate)), owner);
        if let Some(desk) = self.desks.at(owner) {
            desk.at = at;
        }
        self.decide(owner, Stage::Panicked);
    }

    /// Closes one that is not decided.
    fn close(&mut self, key: Key, spent: &mut impl FnMut(T)) {
        let Some(desk) = self.desks.get(key) else {
            return;
        };
        if desk.stage != Stage::Waiting {
            return;
        }
        let (compares, place) = (desk.method.compares(), desk.at);
        let owner = if compares {
            let owner = self.targets.owners[place as usize];
            spent(self.targets.remove(place, &mut self.desks));
            owner
        } else {
            let owner = self.predicates.owners[place as usize];
            self.predicates.latch(place, &mut self.desks);
            owner
        };
        self.decide(owner, Stage::Closed);
    }

    /// Latches how it ended. Its waker follows.
    fn decide(&mut self, owner: u32, stage: Stage) {
        if let Some(desk) = self.desks.at(owner) {
            self.counting -= usize::from(desk.method.counts());
            desk.stage = stage;
        }
    }

    /// Found from the last to the first, woken from the first to the last.
    fn wake_since(&mut self, waited: (usize, usize), out: &mut Outgoing<'_, T>) {
        self.targets.wake_since(waited.0, &mut self.desks, out);
        self.predicates.wake_since(waited.1, &mut self.desks, out);
        self.panicked
            .wake_since(self.panicked.owners.len(), &mut self.desks, out);
    }

    /// The state ends: owned waits that are not decided are closed; what others have forgotten comes back.
    pub(crate) fn end(&mut self, out: &mut Outgoing<'_, T>) -> Vec<Held<T>> {
        let mut at = self.desks.first();
        let mut forgotten = Vec::new();
        while let Some((key, desk)) = at {
            if desk.owned {
                let waker = desk.waker.take();
                self.close(key, &mut |target| out.discard(target));
                if let Some(waker) = waker {
                    out.wake(waker);
                }
            } else {
                forgotten.push(key);
            }
            at = self.desks.after(key);
        }
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
        if desk.stage == Stage::Waiting {
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
        let waker = desk.waker.take();
        let (method, stage, place) = (desk.method, desk.stage, desk.at);
        let desks = &mut self.desks;
        let outcome = match stage {
            Stage::Panicked => Outcome::Panicked(self.panicked.remove(place, desks)),
            Stage::Closed if method.compares() => Outcome::Closed(None),
            Stage::Closed => Outcome::Closed(Some(self.predicates.remove(place, desks))),
            _ if method.compares() => Outcome::Value(self.targets.remove(place, desks)),
            _ => Outcome::Judged(self.predicates.remove(place, desks)),
        };
        self.counting -= usize::from(stage == Stage::Waiting && method.counts());
        if self.desks.vacate(key) {
            self.moved();
        }
        Some((outcome, waker))
    }

    /// The wait's method, where it came from, whether it was polled, whether it is decided.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&'static str, Origin, bool, bool)> {
        self.desks.iter().map(|desk| {
            let decided = desk.stage != Stage::Waiting;
            (desk.method.name(), desk.origin, desk.polled, decided)
        })
    }
}
