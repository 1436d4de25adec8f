//! Linearizability: what threads saw of one state must be explained by *some* order of their calls, each of which took
//! effect at one moment between its beginning and its end.
//!
//! Small programs of several threads run on fresh states at full speed; beginnings and ends are stamped by one counter, and
//! a search in the manner of Wing and Gong looks for the order. `HISTORIES=100000` sets how many.
//!
//! Waits are decided in the commit, those with a predicate too: what they answer is explained like anything else. Only
//! `version` is read without the lock: it may count a transition that is being committed at that moment, before others
//! have it.

use onlooker::{Overflow, Wait, Watched, Watcher};
use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::hint::spin_loop;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;

/// Values are few, so that they meet.
const VALUES: u8 = 3;
const MOST_CALLS: usize = 5;
const STATES: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Set(u8),
    Replace(u8),
    /// If the present value is this one, that one.
    SetIf(u8, u8),
    /// The next value.
    Update,
    /// The next value, unless this is the last.
    TryUpdate,
    Modify(u8),
    Get,
    Version,
    Watch,
    WatchBounded(Overflow),
    Receive,
    WaitFor(u8),
    WaitForNext(u8),
    /// Polls the value wait.
    Poll,
    /// At least this.
    WaitUntil(u8),
    PollUntil,
}

/// Everything that calls give, as numbers.
type Answer = Option<[u64; 4]>;

#[derive(Clone, Copy, Debug)]
struct Event {
    call: Call,
    answer: Answer,
    begin: u64,
    end: u64,
}

fn answer(number: impl Into<u64>) -> Answer {
    Some([number.into(), 0, 0, 0])
}

/// A small generator: each history is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn program(dice: &mut Dice) -> Vec<Call> {
    let many = 3 + dice.roll(MOST_CALLS as u64 - 2) as usize;
    let mut calls = Vec::with_capacity(many);
    while calls.len() < many {
        let (value, other) = (
            dice.roll(VALUES.into()) as u8,
            dice.roll(VALUES.into()) as u8,
        );
        let has = |wanted: fn(&Call) -> bool| calls.iter().any(wanted);
        let watches = has(|call| matches!(call, Call::Watch | Call::WatchBounded(_)));
        let waits = has(|call| matches!(call, Call::WaitFor(_) | Call::WaitForNext(_)));
        let judges = has(|call| matches!(call, Call::WaitUntil(_)));
        calls.push(match dice.roll(18) {
            0 | 1 => Call::Set(value),
            2 => Call::Replace(value),
            3 | 4 => Call::SetIf(value, other),
            5 => Call::Update,
            6 => Call::TryUpdate,
            7 => Call::Modify(value),
            8 => Call::Get,
            9 => Call::Version,
            10 | 11 if watches => Call::Receive,
            10 => Call::Watch,
            11 if value == 0 => Call::WatchBounded(Overflow::DropNewest),
            11 => Call::WatchBounded(Overflow::DropOldest),
            12 | 13 if waits => Call::Poll,
            12 => Call::WaitFor(value),
            13 => Call::WaitForNext(value),
            14 if judges => Call::PollUntil,
            14 => Call::WaitUntil(value),
            15 if watches => Call::Receive,
            16 if waits => Call::Poll,
            17 if judges => Call::PollUntil,
            _ => continue,
        });
    }
    calls
}

/// What one thread holds while it runs its program.
#[derive(Default)]
struct Hands<'a> {
    watcher: Option<Watcher<u8>>,
    wait: Option<Wait<'a, u8>>,
    judged: Option<Wait<'a, u8>>,
}

fn poll<F: Future + Unpin>(future: &mut Option<F>) -> Option<F::Output> {
    let waiting = future.as_mut()?;
    match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => {
            *future = None;
            Some(output)
        }
        Poll::Pending => None,
    }
}

fn make<'a>(call: Call, state: &'a Watched<u8>, hands: &mut Hands<'a>) -> Answer {
    match call {
        Call::Set(value) => answer(state.set(value)),
        Call::Replace(value) => answer(state.replace(value)),
        Call::SetIf(value, expected) => answer(state.set_if(value, |now| *now == expected).is_ok()),
        Call::Update => answer(state.update(|now| (now + 1) % VALUES)),
        Call::TryUpdate => {
            let next = state.try_update(|now| (now + 1 < VALUES).then_some(now + 1));
            let (Ok(value) | Err(value)) = next;
            Some([u64::from(next.is_ok()), value.into(), 0, 0])
        }
        Call::Modify(value) => answer(state.modify(|now| *now = value)),
        Call::Get => answer(state.get()),
        Call::Version => answer(state.version()),
        Call::Watch | Call::WatchBounded(_) => {
            let watcher = match call {
                Call::WatchBounded(overflow) => state.watch_bounded(1, overflow),
                _ => state.watch(),
            };
            let seen = *watcher.seen();
            hands.watcher = Some(watcher);
            answer(seen)
        }
        Call::Receive => {
            let change = hands.watcher.as_mut()?.try_recv().ok()?;
            Some([
                change.old.into(),
                change.new.into(),
                change.seq,
                change.missed,
            ])
        }
        Call::WaitFor(value) => {
            hands.wait = Some(state.wait_for(value));
            None
        }
        Call::WaitForNext(value) => {
            hands.wait = Some(state.wait_for_next(value));
            None
        }
        Call::Poll => poll(&mut hands.wait).and_then(answer),
        Call::WaitUntil(least) => {
            hands.judged = Some(state.wait_until(move |now| *now >= least));
            None
        }
        Call::PollUntil => poll(&mut hands.judged).and_then(answer),
    }
}

// The model

#[derive(Clone, Hash)]
struct ModelWatcher {
    /// Bounded by one, and then whether it drops the oldest.
    bound: Option<bool>,
    buffer: VecDeque<(u64, u8)>,
    seen: (u64, u8),
}

#[derive(Clone, Default, Hash)]
struct ModelHands {
    watcher: Option<ModelWatcher>,
    /// What it waits for, what it found.
    wait: Option<(u8, Option<u8>)>,
    judged: Option<(u8, Option<u8>)>,
}

#[derive(Clone, Hash)]
struct Model {
    value: u8,
    seq: u64,
    hands: Vec<ModelHands>,
}

impl Model {
    fn new(threads: usize) -> Self {
        Self {
            value: 0,
            seq: 0,
            hands: vec![ModelHands::default(); threads],
        }
    }

    fn commit(&mut self, new: u8) {
        self.value = new;
        self.seq += 1;
        for hands in &mut self.hands {
            if let Some(ModelWatcher { bound, buffer, .. }) = &mut hands.watcher {
                match bound {
                    Some(false) if !buffer.is_empty() => {}
                    Some(true) if !buffer.is_empty() => buffer[0] = (self.seq, new),
                    _ => buffer.push_back((self.seq, new)),
                }
            }
            if let Some((target, found @ None)) = &mut hands.wait {
                *found = (new == *target).then_some(new);
            }
            if let Some((least, found @ None)) = &mut hands.judged {
                *found = (new >= *least).then_some(new);
            }
        }
    }

    /// Publishes what differs; says whether it did.
    fn set(&mut self, new: u8) -> bool {
        let changes = new != self.value;
        if changes {
            self.commit(new);
        }
        changes
    }

    /// Makes the call at this moment. Says whether that explains the answer.
    fn explains(&mut self, thread: usize, call: Call, seen: Answer) -> bool {
        let before = self.value;
        let given = match call {
            Call::Set(value) | Call::Modify(value) => answer(self.set(value)),
            Call::Replace(value) => {
                self.commit(value);
                answer(before)
            }
            Call::SetIf(value, expected) => {
                let holds = before == expected;
                if holds {
                    self.set(value);
                }
                answer(holds)
            }
            Call::Update => {
                self.set((before + 1) % VALUES);
                answer(before)
            }
            Call::TryUpdate => {
                let can = before + 1 < VALUES;
                if can {
                    self.set(before + 1);
                }
                Some([u64::from(can), before.into(), 0, 0])
            }
            Call::Get => answer(before),
            // One more while a commit is under way.
            Call::Version if seen == answer(self.seq + 1) => seen,
            Call::Version => answer(self.seq),
            Call::Watch | Call::WatchBounded(_) => {
                let bound = match call {
                    Call::WatchBounded(overflow) => Some(overflow == Overflow::DropOldest),
                    _ => None,
                };
                self.hands[thread].watcher = Some(ModelWatcher {
                    bound,
                    buffer: VecDeque::new(),
                    seen: (self.seq, before),
                });
                answer(before)
            }
            Call::Receive => {
                let watcher = self.hands[thread].watcher.as_mut();
                watcher.and_then(|watcher| {
                    let (seq, new) = watcher.buffer.pop_front()?;
                    let (last, old) = core::mem::replace(&mut watcher.seen, (seq, new));
                    Some([old.into(), new.into(), seq, seq - last - 1])
                })
            }
            Call::WaitFor(target) => {
                let found = (before == target).then_some(before);
                self.hands[thread].wait = Some((target, found));
                None
            }
            Call::WaitForNext(target) => {
                self.hands[thread].wait = Some((target, None));
                None
            }
            Call::Poll => {
                let found = self.hands[thread].wait.and_then(|(_, found)| found);
                if found.is_some() {
                    self.hands[thread].wait = None;
                }
                found.and_then(answer)
            }
            Call::WaitUntil(least) => {
                let found = (before >= least).then_some(before);
                self.hands[thread].judged = Some((least, found));
                None
            }
            Call::PollUntil => {
                let found = self.hands[thread].judged.and_then(|(_, found)| found);
                if found.is_some() {
                    self.hands[thread].judged = None;
                }
                found.and_then(answer)
            }
        };
        given == seen
    }
}

/// Looks for an order that explains the history.
fn is_linearizable(history: &[Vec<Event>]) -> bool {
    let mut hopeless = HashSet::new();
    let hasher = RandomState::new();
    search(
        history,
        &mut vec![0; history.len()],
        &Model::new(history.len()),
        &mut hopeless,
        &hasher,
    )
}

fn search(
    history: &[Vec<Event>],
    done: &mut Vec<usize>,
    model: &Model,
    hopeless: &mut HashSet<u64>,
    hasher: &RandomState,
) -> bool {
    let next = |done: &[usize]| {
        let of_thread = |(thread, at): (usize, &usize)| history[thread].get(*at);
        done.iter()
            .enumerate()
            .filter_map(of_thread)
            .map(|event| event.end)
            .min()
    };
    // Whoever begins after another has ended comes after it.
    let Some(first_end) = next(done) else {
        return true;
    };
    for thread in 0..history.len() {
        let Some(event) = history[thread].get(done[thread]) else {
            continue;
        };
        if event.begin > first_end {
            continue;
        }
        let mut then = model.clone();
        if !then.explains(thread, event.call, event.answer) {
            continue;
        }
        done[thread] += 1;
        let known = !hopeless.insert(hasher.hash_one((&*done, &then)));
        if !known && search(history, done, &then, hopeless, hasher) {
            return true;
        }
        done[thread] -= 1;
    }
    false
}

fn overlaps(history: &[Vec<Event>]) -> bool {
    let apart = |one: &Event, other: &Event| one.end < other.begin || other.end < one.begin;
    history.iter().enumerate().any(|(thread, events)| {
        let others = &history[thread + 1..];
        events.iter().any(|one| {
            others
                .iter()
                .flatten()
                .any(|other| !apart(one, other) && !matches!(other.call, Call::Get | Call::Version))
        })
    })
}

type Make = for<'a> fn(Call, &'a Watched<u8>, &mut Hands<'a>) -> Answer;

/// Runs one program after the other, each on a state of its own, all threads at once.
fn record(threads: usize, seed: u64, make: Make) -> Vec<Vec<Vec<Event>>> {
    let states: Vec<_> = (0..STATES).map(|_| Watched::new(0)).collect();
    let (arrived, clock) = (AtomicUsize::new(0), AtomicU64::new(0));
    let mut by_thread: Vec<_> = thread::scope(|scope| {
        let run = |thread: usize| {
            let (states, arrived, clock) = (&states, &arrived, &clock);
            let mut dice =
                Dice((seed * 64 + thread as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            scope.spawn(move || {
                let mut histories = Vec::with_capacity(STATES);
                for (round, state) in states.iter().enumerate() {
                    let calls = program(&mut dice);
                    let mut events = Vec::with_capacity(calls.len());
                    let mut hands = Hands::default();
                    arrived.fetch_add(1, SeqCst);
                    let mut looks = 0;
                    while arrived.load(SeqCst) < threads * (round + 1) {
                        looks += 1;
                        if looks % 128 == 0 {
                            thread::yield_now();
                        }
                        spin_loop();
                    }
                    for call in calls {
                        for _ in 0..dice.roll(40) {
                            spin_loop();
                        }
                        let begin = clock.fetch_add(1, SeqCst);
                        let answer = make(call, state, &mut hands);
                        let end = clock.fetch_add(1, SeqCst);
                        events.push(Event {
                            call,
                            answer,
                            begin,
                            end,
                        });
                    }
                    histories.push(events);
                }
                histories
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().into_iter())
            .collect()
    });
    (0..STATES)
        .map(|_| by_thread.iter_mut().filter_map(Iterator::next).collect())
        .collect()
}

#[test]
fn every_history_is_explained_by_one_order_of_its_calls() {
    let many = std::env::var("HISTORIES").map_or(20_000, |many| many.parse().expect("a number"));
    let (mut checked, mut overlapped, mut calls) = (0, 0, 0);
    for seed in 0.. {
        let threads = 2 + seed as usize % 3;
        for history in record(threads, seed, make) {
            assert!(is_linearizable(&history), "seed {seed}: {history:#?}");
            checked += 1;
            overlapped += usize::from(overlaps(&history));
            calls += history.iter().map(Vec::len).sum::<usize>();
        }
        // On a busy machine threads may run one after the other for long.
        if checked >= many && (overlapped * 100 > many || checked >= 20 * many) {
            break;
        }
    }
    println!("{checked} histories, {calls} calls; in {overlapped} of them calls overlapped");
    assert!(
        overlapped * 100 > many,
        "hardly any were concurrent: {overlapped}"
    );
}

#[test]
fn a_set_if_that_looks_first_and_sets_later_is_found_out() {
    let torn: Make = |call, state, hands| match call {
        Call::SetIf(value, expected) => {
            let holds = state.get() == expected;
            thread::yield_now();
            if holds {
                state.set(value);
            }
            answer(holds)
        }
        call => make(call, state, hands),
    };
    let found = (0..400).any(|seed| {
        let mut histories = record(2, 1_000 + seed, torn).into_iter();
        histories.any(|history| !is_linearizable(&history))
    });
    assert!(found, "200,000 histories of a torn set_if, all explained");
}

#[test]
fn the_search_tells_a_history_that_can_be_from_one_that_cannot() {
    let event = |call, answer, begin, end| Event {
        call,
        answer,
        begin,
        end,
    };
    // The get lies wholly after the set.
    let late = |seen: u8| {
        vec![
            vec![event(Call::Set(1), answer(true), 0, 1)],
            vec![event(Call::Get, answer(seen), 2, 3)],
        ]
    };
    assert!(is_linearizable(&late(1)));
    assert!(!is_linearizable(&late(0)));
    // They overlap: either will do.
    let beside = |seen: u8| {
        vec![
            vec![event(Call::Set(1), answer(true), 0, 3)],
            vec![event(Call::Get, answer(seen), 1, 2)],
        ]
    };
    assert!(is_linearizable(&beside(1)));
    assert!(is_linearizable(&beside(0)));
    assert!(!is_linearizable(&beside(2)));
    // A watcher that was there before the set has it afterwards.
    let watched = |received| {
        vec![
            vec![event(Call::Set(2), answer(true), 2, 3)],
            vec![
                event(Call::Watch, answer(0_u8), 0, 1),
                event(Call::Receive, received, 4, 5),
            ],
        ]
    };
    assert!(is_linearizable(&watched(Some([0, 2, 1, 0]))));
    assert!(!is_linearizable(&watched(None)));
}
