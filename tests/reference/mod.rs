//! The contract as plain sequential code, and an interpreter that runs a program of operations on both: on a
//! `Watched` and on the reference, compared after every step.
//!
//! No clever parts: what a watcher, a wait or a callback is owed is written down at each commit, in the open.

#![allow(dead_code, unreachable_pub)] // the fuzz target and the tests take different halves

use futures_lite::Stream;
use onlooker::{Callback, Overflow, SetPaced, Transition, TryRecvError, Wait, Watched, Watcher};
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

// What programs are made of

/// Values are 0 to 3.
pub type Number = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Set(Number),
    Replace(Number),
    SetIf(Number, Number),
    Update(Number),
    TryUpdate(Option<Number>),
    Modify(Number),
    Watch(usize, Bound),
    TryRecv(usize),
    /// Polls the future of `recv` once and drops it.
    Recv(usize),
    /// Polls the watcher as a stream; its waker stays.
    Next(usize),
    /// Polls a watcher's `wait_for` (or `wait_for_next`) once and drops it.
    Seek(usize, Number, bool),
    DropWatcher(usize),
    Wait(usize, Ask),
    /// Polls with one of two wakers.
    PollWait(usize, usize),
    DropWait(usize),
    Pace(usize, Number),
    PollPaced(usize),
    DropPaced(usize),
    Call(usize, Hear),
    DropCallback(usize),
}

pub type Bound = Option<(usize, bool)>;

/// What a wait asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    For(Number),
    ForNot(Number),
    Until(Number),
    Map(Number),
    Change,
    Next(Number),
    UntilNext(Number),
}

/// What a callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hear {
    /// Logs every change.
    All,
    /// Logs every change and, at this value, sets the next one.
    Chain(Number),
    /// Logs the value, once.
    Value(Number),
}

pub const WATCHERS: usize = 2;
pub const WAITS: usize = 3;
pub const PACED: usize = 2;
pub const CALLS: usize = 2;

/// Reads a program from any bytes: two for each operation.
pub fn decode(bytes: &[u8]) -> Vec<Op> {
    bytes.chunks_exact(2).map(|b| op(b[0], b[1])).collect()
}

fn op(kind: u8, arg: u8) -> Op {
    let n = arg & 3;
    let high = arg >> 2;
    let watcher = usize::from(high) % WATCHERS;
    let wait = usize::from(high) % WAITS;
    let paced = usize::from(high) % PACED;
    let call = usize::from(high) % CALLS;
    match kind % 32 {
        0..=4 => Op::Set(n),
        5 => Op::Replace(n),
        6 => Op::SetIf(n, high & 3),
        7 => Op::Update(n),
        8 => Op::TryUpdate((high & 1 == 0).then_some(n)),
        9 => Op::Modify(n),
        10 => Op::Watch(watcher, None),
        11 => Op::Watch(watcher, Some((usize::from(n) + 1, false))),
        12 => Op::Watch(watcher, Some((usize::from(n) + 1, true))),
        13 | 14 => Op::TryRecv(watcher),
        15 => Op::Recv(watcher),
        16 | 17 => Op::Next(watcher),
        18 => Op::Seek(watcher, n, high & 2 == 0),
        19 => Op::DropWatcher(watcher),
        20..=22 => {
            let ask = match high / 3 % 7 {
                0 => Ask::For(n),
                1 => Ask::ForNot(n),
                2 => Ask::Until(n),
                3 => Ask::Map(n),
                4 => Ask::Change,
                5 => Ask::Next(n),
                _ => Ask::UntilNext(n),
            };
            Op::Wait(wait, ask)
        }
        23..=25 => Op::PollWait(wait, usize::from(n & 1)),
        26 => Op::DropWait(wait),
        27 => Op::Pace(paced, n),
        28 => Op::PollPaced(paced),
        29 => Op::DropPaced(paced),
        30 => {
            let hear = match high / 2 % 3 {
                0 => Hear::All,
                1 => Hear::Chain(n),
                _ => Hear::Value(n),
            };
            Op::Call(call, hear)
        }
        _ => Op::DropCallback(call),
    }
}

// The reference

/// `(seq, old, new, missed)`
type Change = (u64, Number, Number, u64);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Value(Number),
    Mapped(u16),
    Change(Change),
}

fn judge(ask: Ask, change: Change) -> Option<Outcome> {
    let new = change.2;
    let value = |holds: bool| holds.then_some(Outcome::Value(new));
    match ask {
        Ask::For(n) | Ask::Next(n) => value(new == n),
        Ask::ForNot(n) => value(new != n),
        Ask::Until(n) | Ask::UntilNext(n) => value(new >= n),
        Ask::Map(n) => (new >= n).then(|| Outcome::Mapped(u16::from(new) + 100)),
        Ask::Change => Some(Outcome::Change(change)),
    }
}

struct Watching {
    bound: Bound,
    buffer: VecDeque<(u64, Number)>,
    seen: Number,
    seen_seq: u64,
    missed: u64,
    /// Its stream is pending: how often its task had been woken by then.
    asleep: Option<usize>,
    /// Something came since.
    owed_a_wake: Option<usize>,
}

impl Watching {
    fn push(&mut self, seq: u64, new: Number) {
        match self.bound {
            Some((capacity, newest)) if self.buffer.len() == capacity => {
                self.missed += 1;
                if newest {
                    return;
                }
                self.buffer.pop_front();
            }
            _ => {}
        }
        self.buffer.push_back((seq, new));
        self.owed_a_wake = self.asleep.take().or(self.owed_a_wake);
    }

    fn pop(&mut self) -> Option<Change> {
        let (seq, new) = self.buffer.pop_front()?;
        let change = (seq, self.seen, new, seq - self.seen_seq - 1);
        (self.seen, self.seen_seq) = (new, seq);
        Some(change)
    }

    fn has_room(&self) -> bool {
        self.bound
            .is_none_or(|(capacity, _)| self.buffer.len() < capacity)
    }
}

struct Waiting {
    ask: Ask,
    found: Option<Outcome>,
    waker: Option<usize>,
}

struct Hearing {
    id: usize,
    hear: Hear,
    since: u64,
}

/// A line in the log of all callbacks: who, and what it was given.
type Heard = (usize, Change);

#[derive(Default)]
struct Reference {
    value: Number,
    seq: u64,
    watchers: [Option<Watching>; WATCHERS],
    waits: [Option<Waiting>; WAITS],
    /// How often each of a wait's two tasks has to have been woken.
    wakes: [[usize; 2]; WAITS],
    calls: Vec<Hearing>,
    /// Changes on their way to the callbacks, and the one callback a value found at registration is for.
    backlog: VecDeque<(Change, Option<usize>)>,
    heard: Vec<Heard>,
    /// Paced setters in line: the slot, and how often it had been woken when it was polled.
    line: Vec<(usize, usize)>,
}

impl Reference {
    fn commit(&mut self, new: Number) -> bool {
        let old = std::mem::replace(&mut self.value, new);
        self.seq += 1;
        let change = (self.seq, old, new, 0);
        for watcher in self.watchers.iter_mut().flatten() {
            watcher.push(self.seq, new);
        }
        for (wait, wakes) in self.waits.iter_mut().zip(&mut self.wakes) {
            let Some(wait) = wait else { continue };
            if wait.found.is_none() {
                wait.found = judge(wait.ask, change);
                if wait.found.is_some() {
                    wait.waker
                        .take()
                        .into_iter()
                        .for_each(|waker| wakes[waker] += 1);
                }
            }
        }
        self.backlog.push_back((change, None));
        true
    }

    fn set(&mut self, new: Number) -> bool {
        new != self.value && self.commit(new)
    }

    /// Calls everybody for everything, in order; what a callback sets comes after.
    fn call(&mut self) {
        while let Some((change, only)) = self.backlog.pop_front() {
            let mut at = 0;
            while at < self.calls.len() {
                let &Hearing { id, hear, since } = &self.calls[at];
                let for_it = match only {
                    Some(only) => only == id,
                    None => since < change.0,
                };
                if !for_it {
                    at += 1;
                    continue;
                }
                match hear {
                    Hear::All => self.heard.push((id, change)),
                    Hear::Chain(n) => {
                        self.heard.push((id, change));
                        if change.2 == n {
                            self.set((n + 1) & 3);
                        }
                    }
                    Hear::Value(n) if change.2 == n => {
                        self.heard.push((id, (0, n, n, 0)));
                        self.calls.remove(at);
                        continue;
                    }
                    Hear::Value(_) => {}
                }
                at += 1;
            }
        }
    }

    fn has_room(&self) -> bool {
        self.watchers.iter().flatten().all(Watching::has_room)
    }
}

// What runs beside it

thread_local!(static LIVE: Cell<isize> = const { Cell::new(0) });

/// A number that counts its instances.
struct Counted(Number);

impl Counted {
    fn new(number: Number) -> Self {
        LIVE.with(|live| live.set(live.get() + 1));
        Self(number)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.with(|live| live.set(live.get() - 1));
    }
}

#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + Unpin>(task: &Arc<Task>, future: &mut F) -> Poll<F::Output> {
    let waker = Waker::from(task.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn wakes(task: &Task) -> usize {
    task.0.load(Ordering::Relaxed)
}

fn plain(change: Transition<Counted>) -> Change {
    (change.seq, change.old.0, change.new.0, change.missed)
}

enum Pending<'a> {
    Value(Wait<'a, Counted>),
    Mapped(Wait<'a, u16>),
    Change(Wait<'a, Transition<Counted>>),
}

impl<'a> Pending<'a> {
    fn new(state: &'a Watched<Counted>, ask: Ask) -> Self {
        match ask {
            Ask::For(n) => Self::Value(state.wait_for(Counted::new(n))),
            Ask::ForNot(n) => Self::Value(state.wait_for_not(Counted::new(n))),
            Ask::Until(n) => Self::Value(state.wait_until(move |value| value.0 >= n)),
            Ask::Map(n) => Self::Mapped(
                state.wait_map(move |value| (value.0 >= n).then(|| u16::from(value.0) + 100)),
            ),
            Ask::Change => Self::Change(state.wait_for_change()),
            Ask::Next(n) => Self::Value(state.wait_for_next(Counted::new(n))),
            Ask::UntilNext(n) => Self::Value(state.wait_until_next(move |value| value.0 >= n)),
        }
    }

    fn poll(&mut self, task: &Arc<Task>) -> Poll<Outcome> {
        match self {
            Self::Value(wait) => poll(task, wait).map(|value| Outcome::Value(value.0)),
            Self::Mapped(wait) => poll(task, wait).map(Outcome::Mapped),
            Self::Change(wait) => poll(task, wait).map(|change| Outcome::Change(plain(change))),
        }
    }
}

/// Runs `program` on both and compares them after every step; then ends the state, and compares what is left.
/// Gives back how many comparisons of a step that took.
pub fn run(program: &[Op]) -> usize {
    let live = LIVE.with(Cell::get);
    let state = Arc::new(Watched::new(Counted::new(0)));
    let mut model = Reference::default();
    let mut watchers: [Option<Watcher<Counted>>; WATCHERS] = Default::default();
    let tasks: [Arc<Task>; WATCHERS] = Default::default();
    {
        let shared = &state;
        let state: &Watched<Counted> = shared;
        let mut reader = state.reader();
        let mut waits: [Option<Pending<'_>>; WAITS] = Default::default();
        let wait_tasks: [[Arc<Task>; 2]; WAITS] = Default::default();
        let mut paced: [Option<(Number, SetPaced<'_, Counted>)>; PACED] = Default::default();
        let paced_tasks: [Arc<Task>; PACED] = Default::default();
        let mut callbacks: [Option<(usize, Callback)>; CALLS] = Default::default();
        let heard = Arc::new(Mutex::new(Vec::<Heard>::new()));
        let mut calls_made = 0;

        for &op in program {
            match op {
                Op::Set(n) => assert_eq!(state.set(Counted::new(n)), model.set(n)),
                Op::Replace(n) => {
                    let before = model.value;
                    model.commit(n);
                    assert_eq!(state.replace(Counted::new(n)).0, before);
                }
                Op::SetIf(n, if_it_is) => {
                    let holds = model.value == if_it_is;
                    if holds {
                        model.set(n);
                    }
                    let result = state.set_if(Counted::new(n), |value| value.0 == if_it_is);
                    assert_eq!(
                        result.map_err(|back| back.0),
                        if holds { Ok(()) } else { Err(n) }
                    );
                }
                Op::Update(n) => {
                    let before = model.value;
                    model.set((before + n) & 3);
                    let previous = state.update(|value| Counted::new((value.0 + n) & 3));
                    assert_eq!(previous.0, before);
                }
                Op::TryUpdate(n) => {
                    let before = model.value;
                    n.map(|n| model.set(n));
                    let result = state.try_update(|_| n.map(Counted::new));
                    let expected = if n.is_some() { Ok(before) } else { Err(before) };
                    assert_eq!(result.map(|v| v.0).map_err(|v| v.0), expected);
                }
                Op::Modify(n) => {
                    assert_eq!(state.modify(|value| value.0 = n), model.set(n));
                }
                Op::Watch(at, bound) => {
                    watchers[at] = None;
                    let watcher = match bound {
                        None => state.watch(),
                        Some((capacity, newest)) => {
                            let overflow = [Overflow::DropOldest, Overflow::DropNewest];
                            state.watch_bounded(capacity, overflow[usize::from(newest)])
                        }
                    };
                    assert_eq!(watcher.capacity(), bound.map(|(capacity, _)| capacity));
                    watchers[at] = Some(watcher);
                    model.watchers[at] = Some(Watching {
                        bound,
                        buffer: VecDeque::new(),
                        seen: model.value,
                        seen_seq: model.seq,
                        missed: 0,
                        asleep: None,
                        owed_a_wake: None,
                    });
                }
                Op::TryRecv(at) => {
                    if let (Some(watcher), Some(watching)) =
                        (&mut watchers[at], &mut model.watchers[at])
                    {
                        let expected = watching.pop().ok_or(TryRecvError::Empty);
                        assert_eq!(watcher.try_recv().map(plain), expected);
                    }
                }
                Op::Recv(at) => {
                    if let (Some(watcher), Some(watching)) =
                        (&mut watchers[at], &mut model.watchers[at])
                    {
                        let received = poll(&tasks[at], &mut watcher.recv());
                        watching.asleep = None;
                        match watching.pop() {
                            Some(change) => {
                                assert_eq!(received.map_ok(plain), Poll::Ready(Ok(change)));
                            }
                            None => assert!(received.is_pending()),
                        }
                    }
                }
                Op::Next(at) => {
                    if let (Some(watcher), Some(watching)) =
                        (&mut watchers[at], &mut model.watchers[at])
                    {
                        let before = wakes(&tasks[at]);
                        let waker = Waker::from(tasks[at].clone());
                        let next = Pin::new(watcher).poll_next(&mut Context::from_waker(&waker));
                        match watching.pop() {
                            Some(change) => {
                                assert_eq!(next.map(|t| t.map(plain)), Poll::Ready(Some(change)));
                            }
                            None => {
                                assert!(next.is_pending());
                                watching.asleep = Some(before);
                            }
                        }
                    }
                }
                Op::Seek(at, n, present) => {
                    if let (Some(watcher), Some(watching)) =
                        (&mut watchers[at], &mut model.watchers[at])
                    {
                        let found = if present {
                            poll(&tasks[at], &mut watcher.wait_for(Counted::new(n)))
                        } else {
                            poll(&tasks[at], &mut watcher.wait_for_next(Counted::new(n)))
                        };
                        let mut matches = present && watching.seen == n;
                        while !matches {
                            let Some(change) = watching.pop() else { break };
                            matches = change.2 == n;
                        }
                        watching.asleep = None;
                        match found {
                            Poll::Ready(found) => {
                                assert!(matches && found.is_ok_and(|found| found.0 == n));
                            }
                            Poll::Pending => assert!(!matches),
                        }
                    }
                }
                Op::DropWatcher(at) => {
                    let held = watchers[at].as_ref().map_or(0, |watcher| watcher.len() + 1);
                    let before = LIVE.with(Cell::get);
                    watchers[at] = None;
                    model.watchers[at] = None;
                    let freed = before - LIVE.with(Cell::get);
                    assert_eq!(freed, held as isize, "a dropped watcher frees what it held");
                }
                Op::Wait(at, ask) => {
                    waits[at] = None;
                    waits[at] = Some(Pending::new(state, ask));
                    let counts = !matches!(ask, Ask::Change | Ask::Next(_) | Ask::UntilNext(_));
                    let found = counts.then(|| judge(ask, (0, 0, model.value, 0))).flatten();
                    let waker = None;
                    model.waits[at] = Some(Waiting { ask, found, waker });
                }
                Op::PollWait(at, which) => {
                    if let (Some(wait), Some(waiting)) = (&mut waits[at], &mut model.waits[at]) {
                        match waiting.found.clone() {
                            Some(found) => {
                                assert_eq!(wait.poll(&wait_tasks[at][which]), Poll::Ready(found));
                                (waits[at], model.waits[at]) = (None, None);
                            }
                            None => {
                                assert!(wait.poll(&wait_tasks[at][which]).is_pending());
                                waiting.waker = Some(which);
                            }
                        }
                    }
                }
                Op::DropWait(at) => (waits[at], model.waits[at]) = (None, None),
                Op::Pace(at, n) => {
                    paced[at] = None;
                    model.line.retain(|(other, _)| *other != at);
                    paced[at] = Some((n, state.set_paced(Counted::new(n))));
                }
                Op::PollPaced(at) => {
                    if let Some((n, pace)) = &mut paced[at] {
                        let (n, before) = (*n, wakes(&paced_tasks[at]));
                        let polled = poll(&paced_tasks[at], pace);
                        let first = model.line.first().is_none_or(|(first, _)| *first == at);
                        if first && model.has_room() {
                            model.line.retain(|(other, _)| *other != at);
                            paced[at] = None;
                            assert_eq!(
                                polled,
                                Poll::Ready(model.set(n)),
                                "there was room for a paced set"
                            );
                        } else {
                            assert!(
                                polled.is_pending(),
                                "a paced set without room, or out of turn"
                            );
                            match model.line.iter_mut().find(|(other, _)| *other == at) {
                                Some(place) => place.1 = before,
                                None => model.line.push((at, before)),
                            }
                        }
                    }
                }
                Op::DropPaced(at) => {
                    paced[at] = None;
                    model.line.retain(|(other, _)| *other != at);
                }
                Op::Call(at, hear) => {
                    if let Some((id, _)) = callbacks[at].take() {
                        model.calls.retain(|call| call.id != id);
                    }
                    let id = calls_made;
                    calls_made += 1;
                    let log = heard.clone();
                    let note = move |change: Change| log.lock().unwrap().push((id, change));
                    let callback = match hear {
                        Hear::All => state.on_change(move |change| note(plain(change.clone()))),
                        Hear::Chain(n) => {
                            let state = Arc::downgrade(shared);
                            state.upgrade().unwrap().on_change(move |change| {
                                note(plain(change.clone()));
                                if change.new.0 == n {
                                    state.upgrade().unwrap().set(Counted::new((n + 1) & 3));
                                }
                            })
                        }
                        Hear::Value(n) => state.on_value(Counted::new(n), move |value| {
                            note((0, value.0, value.0, 0));
                        }),
                    };
                    callbacks[at] = Some((id, callback));
                    let since = model.seq;
                    model.calls.push(Hearing { id, hear, since });
                    if hear == Hear::Value(model.value) {
                        let change = (model.seq, model.value, model.value, 0);
                        model.backlog.push_back((change, Some(id)));
                    }
                }
                Op::DropCallback(at) => {
                    if let Some((id, _)) = callbacks[at].take() {
                        model.calls.retain(|call| call.id != id);
                    }
                }
            }
            model.call();

            // What anybody can see from outside.
            assert_eq!(state.read(|value| value.0), model.value, "value");
            assert_eq!(state.version(), model.seq, "version");
            assert_eq!(reader.get().0, model.value, "reader");
            let count = model.watchers.iter().flatten().count();
            assert_eq!(state.watcher_count(), count, "watcher_count");
            assert_eq!(*heard.lock().unwrap(), model.heard, "callbacks");
            for (at, (watcher, watching)) in watchers.iter().zip(&model.watchers).enumerate() {
                compare_watcher(watcher.as_ref(), watching.as_ref(), &tasks[at]);
            }
            for (at, tasks) in wait_tasks.iter().enumerate() {
                for (which, task) in tasks.iter().enumerate() {
                    assert_eq!(wakes(task), model.wakes[at][which], "wait {at} woken");
                    let keeps = model.waits[at]
                        .as_ref()
                        .is_some_and(|wait| wait.waker == Some(which));
                    assert_eq!(
                        Arc::strong_count(task) - 1,
                        usize::from(keeps),
                        "wait {at} keeps wakers"
                    );
                }
            }
            if let Some((first, before)) = model.line.first() {
                if model.has_room() {
                    assert!(
                        wakes(&paced_tasks[*first]) > *before,
                        "the first in line is called when there is room"
                    );
                }
            }
        }
    }

    // The end: all are woken, each drains what it has.
    drop(state);
    for ((mut watcher, watching), task) in watchers.into_iter().zip(&mut model.watchers).zip(&tasks)
    {
        let (Some(watcher), Some(watching)) = (&mut watcher, watching) else {
            continue;
        };
        assert!(watcher.is_closed());
        if let Some(before) = watching.asleep {
            assert!(wakes(task) > before, "the end wakes a sleeping watcher");
        }
        while let Some(change) = watching.pop() {
            assert_eq!(watcher.try_recv().map(plain), Ok(change));
        }
        assert_eq!(watcher.try_recv().map(plain), Err(TryRecvError::Closed));
        let ended = pin!(watcher.recv()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ended, Poll::Ready(Err(_))));
    }
    assert_eq!(LIVE.with(Cell::get), live, "values leaked");
    program.len()
}

fn compare_watcher(watcher: Option<&Watcher<Counted>>, watching: Option<&Watching>, task: &Task) {
    let (Some(watcher), Some(watching)) = (watcher, watching) else {
        assert!(watcher.is_none() && watching.is_none());
        return;
    };
    assert_eq!(watcher.len(), watching.buffer.len(), "len");
    assert_eq!(watcher.is_empty(), watching.buffer.is_empty(), "is_empty");
    assert_eq!(watcher.seen().0, watching.seen, "seen");
    assert_eq!(watcher.missed(), watching.missed, "missed");
    assert!(!watcher.is_closed());
    if let Some(before) = watching.owed_a_wake {
        assert!(wakes(task) > before, "a sleeping watcher is woken");
    }
}
