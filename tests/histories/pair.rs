//! Two states and their pair: a pair is never shown that was not so at one moment, and it is as one with its sources.
//!
//! (Watchers of the sources are left out: they have a transition a moment before the pair does, while the commit lasts.)

use crate::poll;
use crate::search::{Answer, Dice, Model, Subject, answer, explain, is_linearizable, record};
use onlooker::{OwnedWait, View, Watched, Watcher};
use std::collections::VecDeque;
use std::thread;

/// Of the pair.
type Value = (u8, u8);

const VALUES: u8 = 3;
const MOST_CALLS: usize = 5;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Of the first or the second state, as in all that follows.
    Set(usize, u8),
    Replace(usize, u8),
    /// The next value.
    Update(usize),
    Get(usize),
    GetPair,
    /// Makes a pair of its own, and looks at it.
    Zip,
    Watch,
    Receive,
    WaitFor(u8, u8),
    Poll,
}

pub(crate) struct Two {
    states: [Watched<u8>; 2],
    pair: View<Value>,
}

#[derive(Default)]
pub(crate) struct Hands {
    watcher: Option<Watcher<Value>>,
    wait: Option<OwnedWait<Value>>,
}

fn both((left, right): Value) -> Answer {
    Some([left.into(), right.into(), 0, 0])
}

impl Subject for Two {
    type Call = Call;
    type Hands<'a> = Hands;
    type Model = Pair;

    fn new() -> Self {
        let states = [0, 0].map(Watched::new);
        let pair = states[0].view().zip(&states[1].view());
        Self { states, pair }
    }

    fn program(dice: &mut Dice) -> Vec<Call> {
        let many = 3 + dice.roll(MOST_CALLS as u64 - 2) as usize;
        let mut calls = Vec::with_capacity(many);
        while calls.len() < many {
            let at = dice.roll(2) as usize;
            let [value, other] = [0; 2].map(|_| dice.roll(VALUES.into()) as u8);
            let has = |wanted: fn(&Call) -> bool| calls.iter().any(wanted);
            let watches = has(|call| matches!(call, Call::Watch));
            let waits = has(|call| matches!(call, Call::WaitFor(..)));
            calls.push(match dice.roll(16) {
                0..=3 => Call::Set(at, value),
                4 => Call::Replace(at, value),
                5 | 6 => Call::Update(at),
                7 => Call::Get(at),
                8 | 9 => Call::GetPair,
                10 => Call::Zip,
                11 if watches => Call::Receive,
                11 => Call::Watch,
                12 if waits => Call::Poll,
                12 => Call::WaitFor(value, other),
                13 if watches => Call::Receive,
                14 if watches => Call::Receive,
                15 if waits => Call::Poll,
                _ => continue,
            });
        }
        calls
    }

    fn make(&self, call: Call, hands: &mut Hands) -> Answer {
        let Self { states, pair } = self;
        match call {
            Call::Set(at, value) => answer(states[at].set(value)),
            Call::Replace(at, value) => answer(states[at].replace(value)),
            Call::Update(at) => answer(states[at].update(|now| (now + 1) % VALUES)),
            Call::Get(at) => answer(states[at].get()),
            Call::GetPair => both(pair.get()),
            Call::Zip => both(states[0].view().zip(&states[1].view()).get()),
            Call::Watch => {
                let watcher = pair.watch();
                let seen = *watcher.seen();
                hands.watcher = Some(watcher);
                both(seen)
            }
            Call::Receive => {
                let change = hands.watcher.as_mut()?.try_recv().ok()?;
                let one = |(left, right)| u64::from(left) * 10 + u64::from(right);
                Some([one(change.old), one(change.new), change.seq, change.missed])
            }
            Call::WaitFor(left, right) => {
                hands.wait = Some(pair.wait_for((left, right)));
                None
            }
            Call::Poll => poll(&mut hands.wait)?.ok().and_then(both),
        }
    }
}

#[derive(Clone, Default, Hash)]
struct ModelHands {
    /// What it has to receive, and what it saw last.
    watcher: Option<(VecDeque<Value>, Value)>,
    /// What it waits for, and whether that was there.
    wait: Option<(Value, bool)>,
}

#[derive(Clone, Hash)]
pub(crate) struct Pair {
    values: [u8; 2],
    seq: u64,
    hands: Vec<ModelHands>,
}

impl Pair {
    fn now(&self) -> Value {
        (self.values[0], self.values[1])
    }

    fn commit(&mut self, at: usize, value: u8) {
        self.values[at] = value;
        self.seq += 1;
        let now = self.now();
        for hands in &mut self.hands {
            if let Some((buffer, _)) = &mut hands.watcher {
                buffer.push_back(now);
            }
            if let Some((target, found)) = &mut hands.wait {
                *found |= now == *target;
            }
        }
    }

    fn set(&mut self, at: usize, value: u8) -> bool {
        let changes = self.values[at] != value;
        if changes {
            self.commit(at, value);
        }
        changes
    }
}

impl Model for Pair {
    type Call = Call;

    fn new(threads: usize) -> Self {
        Self {
            values: [0; 2],
            seq: 0,
            hands: vec![ModelHands::default(); threads],
        }
    }

    fn explains(&mut self, thread: usize, call: Call, seen: Answer) -> bool {
        let now = self.now();
        let seq = self.seq;
        let given = match call {
            Call::Set(at, value) => answer(self.set(at, value)),
            Call::Replace(at, value) => {
                let before = self.values[at];
                self.commit(at, value);
                answer(before)
            }
            Call::Update(at) => {
                let before = self.values[at];
                self.set(at, (before + 1) % VALUES);
                answer(before)
            }
            Call::Get(at) => answer(self.values[at]),
            Call::GetPair | Call::Zip => both(now),
            Call::Watch => {
                self.hands[thread].watcher = Some((VecDeque::new(), now));
                both(now)
            }
            Call::Receive => self.hands[thread].watcher.as_mut().and_then(|watcher| {
                let behind = watcher.0.len() as u64;
                let new = watcher.0.pop_front()?;
                let old = std::mem::replace(&mut watcher.1, new);
                let one = |(left, right)| u64::from(left) * 10 + u64::from(right);
                Some([one(old), one(new), seq + 1 - behind, 0])
            }),
            Call::WaitFor(left, right) => {
                self.hands[thread].wait = Some(((left, right), now == (left, right)));
                None
            }
            Call::Poll => {
                let wait = &mut self.hands[thread].wait;
                wait.take_if(|(_, found)| *found)
                    .and_then(|(target, _)| both(target))
            }
        };
        given == seen
    }

    fn only_looks(call: Call) -> bool {
        matches!(call, Call::Get(_) | Call::GetPair | Call::Zip)
    }
}

#[test]
fn a_pair_and_its_sources_are_explained_by_one_order_of_their_calls() {
    explain::<Two>("a pair");
}

/// One whose pair is looked at in two steps.
struct Torn(Two);

impl Subject for Torn {
    type Call = Call;
    type Hands<'a> = Hands;
    type Model = Pair;

    fn new() -> Self {
        Torn(Two::new())
    }

    fn program(dice: &mut Dice) -> Vec<Call> {
        Two::program(dice)
    }

    fn make(&self, call: Call, hands: &mut Hands) -> Answer {
        let Call::GetPair = call else {
            return self.0.make(call, hands);
        };
        let left = self.0.states[0].get();
        thread::yield_now();
        both((left, self.0.states[1].get()))
    }
}

#[test]
fn a_pair_of_two_looks_is_found_out() {
    let found = (0..400).any(|seed| {
        let mut histories = record::<Torn>(2, 1_000 + seed).into_iter();
        histories.any(|history| !is_linearizable::<Pair>(&history))
    });
    assert!(found, "200,000 histories of a torn pair, all explained");
}
