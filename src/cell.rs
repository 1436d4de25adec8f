//! Where the state is, the writers' one way in, and the commit.
//!
//! A `Watched` starts as a plain value behind a lock of its own. The first observer moves the state, once and for
//! all, into a [`Shared`] that observers hold on to; from then on the lock in there is the lock.
//!
//! ```text
//! nobody observes   Watched { plain: value, shared: – }
//! observed          Watched { plain: –, shared: ─┐ }      View, Watcher, OwnedWait ─▶ Shared ◀─ Callback
//!                                                └──────────────────▶ { value, observers }
//! ended             the value stays in Shared until nobody can see it
//! ```
//!
//! Under the lock run `T`'s `PartialEq` and `Clone`, the closures of readers and writers, and predicates; nothing else
//! of the user's. **Whatever a critical section takes out (values, wakers, closures) it hands out, to be dropped
//! outside**: in [`Debts`] what the commit owes, in [`Left`] what somebody left.

mod turns;

pub(crate) use turns::{CallBack, Ticket};

use crate::error::Forgotten;
use crate::observers::{History, Left, Observers, Past, Place, Thing};
use crate::settle::{Debts, settle};
use crate::sync::{
    Arc, Counter, Held, Inside, Lock, Once, Slot, Version, const_fn, forbid_in_closure,
    forbid_in_predicate, inside, marked, reentered,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Waker;
use event_listener::Event;

/// How many transitions to keep, and in what.
pub(crate) type Keep<T> = (usize, fn(usize) -> History<T>);

/// A state that nobody observes yet.
struct Plain<T> {
    /// `None` once the state has moved.
    value: Option<T>,
    seq: u64,
    keep: Option<Keep<T>>,
}

/// The value, how often it changed, and who observes. Guarded by the lock in [`Shared`].
#[repr(C)]
pub(crate) struct State<T> {
    pub(crate) seq: u64,
    /// `None` once it has ended and nobody can see it, and before a derived state is complete.
    pub(crate) value: Option<T>,
    pub(crate) observers: Observers<T>,
    /// There may be more transitions.
    pub(crate) open: bool,
    /// There since the first callback.
    pub(crate) call_back: Option<CallBack<T>>,
}

/// What observers hold on to: it outlives its `Watched` until the last of them is gone.
///
/// In this order, here and in what lies in it: what every set touches comes first, on as few cache lines as may be. One
/// of many states is none of them in the cache.
#[repr(C)]
pub(crate) struct Shared<T> {
    /// Whether there are places in `late`.
    latecomers: Counter,
    pub(crate) version: Version,
    pub(crate) lock: Lock<State<T>>,
    /// 1 once there will be no more transitions: then `version` is final.
    ended: Counter,
    /// How many paced setters wait for room.
    pub(crate) pacing: Counter,
    /// Announces that the turn at callbacks is free.
    turns: Event,
    /// Places whose handles were dropped under the lock, by the thread inside.
    late: Lock<Vec<Place<T>>>,
}

impl<T> State<T> {
    /// The value as long as somebody can see it.
    #[inline]
    #[track_caller]
    pub(crate) fn value(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("the value stays as long as somebody can see it"),
        }
    }

    /// The value at an earlier version, and what came after it.
    pub(crate) fn since(&self, version: u64, past: &mut Past<T>) -> Result<(), Forgotten>
    where
        T: Clone,
    {
        if self
            .observers
            .ties
            .as_ref()
            .is_some_and(|ties| ties.is_derived())
        {
            return Err(Forgotten { oldest: None });
        }
        let none = History::new(0);
        let history = self.observers.history.as_deref().unwrap_or(&none);
        history.since(version, self.seq, self.value(), past)
    }

    /// What nobody will see again is given out, to be dropped piece by piece.
    pub(crate) fn put_away(&mut self, left: &mut Left<T>) {
        let forsaken = self.observers.is_forsaken();
        if forsaken {
            self.observers.let_sources_go(left);
        }
        let ended = !self.open && self.observers.lookers() == 0;
        if ended || forsaken {
            if let Some(value) = self.value.take() {
                left.push(Thing::Value(value));
            }
            if let Some(history) = self.observers.history.take() {
                left.push(Thing::History(history));
            }
        }
    }
}

impl<T> Shared<T> {
    pub(crate) fn new(value: Option<T>, seq: u64, open: bool) -> Self {
        Self {
            lock: Lock::new(State {
                value,
                seq,
                open,
                call_back: None,
                observers: Observers::new(),
            }),
            version: Version::new(seq),
            ended: Counter::new(),
            pacing: Counter::new(),
            turns: Event::new(),
            late: Lock::new(Vec::new()),
            latecomers: Counter::new(),
        }
    }

    /// Runs `f`, which may run code of the user, under the lock; `None` if this very thread is inside already. **Whoever
    /// wants to leave meanwhile does so before the lock is free, also when `f` panics.**
    #[inline]
    pub(crate) fn enter<R>(
        &self,
        left: &mut Left<T>,
        f: impl FnOnce(&mut State<T>, &mut Left<T>) -> R,
    ) -> Option<R> {
        self.lock.enter(|state| {
            let section = Section {
                shared: self,
                state,
                left,
            };
            f(section.state, section.left)
        })
    }

    /// The same for a closure of the user's, or what clones and compares for him.
    #[inline]
    #[track_caller]
    fn section<R>(
        &self,
        left: &mut Left<T>,
        f: impl FnOnce(&mut State<T>, &mut Left<T>) -> R,
    ) -> R {
        let entered = marked(Inside::Closure, || self.enter(left, f));
        match entered {
            Some(result) => result,
            None => reentered(),
        }
    }

    /// Looks, or registers.
    #[inline]
    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State<T>, &mut Left<T>) -> R) -> R {
        let mut left = Left::new();
        let result = self.register(&mut left, f);
        left.before(result)
    }

    /// The same; what others left is the caller's, to be dropped once its own handle is made: should that panic, the
    /// handle takes its place away.
    #[inline]
    #[track_caller]
    pub(crate) fn register<R>(
        &self,
        left: &mut Left<T>,
        f: impl FnOnce(&mut State<T>, &mut Left<T>) -> R,
    ) -> R {
        forbid_in_predicate();
        self.section(left, f)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|state, _| f(state.value()))
    }

    /// Settles what a decision owes.
    #[inline]
    pub(crate) fn pay(this: &Arc<Self>, owing: &mut Owing<T>) {
        if !owing.debts.is_empty() || !owing.left.is_empty() || owing.ticket.is_some() {
            Self::settle(this, owing);
        }
    }

    #[inline(never)]
    fn settle(this: &Arc<Self>, owing: &mut Owing<T>) {
        let Owing {
            debts,
            left,
            ticket,
        } = owing;
        settle(&**this, debts, |depth, pieces| {
            if !left.is_empty() {
                pieces.run(|| left.clear());
            }
            if let Some((ticket, call_back)) = ticket.take() {
                call_back(this, ticket, depth, pieces);
            }
        });
    }

    /// Whether there will be no more transitions; then `version` is final.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load() != 0
    }

    /// The version without the lock, where the target can.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        match self.version.peek() {
            Some(version) => version,
            None => self.lock.with(|state| state.seq),
        }
    }

    pub(crate) fn say_ended(&self) {
        self.ended.store(1);
    }

    /// Nothing more will be committed. What is left is to be dropped outside, and who follows to be told.
    pub(crate) fn close(&self, state: &mut State<T>, left: &mut Left<T>) {
        self.take_away(state, Place::watched(), left);
    }

    /// Takes a handle's place away.
    ///
    /// A handle may be dropped under the lock, inside a closure or by a panic there. Its place is then noted, and given
    /// up before the lock is free.
    pub(crate) fn leave(&self, place: Place<T>) {
        let mut left = Left::new();
        let entered = self
            .lock
            .enter(|state| self.take_away(state, place, &mut left));
        if entered.is_none() {
            self.leave_late(place);
        }
    }

    #[cold]
    pub(crate) fn leave_late(&self, place: Place<T>) {
        self.late.with(|late| late.push(place));
        self.latecomers.store(1);
    }

    pub(crate) fn take_away(&self, state: &mut State<T>, place: Place<T>, left: &mut Left<T>) {
        if place.ends {
            state.open = false;
            self.say_ended();
        }
        state.observers.leave(place, left);
        self.pacing.store(state.observers.line.len());
        state.put_away(left);
    }
}

/// A critical section in which the user's code runs.
struct Section<'a, T> {
    shared: &'a Shared<T>,
    state: &'a mut State<T>,
    left: &'a mut Left<T>,
}

impl<T> Drop for Section<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.shared.latecomers.load() != 0 {
            self.see_off();
        }
    }
}

impl<T> Section<'_, T> {
    #[cold]
    #[inline(never)]
    fn see_off(&mut self) {
        let places = self.shared.late.with(|late| {
            self.shared.latecomers.store(0);
            core::mem::take(late)
        });
        for place in places {
            self.shared.take_away(self.state, place, self.left);
        }
    }
}

/// What a writer has to see to once the lock is free.
pub(crate) struct Owing<T> {
    pub(crate) debts: Debts,
    left: Left<T>,
    /// To be called back.
    pub(crate) ticket: Option<Ticket<T>>,
}

impl<T> Owing<T> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            debts: Debts::new(),
            left: Left::new(),
            ticket: None,
        }
    }
}

/// A writer inside its critical section.
pub(crate) struct Writing<'a, T> {
    pub(crate) state: &'a mut State<T>,
    pub(crate) shared: &'a Shared<T>,
    /// The one in the `Watched`, which is read without going to [`Shared`].
    version: &'a Version,
    pub(crate) debts: &'a mut Debts,
    left: &'a mut Left<T>,
    ticket: &'a mut Option<Ticket<T>>,
}

impl<T> Writing<'_, T> {
    /// Swaps `value` in, and the one before out: one transition. Watchers, waits and derived states have it when this
    /// returns. **The last step of a critical section: nothing of the user's comes between it and the settlement.**
    #[inline]
    pub(crate) fn commit(&mut self, value: &mut T) {
        let (state, debts) = (&mut *self.state, &mut *self.debts);
        let Some(present) = &mut state.value else {
            return;
        };
        core::mem::swap(present, value);
        state.seq += 1;
        self.version.publish(state.seq);
        self.shared.version.publish(state.seq);
        let observers = &mut state.observers;
        if let Some(ticket) = observers.offer(state.seq, value, present, debts) {
            *self.ticket = state.call_back.map(|call_back| (ticket, call_back));
        }
        if observers.has_followers() {
            self.flow();
        }
    }

    /// To be woken with the settlement.
    pub(crate) fn wake(&mut self, waker: Waker) {
        let dues = &mut self.state.observers.dues;
        self.debts.own.wake(&mut dues.wakers, waker);
    }

    /// The same transition for those that are derived from this state, all of it before the lock is free.
    #[cold]
    fn flow(&mut self) {
        let cause = (core::ptr::from_ref(self.shared).addr(), self.state.seq);
        let State {
            value, observers, ..
        } = &mut *self.state;
        if let Some(value) = value {
            observers.flow(value, cause, self.debts, self.left);
        }
    }
}

/// The inside of a `Watched`. What a set of an observed state touches comes first.
#[repr(C)]
pub(crate) struct Cell<T> {
    version: Version,
    shared: Once<Arc<Shared<T>>>,
    plain: Lock<Plain<T>>,
}

impl<T> Cell<T> {
    const_fn! {
        pub(crate) const fn new(value: T, keep: Option<Keep<T>>) -> Self {
            Self {
                version: Version::new(0),
                plain: Lock::new(Plain {
                    value: Some(value),
                    seq: 0,
                    keep,
                }),
                shared: Once::new(),
            }
        }
    }

    /// Where observers find the state; moves it there the first time.
    #[inline]
    #[track_caller]
    pub(crate) fn shared(&self) -> Held<'_, Arc<Shared<T>>> {
        match self.shared.get() {
            Some(shared) => shared,
            None => self.share(),
        }
    }

    #[cold]
    #[track_caller]
    fn share(&self) -> Held<'_, Arc<Shared<T>>> {
        forbid_in_predicate();
        self.plain.with(|plain| {
            if plain.value.is_some() {
                let shared = Shared::new(plain.value.take(), plain.seq, true);
                if let Some((kept, history)) = plain.keep {
                    shared.lock.with(|state| {
                        state.observers.history = Some(Box::new(history(kept)));
                    });
                }
                self.shared.set(Arc::new(shared));
            }
        });
        match self.shared.get() {
            Some(shared) => shared,
            None => unreachable!("the state moves under the lock, and stays"),
        }
    }

    /// Runs `f` on the plain value if it is still there, else gives it back.
    #[inline]
    #[track_caller]
    fn plainly<F, R>(&self, f: F, run: impl FnOnce(F, &mut T, &mut u64) -> R) -> Result<R, F> {
        let entered = marked(Inside::Closure, || {
            self.plain.enter(|plain| match &mut plain.value {
                Some(value) if plain.keep.is_none() => Ok(run(f, value, &mut plain.seq)),
                _ => Err(f),
            })
        });
        match entered {
            Some(ran) => ran,
            None => reentered(),
        }
    }

    /// Runs `f` on the value.
    #[inline]
    #[track_caller]
    pub(crate) fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        forbid_in_predicate();
        let f = match self.shared.get() {
            Some(_) => f,
            None => match self.plainly(f, |f, value, _| f(value)) {
                Ok(result) => return result,
                Err(f) => f,
            },
        };
        self.shared().read(f)
    }

    /// The writers' one way in. Runs `decide` on the present value and a slot; if it says so, what is in the slot then
    /// and the present value change places. Says whether that was a transition.
    #[inline]
    #[track_caller]
    pub(crate) fn write(
        &self,
        slot: &mut Slot<T>,
        decide: impl FnOnce(&T, &mut Option<T>) -> bool,
    ) -> bool {
        forbid_in_closure();
        let mut f = (decide, &mut slot.0);
        if self.shared.get().is_none() {
            let ran = self.plainly(f, |(decide, slot), present, seq| {
                let commits = decide(present, slot);
                if let (true, Some(new)) = (commits, slot) {
                    core::mem::swap(present, new);
                    *seq += 1;
                    self.version.publish(*seq);
                }
                commits
            });
            match ran {
                Ok(commits) => return commits,
                // It moved out just before we had the lock.
                Err(back) => f = back,
            }
        }
        let (decide, slot) = f;
        self.act(|writing| {
            let commits = decide(writing.state.value(), slot);
            if let (true, Some(new)) = (commits, slot) {
                writing.commit(new);
            }
            commits
        })
    }

    /// Runs a decision that may commit, and settles what it owes.
    #[inline]
    #[track_caller]
    pub(crate) fn act<R>(&self, decide: impl FnOnce(&mut Writing<'_, T>) -> R) -> R {
        let mut owing = Owing::new();
        let shared = self.shared();
        let result = self.decide(&shared, &mut owing, decide);
        Shared::pay(&shared, &mut owing);
        // It is empty, which dropping it would find out piece by piece.
        core::mem::forget(owing);
        result
    }

    /// Runs a decision that may commit. What it owes then is for the caller to [pay](Shared::pay).
    #[inline]
    #[track_caller]
    pub(crate) fn decide<R>(
        &self,
        shared: &Shared<T>,
        owing: &mut Owing<T>,
        decide: impl FnOnce(&mut Writing<'_, T>) -> R,
    ) -> R {
        forbid_in_closure();
        let Owing {
            debts,
            left,
            ticket,
        } = owing;
        shared.section(left, |state, left| {
            decide(&mut Writing {
                state,
                shared,
                version: &self.version,
                debts,
                left,
                ticket,
            })
        })
    }

    /// The version without the lock, where the target can.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        match self.version.peek() {
            Some(version) => version,
            None => match self.shared.get() {
                Some(shared) => shared.version(),
                None => self.plain.with(|plain| plain.seq),
            },
        }
    }

    /// Looks at who observes; `None` if nobody ever did.
    #[track_caller]
    pub(crate) fn observed<R>(&self, f: impl FnOnce(&State<T>) -> R) -> Option<R> {
        forbid_in_predicate();
        match self.shared.get() {
            Some(shared) => Some(shared.with(|state, _| f(state))),
            None => {
                self.plain.forbid_reentry();
                None
            }
        }
    }

    /// What is there to look at, for `Debug`: `None` while this very thread is inside.
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&T, Option<&State<T>>) -> R) -> Option<R> {
        match self.shared.get() {
            Some(shared) => shared.peek(f),
            None => self
                .plain
                .enter(|plain| plain.value.as_ref().map(|value| f(value, None)))
                .flatten(),
        }
    }

    /// Ends the state: who observes drains what it has, then ends too.
    pub(crate) fn end(&self) {
        if let Some(shared) = self.shared.get() {
            shared.leave(Place::watched());
        } else if core::mem::needs_drop::<T>() {
            let value = self.plain.enter(|plain| plain.value.take());
            drop(value.flatten().map(|value| Slot(Some(value))));
        }
    }
}

impl<T> Shared<T> {
    /// What is there to look at, for `Debug`: `None` while this very thread is inside.
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&T, Option<&State<T>>) -> R) -> Option<R> {
        if inside() == Inside::Predicate {
            return None;
        }
        let mut left = Left::new();
        let seen = marked(Inside::Closure, || {
            self.enter(&mut left, |state, _| {
                let value = state.value.as_ref()?;
                Some(f(value, Some(state)))
            })
        });
        seen.flatten()
    }
}
