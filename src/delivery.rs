//! What is left of a commit once its lock is released: wakers, judges, callbacks; and who does it.
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
//! younger. The judges sit on two benches, of which the deliverer takes one at a time out of the lock, whole; who joins
//! meanwhile sits down on the other, and who leaves the one that is out is struck off before its next turn
//! (`departures`). A callback is taken out by itself.

use crate::callback::Call;
use crate::cell::{Debt, Shared, State};
use crate::paced::Queue;
use crate::ring::{Bell, Feed, Outgoing, Seat, Wake};
use crate::roll::{Key, Roll};
use crate::sync::{Arc, Panic, Serving, catch, panicking, resume};
use crate::targets::Targets;
use crate::transition::Transition;
use crate::wait::{Judge, Verdict};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// How long the backlog may grow before setters wait for it.
pub(crate) const CROWDED: usize = 1024;
/// Wakers taken out of the lock at a time.
const WAKES: usize = 8;

/// What a commit leaves its setter to do.
pub(crate) enum Follow {
    /// Nobody needs anything, or another thread is at it.
    Nothing,
    /// One sleeper, and nothing else: needs no role.
    Wake(Wake),
    /// The serving role is the setter's.
    Serve,
}

/// Where a judge sits: on which bench, and there.
#[derive(Clone, Copy)]
pub(crate) struct JudgeKey {
    bench: usize,
    key: Key,
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
struct JudgeSeat<T> {
    since: u64,
    judge: Box<dyn Judge<T>>,
}

/// A callback's place. Its closure is out while it runs.
struct CallSeat<T> {
    since: u64,
    call: Option<Box<dyn Call<T>>>,
}

/// Everybody who observes one state, and what is on the way to them. Guarded by the state's lock.
pub(crate) struct Observers<T> {
    pub(crate) seats: Roll<Seat<T>>,
    pub(crate) feed: Option<Feed<T>>,
    pub(crate) targets: Targets<T>,
    pub(crate) paced: Queue,
    benches: [Roll<JudgeSeat<T>>; 2],
    /// The bench that the deliverer has in hand. Its place here is empty.
    out: Option<usize>,
    /// Who left the bench that is out.
    departed: Vec<Key>,
    callbacks: Roll<CallSeat<T>>,
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

impl<T> Observers<T> {
    /// Shows a commit to everybody. Runs under its lock.
    #[inline(never)]
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T) -> Option<Debt> {
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
        let judged = self.out.is_some() || self.benches.iter().any(|bench| !bench.is_empty());
        let heard = judged || !self.callbacks.is_empty();
        if let (true, Some(clone)) = (heard, self.clone) {
            let for_callbacks = !self.callbacks.is_empty();
            let change = catch(|| Change {
                seq,
                new: clone(new),
                old: for_callbacks.then(|| clone(old)),
                audience: Audience::All,
            });
            match change {
                Ok(change) => self.fresh.push_back(change),
                Err(panic) => {
                    trouble.get_or_insert(panic);
                }
            }
        }
        let follow = self.take_work();
        let debt = trouble.is_some() || !matches!(follow, Follow::Nothing);
        debt.then_some(Debt { follow, trouble })
    }

    /// What a commit's own setter has to do.
    #[inline]
    fn take_work(&mut self) -> Follow {
        let alone = self.woken.len() == 1 && self.fresh.is_empty() && self.evicted.is_empty();
        // Inside a delivery it goes the long way, which does not recurse.
        if alone && !self.serving && Serving::may_wait() {
            if let Some(wake) = self.woken.pop_front() {
                return Follow::Wake(wake);
            }
        }
        self.take_serving()
    }

    /// Takes the serving role if there is work and nobody at it.
    #[inline]
    pub(crate) fn take_serving(&mut self) -> Follow {
        let work = !self.woken.is_empty() || !self.fresh.is_empty() || !self.evicted.is_empty();
        if work && (!self.serving || cfg!(fault = "two_servers")) {
            self.serving = true;
            Follow::Serve
        } else {
            Follow::Nothing
        }
    }

    /// Room for everybody's wake at once, so that a commit allocates nothing for it.
    pub(crate) fn reserve_wakes(&mut self) {
        let most = self.seats.len() + self.targets.len();
        self.woken.reserve(most.saturating_sub(self.woken.len()));
    }

    /// Leaves somebody to be woken to whoever serves next.
    pub(crate) fn wake_later(&mut self, waker: core::task::Waker) {
        self.woken.push_back(Wake::Task(waker));
    }

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

    pub(crate) fn is_crowded(&self) -> bool {
        self.fresh.len() + self.judged.len() >= CROWDED
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
            crowd: true,
            paced: self.paced.call_first(),
        }
    }

    // Judges

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
    pub(crate) fn show_judge(&mut self, key: JudgeKey, seq: u64, value: T) -> Follow {
        self.fresh.push_back(Change {
            seq,
            new: value,
            old: None,
            audience: Audience::Judge(key),
        });
        self.take_serving()
    }

    /// Gives the judge back, unless the deliverer has its bench: then it is struck off and dropped there. Says
    /// which.
    pub(crate) fn leave_judge(&mut self, at: JudgeKey) -> Result<Option<Box<dyn Judge<T>>>, Out> {
        if self.out == Some(at.bench) {
            self.departed.push(at.key);
            return Err(Out);
        }
        Ok(self.benches[at.bench].leave(at.key).map(|seat| seat.judge))
    }

    // Callbacks

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
    pub(crate) fn show_callback(&mut self, key: Key, seq: u64, value: T) -> Follow {
        self.fresh.push_back(Change {
            seq,
            new: value,
            old: None,
            audience: Audience::Callback(key),
        });
        self.take_serving()
    }

    pub(crate) fn leave_callback(&mut self, key: Key) -> Option<Box<dyn Call<T>>> {
        self.callbacks.leave(key).and_then(|seat| seat.call)
    }

    /// Watchers, waits, callbacks.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let waits = self.targets.len() + self.benches.iter().map(Roll::len).sum::<usize>();
        (self.seats.len(), waits, self.callbacks.len())
    }

    // The end

    /// Closes every ring and gives out all that is left, to be woken and dropped outside.
    pub(crate) fn end(&mut self) -> End<T> {
        let mut bells = Vec::with_capacity(self.seats.len());
        self.seats.rewind();
        while let Some((_, seat)) = self.seats.advance() {
            seat.ring.close();
            bells.push(seat.bell.clone());
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

    // The deliverer's turn, under the lock

    /// Takes back what the deliverer had in hand and gives it what comes next.
    fn next_job(&mut self, run: &mut Run<T>) -> Job {
        if let Some(bench) = self.out.take() {
            core::mem::swap(&mut self.benches[bench], &mut run.bench);
            for key in self.departed.drain(..) {
                run.spent.extend(self.benches[bench].leave(key));
            }
        }
        core::mem::swap(&mut self.evicted, &mut run.evicted);
        run.relief = self.relieve();
        if !self.woken.is_empty() {
            for place in &mut run.wakes {
                *place = self.woken.pop_front();
            }
            return Job::Work;
        }
        loop {
            if let Some(change) = &run.change {
                let next = match change.audience {
                    Audience::All => (run.shown..2).find(|bench| !self.benches[*bench].is_empty()),
                    Audience::Judge(at) if run.shown == 0 => Some(at.bench),
                    Audience::Judge(_) | Audience::Callback(_) => None,
                };
                if let Some(bench) = next {
                    run.shown = bench + 1;
                    self.out = Some(bench).filter(|_| !cfg!(fault = "bench_not_out"));
                    core::mem::swap(&mut self.benches[bench], &mut run.bench);
                    return Job::Work;
                }
            }
            if let Some(change) = run.change.take() {
                run.done = self.pass_on(change);
                if run.done.is_some() {
                    // Dropped outside before we come again.
                    return Job::Work;
                }
            }
            let Some(change) = self.fresh.pop_front() else {
                break;
            };
            run.change = Some(change);
            run.shown = 0;
        }
        if !run.is_empty() {
            return Job::Work;
        }
        self.serving = cfg!(fault = "role_kept");
        let call = !self.judged.is_empty() && (!self.calling || cfg!(fault = "two_callers"));
        self.calling |= call;
        Job::Done { call }
    }

    /// Hands a change that every judge has seen on to the callbacks, or back if none wants it.
    fn pass_on(&mut self, change: Change<T>) -> Option<Change<T>> {
        let Change {
            seq,
            new,
            old,
            audience,
        } = change;
        match (audience, old) {
            (Audience::All, Some(old)) if !self.callbacks.is_empty() => {
                self.judged.push_back(Judged::Transition(Transition {
                    old,
                    new,
                    seq,
                    missed: 0,
                }));
                None
            }
            (Audience::Callback(key), _) => {
                self.judged.push_back(Judged::Debut(key, new));
                None
            }
            (audience, old) => Some(Change {
                seq,
                new,
                old,
                audience,
            }),
        }
    }

    // The caller's turn, under the lock

    /// Takes back the callback that ran and gives out the next one.
    fn next_call(&mut self, turn: &mut Turn<T>) -> bool {
        if let Some(mut taken) = turn.call.take() {
            if taken.finished {
                self.callbacks.leave(taken.key);
            } else if let Some(seat) = self.callbacks.get(taken.key) {
                seat.call = taken.closure.take();
            }
            turn.spent = taken.closure;
        }
        turn.relief = self.relieve();
        loop {
            match &turn.judged {
                Some(Judged::Transition(transition)) => {
                    while let Some((key, seat)) = self.callbacks.advance() {
                        if seat.since < transition.seq || cfg!(fault = "called_for_the_past") {
                            if let Some(call) = seat.call.take() {
                                turn.call = Some(Taken::new(key, call));
                                return true;
                            }
                        }
                    }
                }
                Some(Judged::Debut(key, _)) if !turn.shown => {
                    turn.shown = true;
                    let call = self.callbacks.get(*key).and_then(|seat| seat.call.take());
                    if let Some(call) = call {
                        turn.call = Some(Taken::new(*key, call));
                        return true;
                    }
                }
                _ => {}
            }
            if turn.judged.is_some() || turn.spent.is_some() || turn.relief.any() {
                turn.done = turn.judged.take();
                return true;
            }
            let Some(judged) = self.judged.pop_front() else {
                self.calling = false;
                return false;
            };
            turn.judged = Some(judged);
            turn.shown = false;
            self.callbacks.rewind();
        }
    }
}

/// Whom a shorter backlog lets go on.
#[derive(Default)]
struct Relief {
    crowd: bool,
    paced: Option<core::task::Waker>,
}

impl Relief {
    fn any(&self) -> bool {
        self.crowd || self.paced.is_some()
    }

    fn give(self, relief: &Bell) {
        if self.crowd {
            relief.ring();
        }
        if let Some(waker) = self.paced {
            waker.wake();
        }
    }
}

/// The deliverer has this judge's bench in hand.
pub(crate) struct Out;

/// A callback in the hands of the thread that runs it.
struct Taken<T> {
    key: Key,
    closure: Option<Box<dyn Call<T>>>,
    finished: bool,
}

impl<T> Taken<T> {
    fn new(key: Key, closure: Box<dyn Call<T>>) -> Self {
        Self {
            key,
            closure: Some(closure),
            finished: false,
        }
    }
}

enum Job {
    Work,
    Done { call: bool },
}

/// What the serving thread has in hand.
struct Run<T> {
    wakes: [Option<Wake>; WAKES],
    /// The bench that is out, while `change` is shown to it.
    bench: Roll<JudgeSeat<T>>,
    /// Judges whose wait has left.
    spent: Vec<JudgeSeat<T>>,
    change: Option<Change<T>>,
    /// How many benches have seen the change.
    shown: usize,
    done: Option<Change<T>>,
    evicted: Vec<T>,
    relief: Relief,
    /// How many judges had left when these were taken in hand.
    departures: usize,
    trouble: Option<Panic>,
}

impl<T> Run<T> {
    fn new() -> Self {
        Self {
            wakes: [const { None }; WAKES],
            bench: Roll::new(),
            spent: Vec::new(),
            change: None,
            shown: 0,
            done: None,
            evicted: Vec::new(),
            relief: Relief::default(),
            departures: 0,
            trouble: None,
        }
    }

    /// Nothing left to wake, run or drop.
    fn is_empty(&self) -> bool {
        self.spent.is_empty() && self.evicted.is_empty() && !self.relief.any()
    }

    /// Runs what is in hand. Each piece of the user's code is caught by itself: one that panics leaves nobody
    /// asleep and nothing undone.
    fn work(&mut self, shared: &Shared<T>) {
        let trouble = &mut self.trouble;
        let mut run = |f: &mut dyn FnMut()| {
            if let Err(panic) = catch(f) {
                trouble.get_or_insert(panic);
            }
        };
        for wake in self.wakes.iter_mut().filter_map(Option::take) {
            let mut wake = Some(wake);
            run(&mut || wake.take().into_iter().for_each(Wake::wake));
        }
        if self.relief.any() {
            let mut relief = Some(core::mem::take(&mut self.relief));
            run(&mut || {
                if let Some(relief) = relief.take() {
                    relief.give(&shared.relief);
                }
            });
        }
        while let Some(value) = self.evicted.pop() {
            let mut value = Some(value);
            run(&mut || drop(value.take()));
        }
        while let Some(seat) = self.spent.pop() {
            let mut seat = Some(seat);
            run(&mut || drop(seat.take()));
        }
        if let Some(change) = self.done.take() {
            let mut change = Some(change);
            run(&mut || drop(change.take()));
        }
        if let Some(change) = &self.change {
            let one = match change.audience {
                Audience::Judge(at) => Some(at.key),
                Audience::All | Audience::Callback(_) => None,
            };
            self.bench.rewind();
            loop {
                let departures = shared.departures.load();
                if departures != self.departures {
                    self.departures = departures;
                    let departed = shared
                        .lock
                        .with(|state| core::mem::take(&mut state.observers().departed));
                    for key in departed {
                        let mut left = self.bench.leave(key);
                        run(&mut || drop(left.take()));
                    }
                }
                let next = match one {
                    Some(key) => self.bench.get(key).map(|seat| (key, seat)),
                    None => self.bench.advance(),
                };
                let Some((key, seat)) = next else { break };
                if one.is_none() && seat.since >= change.seq {
                    continue;
                }
                // The judge keeps a panic of its predicate for its own waiter.
                if let Verdict::Settled(mut waker) = seat.judge.judge(&change.new) {
                    let mut settled = self.bench.leave(key);
                    run(&mut || waker.take().into_iter().for_each(core::task::Waker::wake));
                    run(&mut || drop(settled.take()));
                }
                if one.is_some() {
                    break;
                }
            }
        }
    }
}

/// What the calling thread has in hand.
struct Turn<T> {
    call: Option<Taken<T>>,
    spent: Option<Box<dyn Call<T>>>,
    judged: Option<Judged<T>>,
    shown: bool,
    done: Option<Judged<T>>,
    relief: Relief,
    trouble: Option<Panic>,
}

impl<T> Turn<T> {
    fn work(&mut self, shared: &Shared<T>) {
        let trouble = &mut self.trouble;
        let mut run = |f: &mut dyn FnMut()| {
            if let Err(panic) = catch(f) {
                trouble.get_or_insert(panic);
            }
        };
        if self.relief.any() {
            let mut relief = Some(core::mem::take(&mut self.relief));
            run(&mut || {
                if let Some(relief) = relief.take() {
                    relief.give(&shared.relief);
                }
            });
        }
        let mut spent = self.spent.take();
        run(&mut || drop(spent.take()));
        let mut done = self.done.take();
        run(&mut || drop(done.take()));
        if let (Some(taken), Some(judged)) = (&mut self.call, &self.judged) {
            if let Some(call) = &mut taken.closure {
                // A callback that panics stays; its panic has been reported by the hook and ends here.
                taken.finished = catch(|| call.call(judged)).unwrap_or(false);
            }
        }
    }
}

impl<T> Shared<T> {
    /// Does what a commit left to do.
    pub(crate) fn follow(&self, follow: Follow) {
        match follow {
            Follow::Nothing => {}
            Follow::Wake(wake) => {
                let _serving = Serving::enter();
                wake.wake();
            }
            Follow::Serve => self.serve(),
        }
    }

    /// Serves until nothing is left. The caller holds the serving role.
    #[cold]
    #[inline(never)]
    fn serve(&self) {
        let _serving = Serving::enter();
        let mut run = Run::new();
        let call = loop {
            let job = self.lock.with(|state| {
                run.departures = self.departures.load();
                state.observers().next_job(&mut run)
            });
            match job {
                Job::Work => run.work(self),
                Job::Done { call } => break call,
            }
        };
        let mut trouble = run.trouble.take();
        drop(run);
        if call {
            trouble = trouble.or(self.call());
        }
        if let Some(panic) = trouble {
            resume(panic);
        }
    }

    /// Calls callbacks until nothing is left. The caller holds the calling role.
    fn call(&self) -> Option<Panic> {
        let mut turn = Turn {
            call: None,
            spent: None,
            judged: None,
            shown: false,
            done: None,
            relief: Relief::default(),
            trouble: None,
        };
        while self
            .lock
            .with(|state| state.observers().next_call(&mut turn))
        {
            turn.work(self);
        }
        turn.trouble
    }

    /// Runs `f` under the lock, then does what it left to do.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State<T>) -> (R, Follow)) -> R {
        let (result, follow) = self.lock.with(f);
        self.follow(follow);
        result
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
