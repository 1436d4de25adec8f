//! The serving role: wakes, and shows changes to the judges.

use super::{Audience, Change, Follow, JudgeSeat, Judged, Observers, Relief};
use crate::cell::{Shared, State};
use crate::ring::Wake;
use crate::roll::Roll;
use crate::sync::{Panic, Serving, catch, resume};
use crate::transition::Transition;
use crate::wait::Verdict;
use alloc::vec::Vec;

/// How many wakers, and how many values, are taken out of the lock at a time.
const BATCH: usize = 8;

impl<T> Observers<T> {
    /// Takes back what the server had in hand and gives it what comes next.
    fn next_job(&mut self, run: &mut Run<T>) -> Job {
        if let Some(bench) = self.out.take() {
            core::mem::swap(&mut self.benches[bench], &mut run.bench);
            for key in self.departed.drain(..) {
                run.spent.extend(self.benches[bench].leave(key));
            }
        }
        for place in &mut run.evicted {
            *place = self.evicted.pop();
        }
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
}

enum Job {
    Work,
    Done { call: bool },
}

/// What the serving thread has in hand.
struct Run<T> {
    wakes: [Option<Wake>; BATCH],
    /// The bench that is out, while `change` is shown to it.
    bench: Roll<JudgeSeat<T>>,
    /// Judges whose wait has left.
    spent: Vec<JudgeSeat<T>>,
    change: Option<Change<T>>,
    /// How many benches have seen the change.
    shown: usize,
    done: Option<Change<T>>,
    evicted: [Option<T>; BATCH],
    relief: Relief,
    /// How many judges had left when these were taken in hand.
    departures: usize,
    trouble: Option<Panic>,
}

impl<T> Run<T> {
    fn new() -> Self {
        Self {
            wakes: [const { None }; BATCH],
            bench: Roll::new(),
            spent: Vec::new(),
            change: None,
            shown: 0,
            done: None,
            evicted: [const { None }; BATCH],
            relief: Relief::default(),
            departures: 0,
            trouble: None,
        }
    }

    /// Nothing left to wake, run or drop.
    fn is_empty(&self) -> bool {
        self.spent.is_empty() && self.evicted[0].is_none() && !self.relief.any()
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
        for value in &mut self.evicted {
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

impl<T> Shared<T> {
    /// Does what a commit left to do.
    pub(crate) fn follow(&self, follow: Follow<T>) {
        match follow {
            Follow::Nothing => {}
            Follow::Wake(wake) => {
                let _serving = Serving::enter();
                wake.wake();
            }
            Follow::Drop(value) => {
                let _serving = Serving::enter();
                drop(value);
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

    /// Runs `f` under the lock, then does what it left to do.
    pub(crate) fn act<R>(&self, f: impl FnOnce(&mut State<T>) -> (R, Follow<T>)) -> R {
        let (result, follow) = self.with(f);
        self.follow(follow);
        result
    }
}
