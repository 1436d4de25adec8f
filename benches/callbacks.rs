//! What does a callback cost the setter, and how long may one `set` be held up by those of others?

mod common;

use common::{CallsByHand, Findings, Side, timed, together};
use onlooker::Watched;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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

/// The longest `set` of some threads that do nothing else for so long.
fn longest(span: Duration, running: &AtomicBool, set: impl Fn(u64) + Sync) -> f64 {
    running.store(true, Relaxed);
    let (longest, value) = (AtomicU64::new(0), AtomicU64::new(0));
    let setting = |_| {
        let start = Instant::now();
        while start.elapsed() < span {
            let n = value.fetch_add(1, Relaxed);
            let spent = timed(|| set(n + 1));
            longest.fetch_max(spent.as_nanos() as u64, Relaxed);
        }
        // Whoever works for the others then ends at once, if late.
        running.store(false, Relaxed);
    };
    together(SETTERS - 1, setting, || setting(0));
    longest.into_inner() as f64
}

fn slow_ones(findings: &mut Findings) {
    const ROW: &str = "longest set, callback of 20 µs";
    if !findings.wants(ROW, SETTERS) {
        return;
    }
    let span = Duration::from_secs(findings.or_fewer(3));
    let mut rounds = [const { Vec::new() }; 4];
    for _ in 0..findings.or_fewer(3) {
        // What the callback takes with nobody beside it, and what the machine makes of that at its worst.
        let (mut calls, start) = (Vec::new(), Instant::now());
        while start.elapsed() < span {
            calls.push(timed(call).as_nanos() as f64);
        }
        calls.sort_by(f64::total_cmp);
        rounds[2].push(calls[calls.len() / 2]);
        rounds[3].push(calls[calls.len() - 1]);

        let running: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(true)));
        let work = move || {
            if running.load(Relaxed) {
                call();
            }
        };
        let state = Watched::new(0);
        let _callback = state.on_change(move |_| work());
        rounds[0].push(longest(span, running, |n| _ = state.set(n)));
        let by_hand = CallsByHand::new(vec![Box::new(move |_, _| work())]);
        rounds[1].push(longest(span, running, |n| by_hand.set(n)));
    }
    let whos = [
        "onlooker",
        "by hand",
        "the callback",
        "the callback, longest",
    ];
    for (who, figures) in whos.iter().zip(&rounds) {
        findings.keep_all(ROW, SETTERS, who, "ns", figures);
    }
}

fn main() {
    let Some(mut findings) = Findings::of("callbacks") else {
        return;
    };
    quick_ones(&mut findings);
    slow_ones(&mut findings);
}
