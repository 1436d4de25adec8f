//! Everything at once, for as long as you like: `cargo run --release --example soak -- --minutes 30`.
//!
//! Round after round a fresh state, whose values own memory, gets eight threads that write to it, each in another way,
//! watchers of every kind on threads and on an executor, a predicate, callbacks of which one sets, a chain of three
//! states in which each sets the next, derived views, a history that readers come back to, waits that are met and waits
//! that are given up, and threads that come and go. Each round ends with these checks, and any that fails ends the
//! program:
//!
//! * every lossless observer saw the same transitions in the same order, as many as were made: also the end of the
//!   chain, what is mapped, and a reader that went away after each transition and came back;
//! * what was zipped saw each transition of each half;
//! * every lossy one saw an unbroken chain, and what it received and missed adds up;
//! * the heap is back where it was.

use futures_lite::{StreamExt, future};
use onlooker::{Overflow, OwnedWait, Transition, Watched, Watcher};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const WRITERS: u32 = 8;
const WRITES: u32 = 5_000;
/// Writes from inside a callback.
const ECHO: u32 = WRITERS;
/// Transitions that the state keeps.
const KEPT: usize = 64;
/// Heap that the runtime of a program may keep for itself from one round to the next.
const DRIFT: isize = 64 * 1024;

struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() as isize;
        MOST.fetch_max(BYTES.fetch_add(size, Relaxed) + size, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Owns something, and no two are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Value {
    writer: u32,
    count: u32,
    text: String,
}

impl Value {
    fn new(writer: u32, count: u32) -> Self {
        let text = format!("{writer}:{count}");
        Self {
            writer,
            count,
            text,
        }
    }
}

/// What an observer saw: how many, and a digest of all in their order.
#[derive(Default)]
struct Seen {
    count: u64,
    digest: DefaultHasher,
    /// The last count of each writer: they come in order.
    last: [u32; WRITERS as usize + 1],
}

impl Seen {
    fn note(&mut self, value: &Value) {
        let last = &mut self.last[value.writer as usize];
        assert!(value.count > *last, "a writer's own order: {value:?}");
        *last = value.count;
        self.count += 1;
        value.hash(&mut self.digest);
    }

    fn digest(&self) -> (u64, u64) {
        (self.count, self.digest.finish())
    }
}

/// Follows a watcher to the end of its state. Returns what it saw and what it missed.
struct Follower {
    seen: Seen,
    before: Value,
    seq: u64,
    missed: u64,
}

impl Follower {
    fn new(watcher: &Watcher<Value>) -> Self {
        Self {
            seen: Seen::default(),
            before: watcher.seen().clone(),
            seq: 0,
            missed: 0,
        }
    }

    fn take(&mut self, change: Transition<Value>) {
        assert!(change.old == self.before, "the chain is broken");
        self.missed += change.missed;
        assert_eq!(change.seq, self.seq + 1 + change.missed);
        self.seen.note(&change.new);
        (self.before, self.seq) = (change.new, change.seq);
    }

    fn on_a_thread(mut watcher: Watcher<Value>) -> Self {
        let mut follower = Self::new(&watcher);
        while let Ok(change) = watcher.recv_blocking() {
            follower.take(change);
        }
        // What a full buffer refused at the very end shows in no later transition.
        follower.missed = watcher.missed();
        follower
    }

    /// Goes away after each look, and comes back with the version it saw last. Where that is forgotten it begins anew.
    fn coming_back(mut watcher: Watcher<Value>) -> Self {
        let view = watcher.view();
        let mut follower = Self::new(&watcher);
        loop {
            match watcher.recv_blocking() {
                Ok(change) => follower.take(change),
                Err(_) => return follower,
            }
            for change in watcher.try_iter().take(KEPT / 2) {
                follower.take(change);
            }
            drop(watcher);
            watcher = loop {
                match view.watch_since(follower.seq) {
                    Ok(watcher) => break watcher,
                    Err(forgotten) => {
                        let oldest = forgotten.oldest.expect("it keeps some");
                        let Ok(anew) = view.watch_since(oldest) else {
                            continue;
                        };
                        // The gap is known: what lies between, the value at `oldest` included.
                        follower.missed += oldest - follower.seq;
                        follower.begin_at(&anew);
                        break anew;
                    }
                }
            };
        }
    }

    fn begin_at(&mut self, watcher: &Watcher<Value>) {
        (self.before, self.seq) = (watcher.seen().clone(), watcher.seen_version());
        self.seen.last[self.before.writer as usize] = self.before.count;
    }

    async fn in_a_task(mut watcher: Watcher<Value>) -> Self {
        let mut follower = Self::new(&watcher);
        while let Some(change) = watcher.next().await {
            follower.take(change);
            future::yield_now().await;
        }
        follower
    }
}

type Half = (u32, u32);

/// How often each half of a pair moved.
fn halves(mut watcher: Watcher<(Half, Half)>) -> (u64, u64) {
    let (mut first, mut second) = (0, 0);
    for change in watcher.iter() {
        let moved = (change.old.0 != change.new.0, change.old.1 != change.new.1);
        first += u64::from(moved.0);
        second += u64::from(moved.1);
    }
    (first, second)
}

#[derive(Default)]
struct Totals {
    transitions: AtomicU64,
    deliveries: AtomicU64,
    met: AtomicU64,
    given_up: AtomicU64,
    passers_by: AtomicU64,
    forgotten: AtomicU64,
}

fn write(state: &Watched<Value>, writer: u32, totals: &Totals) {
    for count in 1..=WRITES {
        let value = Value::new(writer, count);
        let expected = (count % 100 == 0).then(|| state.wait_for(value.clone()));
        let owned = (count % 100 == 0).then(|| state.view().wait_for(value.clone()));
        match writer {
            0 => assert!(state.set(value)),
            1 => drop(state.replace(value)),
            2 => drop(state.update(|_| value)),
            3 => drop(state.try_update(|_| Some(value)).unwrap()),
            4 => state.set_if(value, |_| true).unwrap(),
            5 => assert!(state.modify(|present| *present = value)),
            6 => drop(state.replace_with(|_| value)),
            _ => assert!(future::block_on(state.set_paced(value))),
        }
        if let Some(wait) = expected {
            assert_eq!((wait.wait().writer, count % 100), (writer, 0));
            totals.met.fetch_add(1, Relaxed);
        }
        if let Some(Ok(value)) = owned.map(OwnedWait::wait) {
            assert_eq!(value.writer, writer);
            totals.met.fetch_add(1, Relaxed);
        }
        if count % 10 == 0 {
            drop(state.wait_until(|value| value.count == 0));
            let mut never = state.wait_for_not(state.get()).unless(future::ready(()));
            let _ = future::block_on(future::poll_once(&mut never));
            totals.given_up.fetch_add(2, Relaxed);
        }
    }
}

/// Comes, looks around, and goes.
fn pass_by(state: &Watched<Value>) {
    let mut watcher = state.watch_bounded(2, Overflow::DropOldest);
    let _ = watcher.recv_timeout(Duration::from_micros(50));
    let callback = state.on_change(|_| ());
    let version = state.version();
    match state.watch_since(version.saturating_sub(KEPT as u64 / 2)) {
        Ok(mut back) => {
            let (mut seen, mut seq) = (back.seen().clone(), back.seen_version());
            for change in back.try_iter() {
                assert!(change.old == seen && change.seq == seq + 1, "a gap");
                (seen, seq) = (change.new, change.seq);
            }
            assert!(seq >= version);
        }
        Err(forgotten) => assert!(forgotten.oldest > Some(version - KEPT as u64 / 2)),
    }
    let derived = state.view().map(|value| value.writer);
    let _ = derived
        .zip(&state.view().map(|value| value.count))
        .wait_for_change()
        .wait_timeout(Duration::from_micros(50));
    let _ = state
        .wait_for_change()
        .wait_timeout(Duration::from_micros(50));
    drop((callback, state.watch()));
}

fn round(totals: &Totals) {
    let state = Arc::new(Watched::with_history(Value::new(0, 0), KEPT));
    let unbounded = [state.watch(), state.watch()];
    let streams = [state.watch(), state.watch(), state.watch()];
    let bounded = [
        state.watch_bounded(1, Overflow::DropOldest),
        state.watch_bounded(64, Overflow::DropOldest),
        state.watch_bounded(1, Overflow::DropNewest),
        state.watch_bounded(64, Overflow::DropNewest),
    ];

    let called = Arc::new(Mutex::new(Seen::default()));
    let sink = called.clone();
    let callback = state.on_change(move |change| sink.lock().unwrap().note(&change.new));
    let (echo, mut echoes) = (Arc::downgrade(&state), 0);
    let echo = state.on_change(move |change| {
        if change.seq % 100 == 0 {
            if let Some(state) = echo.upgrade() {
                echoes += 1;
                state.set(Value::new(ECHO, echoes));
            }
        }
    });
    // Each sets the next; the last is followed by a watcher.
    let (second, third) = (
        Arc::new(Watched::new(Value::new(0, 0))),
        Watched::new(Value::new(0, 0)),
    );
    let last_of_chain = third.watch();
    let chain = [
        state.on_change({
            let second = second.clone();
            move |change| drop(second.replace(change.new.clone()))
        }),
        second.on_change(move |change| drop(third.replace(change.new.clone()))),
    ];
    let mapped = state.view().map(Value::clone);
    let pair = mapped.zip(&second.view()).map(|(first, second)| {
        let last = |value: &Value| (value.writer, value.count);
        (last(first), last(second))
    });
    let (mapped, pair) = (mapped.watch(), pair.watch());
    let resuming = state.watch();
    let judged = Arc::new(Mutex::new(Seen::default()));
    let sink = judged.clone();

    let over = AtomicBool::new(false);
    let executor = async_executor::Executor::new();
    let tasks = streams.map(|watcher| executor.spawn(Follower::in_a_task(watcher)));
    let (lossless, lossy) = thread::scope(|scope| {
        let host = state.clone();
        let predicate = host.wait_until_next(move |value| {
            sink.lock().unwrap().note(value);
            false
        });
        let [first, second_watcher] = unbounded;
        let lossless = [first, second_watcher, mapped, last_of_chain];
        let lossless = lossless.map(|watcher| scope.spawn(|| Follower::on_a_thread(watcher)));
        let resuming = scope.spawn(|| Follower::coming_back(resuming));
        let pairs = scope.spawn(|| halves(pair));
        let lossy = bounded.map(|watcher| scope.spawn(|| Follower::on_a_thread(watcher)));
        let executor = &executor;
        let streams = scope.spawn(move || {
            future::block_on(executor.run(async {
                let mut followers = Vec::new();
                for task in tasks {
                    followers.push(task.await);
                }
                followers
            }))
        });
        let passers = scope.spawn({
            let (state, over, totals) = (state.clone(), &over, totals);
            move || {
                while !over.load(Relaxed) {
                    thread::scope(|scope| {
                        scope.spawn(|| pass_by(&state));
                    });
                    totals.passers_by.fetch_add(1, Relaxed);
                }
            }
        });
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let state = &state;
                scope.spawn(move || write(state, writer, totals));
            }
        });
        over.store(true, Relaxed);
        passers.join().unwrap();
        drop((callback, echo, predicate));
        totals.transitions.fetch_add(state.version(), Relaxed);
        assert_eq!(state.version(), called.lock().unwrap().count);
        let version = state.version();
        assert_eq!(second.version(), version, "the chain");
        drop((host, state, second, chain));
        let mut lossless: Vec<_> = lossless.map(|one| one.join().unwrap()).into();
        lossless.extend(streams.join().unwrap());
        assert_eq!(pairs.join().unwrap(), (version, version));
        let back = resuming.join().unwrap();
        totals.forgotten.fetch_add(back.missed, Relaxed);
        assert_eq!(back.seen.count + back.missed, version);
        (lossless, lossy.map(|one| one.join().unwrap()))
    });

    let called = called.lock().unwrap().digest();
    assert_eq!(called, judged.lock().unwrap().digest(), "predicate");
    assert!(called.0 >= u64::from(WRITERS * WRITES));
    for follower in &lossless {
        assert_eq!((follower.seen.digest(), follower.missed), (called, 0));
    }
    for follower in &lossy {
        assert_eq!(follower.seen.count + follower.missed, called.0);
    }
    let watched = lossless.iter().chain(&lossy).map(|one| one.seen.count);
    let deliveries = 2 * called.0 + watched.sum::<u64>();
    totals.deliveries.fetch_add(deliveries, Relaxed);
}

/// `--minutes N` or `--seconds N`; five seconds if neither is given.
fn duration() -> Duration {
    let mut arguments = std::env::args().skip(1);
    let unit = match arguments.next().as_deref() {
        None => return Duration::from_secs(5),
        Some("--minutes") => 60,
        Some("--seconds") => 1,
        Some(other) => panic!("{other}: --minutes N or --seconds N"),
    };
    let many: u64 = arguments
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    Duration::from_secs(unit * many)
}

fn main() {
    let (start, time) = (Instant::now(), duration());
    let totals = Totals::default();
    let (mut rounds, mut told) = (0_u64, 0);
    let mut settled = None;
    loop {
        round(&totals);
        rounds += 1;
        // The first round sets up what the program keeps: thread-locals, the executor's queues.
        let now = BYTES.load(Relaxed);
        let drift = now - *settled.get_or_insert(now);
        assert!(
            drift < DRIFT,
            "the heap has grown by {drift} bytes in {rounds} rounds"
        );
        let minute = start.elapsed().as_secs() / 60;
        let over = start.elapsed() >= time;
        if over || minute > told {
            told = minute;
            println!(
                "{:>5} s  {rounds} rounds  {} transitions  {} deliveries  {} waits met  {} given up  {} passers-by  \
                 {} forgotten  heap {:+} bytes, at most {} KiB",
                start.elapsed().as_secs(),
                totals.transitions.load(Relaxed),
                totals.deliveries.load(Relaxed),
                totals.met.load(Relaxed),
                totals.given_up.load(Relaxed),
                totals.passers_by.load(Relaxed),
                totals.forgotten.load(Relaxed),
                drift,
                MOST.load(Relaxed) / 1024,
            );
        }
        if over {
            println!("one order, exact counts, no leak");
            return;
        }
    }
}
