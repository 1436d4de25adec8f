//! What does a callback cost the setter, and how long may one `set` be held up by those of others?

mod common;

use common::{CallsByHand, Findings, Side, timed, together};
use onlooker::Watched;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn quick_ones(findings: &mut Findings) {
    const ROW: &str = "set, callbacks";
    for count in findings.wanted(ROW, [1, 10, 100, 1_000]) {
        let state = Watched::new(0);
        let _callbacks: Vec<_> = (0..count)
            .map(|_| state.on_change(|change| _ = black_box(change.new)))
            .collect();
        let call = |_: &u64, new: &u64| _ = black_box(*new);
        let by_hand = CallsByHand::new((0..count).map(|_| Box::new(call) as _).collect());
        findings.row(
            ROW,
            count,
            vec![
                Side::each("onlooker", |n| _ = black_box(black_box(&state).set(n))),
                Side::each("by hand", |n| black_box(&by_hand).set(n)),
            ],
        );
    }
}

const SETTERS: u64 = 4;
const CALL: Duration = Duration::from_micros(20);

fn call() {
    let start = Instant::now();
    while start.elapsed() < CALL {
        spin_loop();
    }
}

const WINDOW: Duration = Duration::from_millis(100);

/// The longest call, for each window of time, by so many threads that do nothing else for so long.
fn longest(threads: u64, span: Duration, call: impl Fn(u64) + Sync) -> Vec<f64> {
    let windows = span.div_duration_f64(WINDOW) as usize;
    let longest: Vec<_> = (0..windows).map(|_| AtomicU64::new(0)).collect();
    let value = AtomicU64::new(0);
    let start = Instant::now();
    let window = |at: Duration| at.div_duration_f64(WINDOW) as usize;
    let calling = |_| {
        let mut begin = start.elapsed();
        while begin < span {
            call(value.fetch_add(1, Relaxed) + 1);
            let end = start.elapsed();
            // It belongs to each window that it was seen in.
            for spent in &longest[window(begin)..windows.min(window(end) + 1)] {
                spent.fetch_max((end - begin).as_nanos() as u64, Relaxed);
            }
            begin = end;
        }
    };
    together(threads - 1, calling, || calling(0));
    longest
        .into_iter()
        .map(|ns| ns.into_inner() as f64)
        .collect()
}

fn slow_ones(findings: &mut Findings) {
    const ROW: &str = "longest set of 100 ms, callback of 20 µs";
    const OF_ALL: &str = "longest set of a run, callback of 20 µs";
    if !findings.wants(ROW, SETTERS) && !findings.wants(OF_ALL, SETTERS) {
        return;
    }
    let span = Duration::from_secs(findings.or_fewer(3));
    let whos = [
        "onlooker",
        "by hand",
        "the callback",
        // What the machine alone makes of it, at its worst.
        "the callback, longest",
    ];
    let mut rounds = whos.map(|_| Vec::new());
    let mut of_all = whos.map(|_| Vec::new());
    for _ in 0..findings.or_fewer(3) {
        let mut calls: Vec<_> = (0..1_001).map(|_| timed(call).as_nanos() as f64).collect();
        calls.sort_by(f64::total_cmp);
        let state = Watched::new(0);
        let _callback = state.on_change(|_| call());
        let by_hand = CallsByHand::new(vec![Box::new(|_, _| call())]);
        let alone = longest(1, span, |_| call());
        let found = [
            longest(SETTERS, span, |n| _ = state.set(n)),
            longest(SETTERS, span, |n| by_hand.set(n)),
            vec![calls[calls.len() / 2]; alone.len()],
            alone,
        ];
        for (side, found) in found.into_iter().enumerate() {
            of_all[side].push(found.iter().copied().fold(0.0, f64::max));
            rounds[side].extend(found);
        }
    }
    for (side, who) in whos.iter().enumerate() {
        findings.keep_all(ROW, SETTERS, who, "ns", &rounds[side]);
        findings.keep_all(OF_ALL, SETTERS, who, "ns", &of_all[side]);
    }
}

fn main() {
    let Some(mut findings) = Findings::of("callbacks") else {
        return;
    };
    quick_ones(&mut findings);
    slow_ones(&mut findings);
}
