//! What does setting cost, with nobody or one idle watcher there?

mod common;

use common::{ByHand, Findings, Side};
use eyeball::SharedObservable;
use futures_signals::signal::Mutable;
use onlooker::{Overflow, Watched};
use std::hint::black_box;
use std::sync::Mutex;
use tokio::sync::{broadcast, watch};

fn nobody<T: Clone + Send + Sync + PartialEq + 'static>(
    findings: &mut Findings,
    size: &str,
    value: impl Fn(u64) -> T + Copy,
) {
    let row = format!("set, nobody watches, {size}");
    if !findings.wants(&row, 0) {
        return;
    }
    let state = Watched::new(value(0));
    let floor = Mutex::new(value(0));
    let (sender, _) = watch::channel(value(0));
    let observable = SharedObservable::new(value(0));
    let mutable = Mutable::new(value(0));
    let by_hand = ByHand::new(value(0));
    findings.row(
        &row,
        0,
        vec![
            Side::each("onlooker", |n| {
                _ = black_box(black_box(&state).set(value(n)));
            }),
            Side::each("std Mutex", |n| {
                *black_box(&floor).lock().unwrap() = value(n);
            }),
            Side::each("tokio watch", |n| {
                _ = black_box(black_box(&sender).send_replace(value(n)));
            }),
            Side::each("eyeball", |n| {
                _ = black_box(black_box(&observable).set_if_not_eq(value(n)));
            }),
            Side::each("futures-signals", |n| black_box(&mutable).set_neq(value(n))),
            Side::each("by hand", |n| black_box(&by_hand).set(value(n))),
        ],
    );
}

fn one<T: Clone + Send + Sync + PartialEq + 'static>(
    findings: &mut Findings,
    size: &str,
    value: impl Fn(u64) -> T + Copy,
) {
    const ROOM: usize = 4_096;
    let row = format!("set, 1 idle watcher, {size}");
    if !findings.wants(&row, 1) {
        return;
    }
    let (oldest, newest, room, unbounded) = (
        Watched::new(value(0)),
        Watched::new(value(0)),
        Watched::new(value(0)),
        Watched::new(value(0)),
    );
    let _full = oldest.watch_bounded(16, Overflow::DropOldest);
    let _full_too = newest.watch_bounded(16, Overflow::DropNewest);
    let mut roomy = room.watch_bounded(ROOM, Overflow::DropOldest);
    let mut endless = unbounded.watch();
    let (sender, _receiver) = broadcast::channel(16);
    let (mut overflowing, _lagging) = async_broadcast::broadcast(16);
    overflowing.set_overflow(true);
    let by_hand = ByHand::new(value(0));
    let _queue = by_hand.watch(Some(16));
    findings.row(
        &row,
        1,
        vec![
            Side::each("onlooker, DropOldest", |n| {
                _ = black_box(oldest.set(value(n)));
            }),
            Side::each("onlooker, DropNewest", |n| {
                _ = black_box(newest.set(value(n)));
            }),
            Side::with_room(
                "onlooker, room",
                ROOM as u64,
                |n| _ = black_box(room.set(value(n))),
                || while roomy.try_recv().is_ok() {},
            ),
            Side::with_room(
                "onlooker, unbounded",
                ROOM as u64,
                |n| _ = black_box(unbounded.set(value(n))),
                || while endless.try_recv().is_ok() {},
            ),
            Side::each("tokio broadcast", |n| {
                _ = black_box(sender.send(value(n)).is_ok());
            }),
            Side::each("async-broadcast", |n| {
                _ = black_box(overflowing.try_broadcast(value(n)).is_ok());
            }),
            Side::each("by hand", |n| by_hand.set(value(n))),
        ],
    );
}

fn main() {
    let Some(mut findings) = Findings::of("set") else {
        return;
    };
    nobody(&mut findings, "u64", |n| n);
    nobody(&mut findings, "String", |n| n.to_string());
    one(&mut findings, "u64", |n| n);
    one(&mut findings, "String", |n| n.to_string());
}
