//! What does a `set` cost with states derived from it, and with a history kept?
//!
//! futures-signals computes nothing until somebody looks, so looking at each is part of every side.

mod common;

use common::{Findings, Side, waker};
use futures_signals::map_ref;
use futures_signals::signal::{Mutable, Signal, SignalExt};
use onlooker::{View, Watched};
use std::collections::VecDeque;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Context;

/// The setter, and a look at each of what derives.
fn looking<'a, T: Clone + Send + 'static>(
    state: &'a Watched<u64>,
    derived: Vec<View<T>>,
) -> Side<'a> {
    Side::each("onlooker", move |n| {
        state.set(n);
        for view in &derived {
            _ = black_box(view.get());
        }
    })
}

fn polling<T: 'static>(
    state: Mutable<u64>,
    mut derived: Vec<Pin<Box<dyn Signal<Item = T>>>>,
) -> Side<'static> {
    let waker = waker();
    Side::each("futures-signals", move |n| {
        state.set(n);
        for signal in &mut derived {
            let changed = signal
                .as_mut()
                .poll_change(&mut Context::from_waker(&waker));
            assert!(black_box(changed).is_ready());
        }
    })
}

fn maps(findings: &mut Findings) {
    const ROW: &str = "set and look, maps";
    for count in findings.wanted(ROW, [1, 8, 64]) {
        let (looked_at, alone) = (Watched::new(0_u64), Watched::new(0_u64));
        let map = |state: &Watched<u64>| -> Vec<View<u64>> {
            let map = |own| state.view().map(move |value| value.wrapping_add(own));
            (0..count).map(map).collect()
        };
        let _kept = map(&alone);
        let mutable = Mutable::new(0_u64);
        let signals = (0..count).map(|own| {
            let signal = mutable.signal().map(move |value| value.wrapping_add(own));
            Box::pin(signal) as Pin<Box<dyn Signal<Item = u64>>>
        });
        let polled = polling(mutable.clone(), signals.collect());
        findings.row(
            ROW,
            count,
            vec![
                looking(&looked_at, map(&looked_at)),
                polled,
                Side::each("onlooker, nobody looks", |n| _ = black_box(alone.set(n))),
            ],
        );
    }
}

fn zips(findings: &mut Findings) {
    const ROW: &str = "set and look, zips";
    for count in findings.wanted(ROW, [1, 8, 64]) {
        let (looked_at, alone) = (Watched::new(0_u64), Watched::new(0_u64));
        let other = Watched::new(0_u64);
        let zip = |state: &Watched<u64>| -> Vec<View<(u64, u64)>> {
            let zip = |_| state.view().zip(&other.view());
            (0..count).map(zip).collect()
        };
        let _kept = zip(&alone);
        let (mutable, beside) = (Mutable::new(0_u64), Mutable::new(0_u64));
        let signals = (0..count).map(|_| {
            let (left, right) = (mutable.signal(), beside.signal());
            let signal = map_ref! { left, right => (*left, *right) };
            Box::pin(signal) as Pin<Box<dyn Signal<Item = (u64, u64)>>>
        });
        let polled = polling(mutable.clone(), signals.collect());
        findings.row(
            ROW,
            count,
            vec![
                looking(&looked_at, zip(&looked_at)),
                polled,
                Side::each("onlooker, nobody looks", |n| _ = black_box(alone.set(n))),
            ],
        );
    }
}

fn history(findings: &mut Findings) {
    const ROW: &str = "set, history";
    for kept in findings.wanted(ROW, [1, 16, 1_024, 65_536]) {
        let state = Watched::with_history(0, kept as usize);
        let without = Watched::new(0);
        let by_hand = Mutex::new((0, VecDeque::new()));
        findings.row(
            ROW,
            kept,
            vec![
                Side::each("onlooker", |n| _ = black_box(black_box(&state).set(n))),
                Side::each("by hand", |n| {
                    let (present, past) = &mut *black_box(&by_hand).lock().unwrap();
                    let old = std::mem::replace(present, n);
                    past.push_back((old, n));
                    if past.len() as u64 > kept {
                        past.pop_front();
                    }
                }),
                Side::each("onlooker, keeps none", |n| {
                    _ = black_box(black_box(&without).set(n));
                }),
            ],
        );
    }
}

fn main() {
    let Some(mut findings) = Findings::of("derived") else {
        return;
    };
    maps(&mut findings);
    zips(&mut findings);
    history(&mut findings);
}
