//! What does reading cost?

mod common;

use arc_swap::ArcSwap;
use common::{Findings, Side};
use eyeball::SharedObservable;
use futures_signals::signal::Mutable;
use onlooker::Watched;
use std::hint::black_box;
use std::sync::Mutex;
use tokio::sync::watch;

fn values<T: Clone + Send + Sync + PartialEq + 'static>(
    findings: &mut Findings,
    size: &str,
    value: impl Fn() -> T,
) {
    let (get, read) = (format!("get, {size}"), format!("read in place, {size}"));
    if !findings.wants(&get, 1) && !findings.wants(&read, 1) {
        return;
    }
    let state = Watched::new(value());
    let floor = Mutex::new(value());
    let (sender, _receiver) = watch::channel(value());
    let observable = SharedObservable::new(value());
    let mutable = Mutable::new(value());
    findings.row(
        &get,
        1,
        vec![
            Side::each("onlooker", |_| _ = black_box(black_box(&state).get())),
            Side::each("std Mutex", |_| {
                _ = black_box(black_box(&floor).lock().unwrap().clone());
            }),
            Side::each("tokio watch", |_| {
                _ = black_box(black_box(&sender).borrow().clone());
            }),
            Side::each("eyeball", |_| _ = black_box(black_box(&observable).get())),
            Side::each("futures-signals", |_| {
                _ = black_box(black_box(&mutable).get_cloned());
            }),
        ],
    );
    let mut reader = state.reader();
    let swap = ArcSwap::from_pointee(value());
    findings.row(
        &read,
        1,
        vec![
            Side::each("onlooker Reader", |_| {
                black_box(black_box(&mut reader).get());
            }),
            Side::each("ArcSwap", |_| _ = black_box(black_box(&swap).load())),
            Side::each("onlooker read", |_| {
                black_box(&state).read(|value| _ = black_box(value));
            }),
        ],
    );
}

fn main() {
    let Some(mut findings) = Findings::of("get") else {
        return;
    };
    values(&mut findings, "u64", || 0_u64);
    values(&mut findings, "String", || {
        "the state of a connection".to_owned()
    });
}
