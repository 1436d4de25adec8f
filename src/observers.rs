//! Everybody who observes one state, and what a commit leaves to do for them once its lock is released.
//!
//! ```text
//! commit, under the lock          serve, outside, one thread at a time    call, outside, one thread at a time
//! ───────────────────────         ────────────────────────────────────    ───────────────────────────────────
//! rings, value waits   ─ woken ─▶ wake
//! fresh ◀─ the change  ─────────▶ judges: wait_until, wait_map …  ─ judged ─▶ callbacks
//! ```
//!
//! Two roles, *serving* and *calling*, each held by at most one thread. Whoever commits while a role is free takes
//! it; whoever commits meanwhile (another thread, a callback that sets, an interrupt) leaves its change behind.
//!
//! **Invariant: while `fresh` or `woken` holds anything somebody serves, and while `judged` holds anything somebody
//! serves or calls.** A role is put down in the same critical section that finds its work done. (Loom models
//! `handover_*` check it.)
//!
//! Joining needs no message: a judge or callback remembers the `seq` at which it joined and is shown only what is
//! younger. The judges sit on two benches, of which the server takes one at a time out of the lock, whole; who joins
//! meanwhile sits down on the other, and who leaves the one that is out is struck off before its next turn
//! (`departures`). A callback is taken out by itself.

mod call;
mod serve;

use crate::callback::Call;
use crate::cell::Shared;
use crate::paced::Queue;
use crate::ring::{Bell, Feed, Outgoing, Seat, Wake};
use crate::roll::{Key, Roll};
use crate::sync::{Arc, Panic, Serving, catch, panicking, resume};
use crate::targets::{Rest, Slot, Targets};
use crate::transition::Transition;
use crate::wait::Judge;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;
use event_listener::Event;

/// How long the backlog may grow before setters wait for it. Short in models, so that they see it.
const CROWDED: usize = if cfg!(loom) { 2 } else { 1024 };

/// What a commit leaves its setter to do.
pub(crate) enum Follow<T> {
    /// Nobody needs anything, or another thread is at it.
    Nothing,
    /// One sleeper, and nothing else: needs no role.
    Wake(Wake),
    /// One value that a ring gave up, and nothing else.
    Drop(T),
    /// The serving role is the setter's.
    Serve,
}

/// A delivery, or a panic of `T`'s `Clone` on the way to a watcher.
pub(crate) struct Debt<T> {
    pub(crate) follow: Follow<T>,
    pub(crate) trouble: Option<Panic>,
}

/// Where an observer sits: what its guard holds.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Watcher(Key),
    Target(Slot),
    Judge(JudgeKey),
    Callback(Key),
    Paced(Key),
}

/// Where a judge sits: on which bench, and there.
#[derive(Clone, Copy)]
pub(crate) struct JudgeKey {
    bench: usize,
    key: Key,
}

/// What a place held, to be dropped where no lock is held; and whom to wake there.
#[expect(dead_code, reason = "held to be dropped")]
pub(crate) enum Left<T> {
    Watcher(Option<Seat<T>>, Option<Waker>),
    Target(Rest<T>),
    Judge(Option<JudgeSeat<T>>),
    Callback(Option<CallSeat<T>>),
    Paced(Option<Waker>, Option<Waker>),
}

/// Whom a change is for.
enum Audience {
    /// All that had joined before it.
    All,
    /// One judge: the value it found when it joined.
    Judge(JudgeKey),
    /// One callback: the value it found when it joined.
    Callback(Key),
}

/// A value on its way to the judges.
struct Change<T> {
    seq: u64,
    new: T,
    /// Only where callbacks wait for it.
    old: Option<T>,
    audience: Audience,
}

/// A value on its way to the callbacks.
pub(crate) enum Judged<T> {
    Transition(Transition<T>),
    /// What one callback found when it joined.
    Debut(Key, T),
}

/// A judge's place.
pub(crate) struct JudgeSeat<T> {
    since: u64,
    judge: Box<dyn Judge<T>>,
}

/// A callback's place. Its closure is out while it runs.
pub(crate) struct CallSeat<T> {
    since: u64,
    call: Option<Box<dyn Call<T>>>,
}

/// Guarded by the state's lock.
pub(crate) struct Observers<T> {
    pub(crate) seats: Roll<Seat<T>>,
    pub(crate) feed: Option<Feed<T>>,
    pub(crate) targets: Targets<T>,
    pub(crate) paced: Queue,
    benches: [Roll<JudgeSeat<T>>; 2],
    /// The bench that the server has in hand. Its place here is empty.
    out: Option<usize>,
    /// Who left the bench that is out.
    departed: Vec<Key>,
    callbacks: Roll<CallSeat<T>>,
    /// `None` until a judge or a callback has joined.
    clone: Option<fn(&T) -> T>,
    fresh: VecDeque<Change<T>>,
    judged: VecDeque<Judged<T>>,
    woken: VecDeque<Wake>,
    /// Values that rings gave up, to be dropped outside.
    evicted: Vec<T>,
    serving: bool,
    calling: bool,
    /// Setters that sleep until the backlog has shrunk.
    crowd: usize,
}

impl<T> Default for Observers<T> {
    fn default() -> Self {
        Self {
            seats: Roll::new(),
            feed: None,
            targets: Targets::new(),
            paced: Queue::new(),
            benches: [Roll::new(), Roll::new()],
            out: None,
            departed: Vec::new(),
            callbacks: Roll::new(),
            clone: None,
            fresh: VecDeque::new(),
            judged: VecDeque::new(),
            woken: VecDeque::new(),
            evicted: Vec::new(),
            serving: false,
            calling: false,
            crowd: 0,
        }
    }
}

// A commit

impl<T> Observers<T> {
    /// Shows a commit to everybody: watchers and value waits have it when this returns. Runs under the lock.
    #[inline(never)]
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T, debt: &mut Option<Debt<T>>) {
        let mut trouble = None;
        if let (Some(feed), false) = (self.feed, self.seats.is_empty()) {
            let mut out = Outgoing {
                woken: &mut self.woken,
                evicted: &mut self.evicted,
            };
            trouble = feed(&mut self.seats, seq, new, &mut out);
        }
        if !self.targets.is_empty() {
            self.targets.offer(seq, old, new, &mut self.woken);
        }
        if let Some(clone) = self.clone {
            if let Err(panic) = self.offer_judges(seq, old, new, clone) {
                trouble.get_or_insert(panic);
            }
        }
        if self.has_work() || trouble.is_some() {
            let follow = self.take_work();
            *debt = Some(Debt { follow, trouble });
        }
    }

    /// Puts the change on its way to those who judge and listen outside the lock, if there are any.
    fn offer_judges(
        &mut self,
        seq: u64,
        old: &T,
        new: &T,
        clone: fn(&T) -> T,
    ) -> Result<(), Panic> {
        let heard = !self.callbacks.is_empty();
        let judged = self.out.is_some() || self.benches.iter().any(|bench| !bench.is_empty());
        if heard || judged {
            let change = catch(|| Change {
                seq,
                new: clone(new),
                old: heard.then(|| clone(old)),
                audience: Audience::All,
            })?;
            self.fresh.push_back(change);
        }
        Ok(())
    }

    #[inline]
    fn has_work(&self) -> bool {
        !self.woken.is_empty() || !self.fresh.is_empty() || !self.evicted.is_empty()
    }

    /// What a commit's own setter has to do.
    fn take_work(&mut self) -> Follow<T> {
        let alone = self.fresh.is_empty() && self.woken.len() + self.evicted.len() == 1;
        // Inside a delivery it goes the long way, which does not recurse.
        if alone && !self.serving && Serving::may_wait() {
            let wake = self.woken.pop_front().map(Follow::Wake);
            if let Some(follow) = wake.or_else(|| self.evicted.pop().map(Follow::Drop)) {
                return follow;
            }
        }
        self.take_serving()
    }

    /// Takes the serving role if there is work and nobody at it.
    pub(crate) fn take_serving(&mut self) -> Follow<T> {
        if self.has_work() && (!self.serving || cfg!(fault = "two_servers")) {
            self.serving = true;
            Follow::Serve
        } else {
            Follow::Nothing
        }
    }

    /// Room for everybody's wake, and for a value from every ring, at once: a commit allocates nothing for them.
    #[inline]
    pub(crate) fn reserve(&mut self) {
        if core::mem::needs_drop::<T>() && self.seats.len() > self.evicted.capacity() {
            self.evicted.reserve(self.seats.len() - self.evicted.len());
        }
        let most = self.seats.len() + self.targets.len();
        if most > self.woken.capacity() {
            self.woken.reserve(most - self.woken.len());
        }
    }

    /// Leaves somebody to be woken to whoever serves next.
    pub(crate) fn wake_later(&mut self, waker: Waker) {
        self.woken.push_back(Wake::Task(waker));
    }
}

// The backlog's bound

impl<T> Observers<T> {
    /// Whether a paced setter may set: no bounded ring is full, the backlog is short.
    pub(crate) fn has_room(&mut self) -> bool {
        if Serving::may_wait() && self.join_crowd() {
            return false;
        }
        self.seats.rewind();
        while let Some((_, seat)) = self.seats.advance() {
            if !seat.has_room() {
                return false;
            }
        }
        true
    }

    #[inline]
    fn is_crowded(&self) -> bool {
        self.fresh.len() + self.judged.len() >= CROWDED
    }

    /// Whether who adds to the backlog has to wait first: not inside a delivery, where what it waits for might be its
    /// own caller.
    #[inline]
    pub(crate) fn must_wait(&self) -> bool {
        self.is_crowded() && Serving::may_wait()
    }

    /// Says whether a setter has to sleep, and if so counts it in.
    pub(crate) fn join_crowd(&mut self) -> bool {
        let crowded = self.is_crowded();
        self.crowd += usize::from(crowded);
        crowded
    }

    /// Whom to wake now that the backlog is shorter: the sleeping setters, and the first paced one.
    fn relieve(&mut self) -> Relief {
        if self.crowd == 0 || self.fresh.len() + self.judged.len() > CROWDED / 2 {
            return Relief::default();
        }
        self.crowd = 0;
        Relief {
            crowd: !cfg!(fault = "crowd_forgotten"),
            paced: self.paced.call_first(),
        }
    }
}

/// Whom a shorter backlog lets go on.
#[derive(Default)]
struct Relief {
    crowd: bool,
    paced: Option<Waker>,
}

impl Relief {
    fn any(&self) -> bool {
        self.crowd || self.paced.is_some()
    }

    fn give(self, relief: &Event) {
        if self.crowd {
            relief.notify(usize::MAX);
        }
        if let Some(waker) = self.paced {
            waker.wake();
        }
    }
}

// Joining

impl<T> Observers<T> {
    pub(crate) fn join_judge(&mut self, seq: u64, judge: Box<dyn Judge<T>>) -> JudgeKey
    where
        T: Clone,
    {
        self.clone = Some(T::clone);
        let bench = usize::from(self.out == Some(0));
        let seat = JudgeSeat { since: seq, judge };
        let key = self.benches[bench].join(seat);
        JudgeKey { bench, key }
    }

    /// Shows a judge the value it found when it joined, in its place in the order.
    pub(crate) fn show_judge(&mut self, key: JudgeKey, seq: u64, value: T) -> Follow<T> {
        self.fresh.push_back(Change {
            seq,
            new: value,
            old: None,
            audience: Audience::Judge(key),
        });
        self.take_serving()
    }

    pub(crate) fn join_callback(&mut self, seq: u64, call: Box<dyn Call<T>>) -> Key
    where
        T: Clone,
    {
        self.clone = Some(T::clone);
        self.callbacks.join(CallSeat {
            since: seq,
            call: Some(call),
        })
    }

    /// Shows a callback the value it found when it joined, in its place in the order.
    pub(crate) fn show_callback(&mut self, key: Key, seq: u64, value: T) -> Follow<T> {
        self.fresh.push_back(Change {
            seq,
            new: value,
            old: None,
            audience: Audience::Callback(key),
        });
        self.take_serving()
    }

    /// Watchers, waits, callbacks.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let waits = self.targets.len() + self.benches.iter().map(Roll::len).sum::<usize>();
        (self.seats.len(), waits, self.callbacks.len())
    }
}

// Leaving

impl<T> Observers<T> {
    #[inline]
    fn leave(&mut self, place: Place) -> Left<T> {
        match place {
            Place::Watcher(key) => {
                let seat = self.seats.leave(key);
                // Its ring may have been the full one.
                let bounded = seat.as_ref().is_some_and(|seat| seat.overflow.is_some());
                let next = if bounded {
                    self.paced.call_first()
                } else {
                    None
                };
                Left::Watcher(seat, next)
            }
            Place::Target(slot) => Left::Target(self.targets.leave(slot)),
            Place::Judge(at) if self.out == Some(at.bench) => {
                // The server has it in hand; struck off and dropped there.
                self.departed.push(at.key);
                Left::Judge(None)
            }
            Place::Judge(at) => Left::Judge(self.benches[at.bench].leave(at.key)),
            Place::Callback(key) => Left::Callback(self.callbacks.leave(key)),
            Place::Paced(key) => {
                let (own, next) = self.paced.leave(key);
                Left::Paced(own, next)
            }
        }
    }
}

impl<T> Left<T> {
    /// Wakes who can go on now, and drops the rest. Where no lock is held.
    #[inline]
    fn clear(mut self) {
        if let Left::Watcher(_, next) | Left::Paced(_, next) = &mut self {
            if let Some(next) = next.take() {
                next.wake();
            }
        }
    }
}

impl<T> Shared<T> {
    /// Takes a guard's place away.
    ///
    /// A guard may be dropped under the lock, inside a closure of the state's own writers or by a panic there. Its
    /// place is then noted, and given up once the lock is free.
    #[inline]
    pub(crate) fn leave(&self, place: Place) {
        let left = self.lock.enter(|state| {
            let observers = state.observers();
            let left = observers.leave(place);
            match place {
                Place::Judge(_) if matches!(left, Left::Judge(None)) => {
                    self.departures
                        .store(self.departures.load().wrapping_add(1));
                }
                Place::Paced(_) => self.pacing.store(observers.paced.len()),
                _ => {}
            }
            left
        });
        match left {
            Some(left) => left.clear(),
            None => self.leave_later(place),
        }
    }

    /// The same for a value wait, by the shortest way.
    #[inline]
    pub(crate) fn leave_target(&self, slot: Slot) {
        let mut rest = Rest::Nothing;
        let entered = self
            .lock
            .enter(|state| rest = state.observers().targets.leave(slot));
        if entered.is_none() {
            self.leave_later(Place::Target(slot));
        }
    }

    #[cold]
    fn leave_later(&self, place: Place) {
        self.late.with(|late| late.push(place));
        #[cfg(not(fault = "latecomer_forgotten"))]
        self.latecomers.store(1);
    }

    /// Runs `f` under the lock; then sees off whoever wanted to leave meanwhile.
    #[inline]
    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut crate::cell::State<T>) -> R) -> R {
        let result = self.lock.with(f);
        self.see_off();
        result
    }

    #[inline]
    pub(crate) fn see_off(&self) {
        if self.latecomers.load() != 0 {
            self.see_off_late();
        }
    }

    #[cold]
    #[inline(never)]
    fn see_off_late(&self) {
        let places = self.late.with(|late| {
            self.latecomers.store(0);
            core::mem::take(late)
        });
        for place in places {
            self.leave(place);
        }
    }
}

// The end

impl<T> Observers<T> {
    /// Closes every ring and gives out all that is left, to be woken and dropped outside.
    pub(crate) fn end(&mut self) -> End<T> {
        let mut bells = Vec::with_capacity(self.seats.len());
        self.seats.rewind();
        while let Some((_, seat)) = self.seats.advance() {
            seat.ring.close();
            bells.extend(seat.asleep.take());
        }
        End {
            bells,
            _calls: self.callbacks.take_all(),
            _judges: core::mem::replace(&mut self.benches, [Roll::new(), Roll::new()]),
            _targets: core::mem::replace(&mut self.targets, Targets::new()),
            _paced: core::mem::replace(&mut self.paced, Queue::new()),
            woken: core::mem::take(&mut self.woken),
            _fresh: core::mem::take(&mut self.fresh),
            _judged: core::mem::take(&mut self.judged),
            _evicted: core::mem::take(&mut self.evicted),
        }
    }
}

/// All that observers leave behind when the state ends.
pub(crate) struct End<T> {
    bells: Vec<Arc<Bell>>,
    woken: VecDeque<Wake>,
    _calls: Vec<CallSeat<T>>,
    _judges: [Roll<JudgeSeat<T>>; 2],
    _targets: Targets<T>,
    _paced: Queue,
    _fresh: VecDeque<Change<T>>,
    _judged: VecDeque<Judged<T>>,
    _evicted: Vec<T>,
}

impl<T> End<T> {
    pub(crate) fn run(mut self) {
        let mut trouble = None;
        let bells = self.bells.drain(..).map(Wake::Bell);
        for wake in bells.chain(self.woken.drain(..)) {
            if let Err(panic) = catch(|| wake.wake()) {
                trouble.get_or_insert(panic);
            }
        }
        if let Err(panic) = catch(|| drop(self)) {
            trouble.get_or_insert(panic);
        }
        if let Some(panic) = trouble {
            // Closing happens in `Drop`: a second panic there would end the process.
            if !panicking() {
                resume(panic);
            }
        }
    }
}
