//! Programs of several threads, run on fresh subjects at full speed, and the search for an order that explains what they saw.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;

const SUBJECTS: usize = 500;

/// What is called, and what its calls mean.
pub(crate) trait Subject: Sync {
    type Call: Copy + Debug + Send;
    /// What one thread holds while it runs its program.
    type Hands<'a>: Default
    where
        Self: 'a;
    /// The same, sequential.
    type Model: Model<Call = Self::Call>;

    fn new() -> Self;
    fn program(dice: &mut Dice) -> Vec<Self::Call>;
    fn make<'a>(&'a self, call: Self::Call, hands: &mut Self::Hands<'a>) -> Answer;
}

pub(crate) trait Model: Clone + Hash {
    type Call: Copy;

    fn new(threads: usize) -> Self;
    /// Makes the call at this moment. Says whether that explains the answer.
    fn explains(&mut self, thread: usize, call: Self::Call, seen: Answer) -> bool;
    /// Whether it changes nothing.
    fn only_looks(call: Self::Call) -> bool;
}

/// Everything that calls give, as numbers.
pub(crate) type Answer = Option<[u64; 4]>;

pub(crate) fn answer(number: impl Into<u64>) -> Answer {
    Some([number.into(), 0, 0, 0])
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<C> {
    pub(crate) call: C,
    pub(crate) answer: Answer,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// A small generator: each history is its seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// Looks for an order that explains the history.
pub(crate) fn is_linearizable<M: Model>(history: &[Vec<Event<M::Call>>]) -> bool {
    search(
        history,
        &mut vec![0; history.len()],
        &M::new(history.len()),
        &mut HashSet::new(),
        &RandomState::new(),
    )
}

fn search<M: Model>(
    history: &[Vec<Event<M::Call>>],
    done: &mut Vec<usize>,
    model: &M,
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

fn overlaps<M: Model>(history: &[Vec<Event<M::Call>>]) -> bool {
    let apart = |one: &Event<M::Call>, other: &Event<M::Call>| {
        one.end < other.begin || other.end < one.begin
    };
    history.iter().enumerate().any(|(thread, events)| {
        let others = &history[thread + 1..];
        events.iter().any(|one| {
            others
                .iter()
                .flatten()
                .any(|other| !apart(one, other) && !M::only_looks(other.call))
        })
    })
}

/// Runs one program after the other, each on a state of its own, all threads at once.
pub(crate) fn record<S: Subject>(threads: usize, seed: u64) -> Vec<Vec<Vec<Event<S::Call>>>> {
    // The threads of another test would keep these apart.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let subjects: Vec<_> = (0..SUBJECTS).map(|_| S::new()).collect();
    let (arrived, clock) = (AtomicUsize::new(0), AtomicU64::new(0));
    let mut by_thread: Vec<_> = thread::scope(|scope| {
        let run = |thread: usize| {
            let (subjects, arrived, clock) = (&subjects, &arrived, &clock);
            let mut dice =
                Dice((seed * 64 + thread as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            scope.spawn(move || {
                let mut histories = Vec::with_capacity(SUBJECTS);
                for (round, subject) in subjects.iter().enumerate() {
                    let calls = S::program(&mut dice);
                    let mut events = Vec::with_capacity(calls.len());
                    let mut hands = S::Hands::default();
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
                        let answer = subject.make(call, &mut hands);
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
    (0..SUBJECTS)
        .map(|_| by_thread.iter_mut().filter_map(Iterator::next).collect())
        .collect()
}

/// Explains so many histories, at least; `HISTORIES` says how many.
pub(crate) fn explain<S: Subject>(name: &str) {
    let many = std::env::var("HISTORIES").map_or(20_000, |many| many.parse().expect("a number"));
    let (mut checked, mut overlapped, mut calls) = (0, 0, 0);
    for seed in 0.. {
        let threads = 2 + seed as usize % 3;
        for history in record::<S>(threads, seed) {
            assert!(
                is_linearizable::<S::Model>(&history),
                "seed {seed}: {history:#?}"
            );
            checked += 1;
            overlapped += usize::from(overlaps::<S::Model>(&history));
            calls += history.iter().map(Vec::len).sum::<usize>();
        }
        // On a busy machine threads may run one after the other for long.
        if checked >= many && (overlapped * 100 > many || checked >= 20 * many) {
            break;
        }
    }
    println!(
        "{name}: {checked} histories, {calls} calls; in {overlapped} of them calls overlapped"
    );
    assert!(
        overlapped * 100 > many,
        "hardly any were concurrent: {overlapped}"
    );
}
