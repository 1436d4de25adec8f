//! What does it keep on the heap, and what allocates?

mod common;

use common::{ByHand, Findings, poll, waker};
use onlooker::{Overflow, Watched};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use tokio::sync::{broadcast, watch};

struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Relaxed);
        CALLS.fetch_add(1, Relaxed);
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

/// Heap that one more of a thousand takes. Where it is put is not counted.
fn each<V>(mut one: impl FnMut() -> V) -> f64 {
    const MANY: usize = 1_000;
    let mut kept = Vec::with_capacity(MANY + 1);
    kept.push(one());
    let before = BYTES.load(Relaxed);
    kept.extend(std::iter::repeat_with(one).take(MANY));
    (BYTES.load(Relaxed) - before) as f64 / MANY as f64
}

fn size<V>(_: &V) -> f64 {
    size_of::<V>() as f64
}

/// How often the operation allocates, on average, once it is warm.
fn allocations(mut operation: impl FnMut(u64)) -> f64 {
    const TIMES: u64 = 10_000;
    (1..=TIMES).for_each(&mut operation);
    let before = CALLS.load(Relaxed);
    (TIMES + 1..=2 * TIMES).for_each(&mut operation);
    (CALLS.load(Relaxed) - before) as f64 / TIMES as f64
}

fn bytes(findings: &mut Findings) {
    let mut heap = |what: &str, who: &str, figure| findings.count(what, 1, who, "bytes", figure);
    heap(
        "state, nobody",
        "onlooker, inline",
        size(&Watched::new(0_u64)),
    );
    heap("state, nobody", "onlooker", each(|| Watched::new(0_u64)));
    heap(
        "state, nobody",
        "tokio watch",
        each(|| watch::channel(0_u64)),
    );
    heap("state, nobody", "by hand", each(|| ByHand::new(0_u64)));
    let observed = || {
        let state = Watched::new(0_u64);
        drop(state.watch());
        state
    };
    heap("state, once observed", "onlooker", each(observed));

    let state = Watched::new(0_u64);
    let (sender, receiver) = broadcast::channel::<u64>(16);
    let by_hand = ByHand::new(0_u64);
    let bounded = |capacity| state.watch_bounded(capacity, Overflow::DropOldest);
    heap("idle watcher, inline", "onlooker", size(&state.watch()));
    heap(
        "idle watcher, unbounded",
        "onlooker",
        each(|| state.watch()),
    );
    heap(
        "idle watcher, unbounded",
        "by hand",
        each(|| by_hand.watch(None)),
    );
    heap("idle watcher, ring of 16", "onlooker", each(|| bounded(16)));
    heap(
        "idle watcher, ring of 16",
        "by hand",
        each(|| by_hand.watch(Some(16))),
    );
    heap(
        "idle watcher, ring of 16",
        "tokio broadcast",
        each(|| receiver.resubscribe()),
    );
    heap("idle watcher, ring of 1", "onlooker", each(|| bounded(1)));
    drop(sender);

    let waker = waker();
    let state = Watched::new(0_u64);
    heap("pending wait, inline", "onlooker", size(&state.wait_for(1)));
    let mut n = 0;
    let mut next = || {
        n += 1;
        n
    };
    let pending = each(|| {
        let mut wait = state.wait_for(next());
        assert!(!poll(&mut wait, &waker));
        wait
    });
    heap("pending wait", "onlooker wait_for", pending);
    let pending = each(|| {
        let own = next();
        let mut wait = state.wait_until(move |value| *value == own);
        assert!(!poll(&mut wait, &waker));
        wait
    });
    heap("pending wait", "onlooker wait_until", pending);
    let callback = each(|| state.on_change(|change| _ = black_box(change.new)));
    heap("callback", "onlooker", callback);

    let mut buffered = |who: &str, mut set: Box<dyn FnMut(u64)>| {
        const BEHIND: u64 = 1_000_000;
        let before = BYTES.load(Relaxed);
        (1..=BEHIND).for_each(&mut set);
        let figure = (BYTES.load(Relaxed) - before) as f64 / BEHIND as f64;
        heap("buffered transition, of a million", who, figure);
    };
    let state = Watched::new(0_u64);
    let watcher = state.watch();
    buffered("onlooker, unbounded", Box::new(move |n| _ = state.set(n)));
    drop(watcher);
    let by_hand = ByHand::new(0_u64);
    let queue = by_hand.watch(None);
    buffered("by hand", Box::new(move |n| by_hand.set(n)));
    drop(queue);
}

fn calls(findings: &mut Findings) {
    let waker = waker();
    let mut often = |what: &str, who: &str, figure| {
        findings.count(what, 1, who, "allocations", figure);
    };
    let state = Watched::new(0_u64);
    often(
        "set, nobody watches",
        "onlooker",
        allocations(|n| _ = state.set(n)),
    );
    let full = state.watch_bounded(16, Overflow::DropOldest);
    often(
        "set, full ring",
        "onlooker",
        allocations(|n| _ = state.set(n)),
    );
    drop(full);
    for (who, capacity) in [
        ("onlooker, bounded", Some(16)),
        ("onlooker, unbounded", None),
    ] {
        let mut watcher = match capacity {
            Some(capacity) => state.watch_bounded(capacity, Overflow::DropOldest),
            None => state.watch(),
        };
        let cycle = allocations(|n| {
            state.set(n);
            assert!(watcher.try_recv().is_ok());
        });
        often("set, try_recv", who, cycle);
        let cycle = allocations(|n| {
            let mut recv = watcher.recv();
            assert!(!poll(&mut recv, &waker));
            state.set(n);
            assert!(poll(&mut recv, &waker));
        });
        often("recv: poll, set, poll", who, cycle);
    }
    let (there, mut here) = async_broadcast::broadcast(16);
    let cycle = allocations(|n| {
        assert!(there.try_broadcast(n).is_ok());
        assert!(poll(&mut here.recv(), &waker));
    });
    often("broadcast, recv", "async-broadcast", cycle);
    let cycle = allocations(|n| {
        let mut wait = state.wait_for(n);
        assert!(!poll(&mut wait, &waker));
        state.set(n);
        assert!(poll(&mut wait, &waker));
    });
    often("wait: create, poll, set, poll", "onlooker wait_for", cycle);
    let cycle = allocations(|n| {
        let mut wait = state.wait_until(move |value| *value == n);
        assert!(!poll(&mut wait, &waker));
        state.set(n);
        assert!(poll(&mut wait, &waker));
    });
    often(
        "wait: create, poll, set, poll",
        "onlooker wait_until",
        cycle,
    );
    let callback = state.on_change(|change| _ = black_box(change.new));
    often(
        "set, 1 callback",
        "onlooker",
        allocations(|n| _ = state.set(n)),
    );
    drop(callback);
    often(
        "watch and drop",
        "onlooker",
        allocations(|_| drop(state.watch())),
    );
}

fn main() {
    let Some(mut findings) = Findings::of("memory") else {
        return;
    };
    bytes(&mut findings);
    calls(&mut findings);
}
