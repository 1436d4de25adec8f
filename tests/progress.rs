//! Many setters at once, with values that own memory, slow drops, wakers and callbacks, and chains of states: what is kept
//! stays bounded, no call works for others without limit, and everybody gets on.
//!
//! No time is measured. How much a call does for others is counted in the callbacks that its thread runs meanwhile, and
//! whoever would hang is ended by a watchdog.

#[path = "reference/heap.rs"]
#[allow(dead_code, unreachable_pub)]
mod heap;

use onlooker::{Callback, Overflow, Transition, Watched, Watcher};
use std::cell::Cell;
use std::future::Future;
use std::hint::spin_loop;
use std::pin::pin;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const SETS: usize = 300;
const BYTES: usize = 2048;
const WATCHERS: usize = 16;
const CHAIN: usize = 3;

thread_local! {
    /// Callbacks that this thread has run.
    static RUN_HERE: Cell<usize> = const { Cell::new(0) };
}

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// Takes a while, on whatever machine.
fn slow(turns: usize) {
    (0..turns).for_each(|_| spin_loop());
}

/// Who set it, as which of its own; and memory.
struct Owning {
    who: usize,
    number: usize,
    memory: Vec<u8>,
}

impl Owning {
    fn new(who: usize, number: usize) -> Self {
        LIVE.fetch_add(1, SeqCst);
        let memory = vec![0; BYTES];
        Self {
            who,
            number,
            memory,
        }
    }
}

impl Clone for Owning {
    fn clone(&self) -> Self {
        assert_eq!(self.memory.len(), BYTES);
        Self::new(self.who, self.number)
    }
}

impl PartialEq for Owning {
    fn eq(&self, other: &Self) -> bool {
        (self.who, self.number) == (other.who, other.number)
    }
}

impl Drop for Owning {
    fn drop(&mut self) {
        slow(20);
        LIVE.fetch_sub(1, SeqCst);
    }
}

struct SlowWaker;

impl Wake for SlowWaker {
    fn wake(self: Arc<Self>) {
        slow(200);
    }
}

/// How transitions are watched.
#[derive(Clone, Copy, Debug)]
enum Policy {
    Nobody,
    Bounded(usize, Overflow),
    /// Bounded, and setters wait for room.
    Paced,
    /// Unbounded, with a thread that receives.
    Drained,
}

/// The tests of this file count for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the test if `f` hangs.
fn watched(what: String, f: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let runner = thread::spawn(move || {
        f();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(120)) {
        panic!("{what}: somebody hangs");
    }
    if runner.join().is_err() {
        panic!("{what}: see above");
    }
}

/// States that set the next one in their callbacks.
struct Chain {
    states: Vec<Arc<Watched<Owning>>>,
    /// Which number of each setter the first state has called back.
    called: Arc<Vec<AtomicUsize>>,
    /// How many transitions the last state has called back.
    arrived: Arc<AtomicUsize>,
    callbacks: Vec<Callback>,
}

impl Chain {
    fn new(setters: usize, callback_turns: usize) -> Self {
        let new = || Arc::new(Watched::new(Owning::new(usize::MAX, 0)));
        let states: Vec<_> = (0..CHAIN).map(|_| new()).collect();
        let called: Arc<Vec<_>> = Arc::new((0..setters).map(|_| AtomicUsize::new(0)).collect());
        let arrived = Arc::new(AtomicUsize::new(0));
        let mut callbacks = Vec::new();
        for (at, state) in states.iter().enumerate() {
            let next = states.get(at + 1).cloned();
            let (called, arrived) = (called.clone(), arrived.clone());
            callbacks.push(state.on_change(move |change: &Transition<Owning>| {
                RUN_HERE.set(RUN_HERE.get() + 1);
                slow(callback_turns);
                let Owning { who, number, .. } = change.new;
                if at == 0 {
                    called[who].fetch_max(number, SeqCst);
                }
                match &next {
                    Some(next) => {
                        next.replace(Owning::new(who, number));
                    }
                    None => {
                        arrived.fetch_add(1, SeqCst);
                    }
                }
            }));
        }
        Self {
            states,
            called,
            arrived,
            callbacks,
        }
    }
}

fn watchers(state: &Watched<Owning>, policy: Policy) -> Vec<Watcher<Owning>> {
    let watch = |_| match policy {
        Policy::Bounded(capacity, overflow) => state.watch_bounded(capacity, overflow),
        _ => state.watch_bounded(2, Overflow::DropNewest),
    };
    match policy {
        Policy::Nobody | Policy::Drained => Vec::new(),
        _ => (0..WATCHERS).map(watch).collect(),
    }
}

/// Receives until the end; falls asleep with a slow waker now and then.
fn receive(mut watcher: Watcher<Owning>) -> (usize, u64) {
    let slow_waker = Waker::from(Arc::new(SlowWaker));
    let (mut received, mut last) = (0, 0);
    loop {
        let polled = {
            let recv = pin!(watcher.recv());
            recv.poll(&mut Context::from_waker(&slow_waker))
        };
        let next = match polled {
            Poll::Ready(next) => next,
            Poll::Pending => watcher.recv_blocking(),
        };
        let Ok(change) = next else {
            return (received, last);
        };
        assert_eq!(change.missed + last + 1, change.seq, "in order");
        (received, last) = (received + 1, change.seq);
    }
}

fn all_get_on(setters: usize, policy: Policy, callback_turns: usize) {
    let (live_before, heap_before) = (LIVE.load(SeqCst), heap::everywhere());
    let chain = Chain::new(setters, callback_turns);
    let first = chain.states[0].clone();
    let mut idle = watchers(&first, policy);
    let receivers: Vec<_> = match policy {
        Policy::Paced => std::mem::take(&mut idle),
        Policy::Drained => vec![first.watch()],
        _ => Vec::new(),
    };
    let receivers: Vec<_> = receivers
        .into_iter()
        .map(|watcher| thread::spawn(|| receive(watcher)))
        .collect();
    let (most_run, most_live, most_heap) = (
        AtomicUsize::new(0),
        AtomicIsize::new(0),
        AtomicIsize::new(0),
    );
    thread::scope(|scope| {
        for who in 0..setters {
            let (first, called) = (&first, &chain.called);
            let (most_run, most_live, most_heap) = (&most_run, &most_live, &most_heap);
            scope.spawn(move || {
                for number in 1..=SETS {
                    let before = RUN_HERE.get();
                    let value = Owning::new(who, number);
                    match policy {
                        Policy::Paced => assert!(first.set_paced(value).wait()),
                        _ => assert!(first.set(value)),
                    }
                    most_run.fetch_max(RUN_HERE.get() - before, SeqCst);
                    most_live.fetch_max(LIVE.load(SeqCst) - live_before, SeqCst);
                    most_heap.fetch_max(heap::everywhere() - heap_before, SeqCst);
                    assert_eq!(
                        called[who].load(SeqCst),
                        number,
                        "callbacks are a part of set"
                    );
                }
            });
        }
    });
    let all = setters * SETS;
    assert_eq!(
        chain.arrived.load(SeqCst),
        all,
        "all came through the chain"
    );
    for state in &chain.states {
        assert_eq!(state.version(), all as u64);
    }
    // Its own and what it owes along the chain, those of setters before it, and a few for the next ones.
    let run = most_run.load(SeqCst);
    assert!(
        run <= CHAIN * (setters + 8),
        "{run} callbacks run in one call"
    );
    if !matches!(policy, Policy::Drained) {
        // What watchers hold, what each state has in hand, and what lies with each setter: in the line at each state,
        // old and new; a waiting one besides; with each commit what it has evicted.
        let held = WATCHERS * 8 + CHAIN + setters * (CHAIN * 6 + WATCHERS);
        let live = most_live.load(SeqCst);
        assert!(live <= held as isize, "{live} values alive, for {held}");
        let heap = most_heap.load(SeqCst);
        let most = (held * (BYTES + 128) + 256 * 1024) as isize;
        assert!(heap <= most, "{heap} bytes, for {most}");
    }
    drop((first, chain.callbacks));
    // The end: whoever receives comes to it.
    let states = chain.states;
    drop(states);
    for receiver in receivers {
        let (received, last) = receiver.join().expect("it received all");
        assert_eq!((received, last), (all, all as u64), "nothing is lost");
    }
    drop(idle);
    assert_eq!(LIVE.load(SeqCst), live_before, "values that are left");
}

fn for_all_setters(policy: Policy, callback_turns: usize) {
    let _alone = alone();
    for setters in [1, 2, 4, 8] {
        let what = format!("{setters} setters, {policy:?}");
        watched(what, move || all_get_on(setters, policy, callback_turns));
    }
}

#[test]
fn setters_get_on_when_nobody_watches_and_callbacks_are_slow() {
    for_all_setters(Policy::Nobody, 2_000);
}

#[test]
fn setters_get_on_when_full_buffers_drop_the_oldest() {
    for_all_setters(Policy::Bounded(1, Overflow::DropOldest), 100);
    for_all_setters(Policy::Bounded(4, Overflow::DropOldest), 100);
}

#[test]
fn setters_get_on_when_full_buffers_drop_the_newest() {
    for_all_setters(Policy::Bounded(4, Overflow::DropNewest), 100);
}

#[test]
fn setters_that_wait_for_room_get_on_and_lose_nothing() {
    for_all_setters(Policy::Paced, 100);
}

#[test]
fn setters_get_on_beside_an_unbounded_watcher_that_is_read() {
    for_all_setters(Policy::Drained, 100);
}
