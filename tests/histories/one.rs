//! One state.

use crate::poll;
use crate::search::{
    Answer, Dice, Event, Model, Subject, answer, explain, is_linearizable, record,
};
use onlooker::{Overflow, Wait, Watched, Watcher};
use std::collections::VecDeque;
use std::thread;

/// Values are few, so that they meet.
const VALUES: u8 = 3;
const MOST_CALLS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
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

/// What one thread holds while it runs its program.
#[derive(Default)]
pub(crate) struct Hands<'a> {
    watcher: Option<Watcher<u8>>,
    wait: Option<Wait<'a, u8>>,
    judged: Option<Wait<'a, u8>>,
}

impl Subject for Watched<u8> {
    type Call = Call;
    type Hands<'a> = Hands<'a>;
    type Model = One;

    fn new() -> Self {
        Watched::new(0)
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

    fn make<'a>(&'a self, call: Call, hands: &mut Hands<'a>) -> Answer {
        let state = self;
        match call {
            Call::Set(value) => answer(state.set(value)),
            Call::Replace(value) => answer(state.replace(value)),
            Call::SetIf(value, expected) => {
                answer(state.set_if(value, |now| *now == expected).is_ok())
            }
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
}

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
pub(crate) struct One {
    value: u8,
    seq: u64,
    hands: Vec<ModelHands>,
}

impl One {
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
}

impl Model for One {
    type Call = Call;

    fn new(threads: usize) -> Self {
        Self {
            value: 0,
            seq: 0,
            hands: vec![ModelHands::default(); threads],
        }
    }

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

    fn only_looks(call: Call) -> bool {
        matches!(call, Call::Get | Call::Version)
    }
}

#[test]
fn every_history_is_explained_by_one_order_of_its_calls() {
    explain::<Watched<u8>>("one state");
}

/// One whose `set_if` is two steps.
struct Torn(Watched<u8>);

impl Subject for Torn {
    type Call = Call;
    type Hands<'a> = Hands<'a>;
    type Model = One;

    fn new() -> Self {
        Torn(Watched::new(0))
    }

    fn program(dice: &mut Dice) -> Vec<Call> {
        Watched::program(dice)
    }

    fn make<'a>(&'a self, call: Call, hands: &mut Hands<'a>) -> Answer {
        let Call::SetIf(value, expected) = call else {
            return self.0.make(call, hands);
        };
        let holds = self.0.get() == expected;
        thread::yield_now();
        if holds {
            self.0.set(value);
        }
        answer(holds)
    }
}

#[test]
fn a_set_if_that_looks_first_and_sets_later_is_found_out() {
    let found = (0..400).any(|seed| {
        let mut histories = record::<Torn>(2, 1_000 + seed).into_iter();
        histories.any(|history| !is_linearizable::<One>(&history))
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
    assert!(is_linearizable::<One>(&late(1)));
    assert!(!is_linearizable::<One>(&late(0)));
    // They overlap: either will do.
    let beside = |seen: u8| {
        vec![
            vec![event(Call::Set(1), answer(true), 0, 3)],
            vec![event(Call::Get, answer(seen), 1, 2)],
        ]
    };
    assert!(is_linearizable::<One>(&beside(1)));
    assert!(is_linearizable::<One>(&beside(0)));
    assert!(!is_linearizable::<One>(&beside(2)));
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
    assert!(is_linearizable::<One>(&watched(Some([0, 2, 1, 0]))));
    assert!(!is_linearizable::<One>(&watched(None)));
}
