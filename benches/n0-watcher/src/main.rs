//! What the README and the guide say of n0-watcher; then what a `set` costs with states derived from it.
//!
//! `cargo run --release`. Nanoseconds a `set`, the median of 31 rounds. n0-watcher and futures-signals compute when somebody
//! looks, so a look at each of what derives is a part of every side but the last two.

use futures_lite::StreamExt;
use futures_lite::future::{block_on, poll_once};
use futures_signals::map_ref;
use futures_signals::signal::{Mutable, Signal, SignalExt};
use n0_watcher::{Nullable, Watchable, Watcher};
use onlooker::{View, Watched};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn claims() {
    // What has passed is not seen; every set wakes every waiter.
    let state = Watchable::new(None);
    let mut watcher = state.watch();
    let mut initialized = watcher.initialized();
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut polled = || Pin::new(&mut initialized).poll(&mut Context::from_waker(&waker));
    assert!(polled().is_pending());
    assert!(state.set(Some(1)).is_ok());
    assert!(state.set(None).is_ok());
    assert_eq!(woken.0.load(SeqCst), 1);
    assert!(polled().is_pending());

    // The latest alone, of a pair as well; and at the end not even that.
    let (state, other) = (Watchable::new(0), Watchable::new(0));
    let (mut watcher, mut pair) = (state.watch(), state.watch().or(other.watch()));
    (1..=5).for_each(|n| assert_eq!(state.set(n), Ok(n - 1)));
    assert_eq!(state.set(5), Err(5));
    other.set(1).unwrap();
    assert_eq!(block_on(watcher.updated()).unwrap(), 5);
    assert_eq!(block_on(pair.updated()).unwrap(), (5, 1));
    assert!(block_on(poll_once(pair.updated())).is_none());
    let mut stream = state.watch().stream();
    assert_eq!(block_on(stream.next()), Some(5));
    assert!(state.has_watchers());
    state.set(6).unwrap();
    drop(state);
    assert_eq!(block_on(stream.next()), None);
    assert_eq!((watcher.get(), pair.is_connected()), (5, false));

    assert_eq!(vec![1, 2, 3].into_option(), Some(3));
}

fn median(mut set: impl FnMut(u64)) -> u128 {
    const SETS: u64 = 2_000;
    let mut round = |round: u64| {
        let began = Instant::now();
        (0..SETS).for_each(|n| set(round * SETS + n + 1));
        began.elapsed().as_nanos() / u128::from(SETS)
    };
    let mut rounds: Vec<_> = (0..31).map(&mut round).collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn ours<T: Clone + Send + 'static>(
    derive: impl Fn(&Watched<u64>) -> View<T>,
    count: u64,
) -> [u128; 2] {
    let state = Watched::new(0);
    let derived: Vec<_> = (0..count).map(|_| derive(&state)).collect();
    let looked_at = median(|n| {
        state.set(n);
        derived.iter().for_each(|view| _ = black_box(view.get()));
    });
    [looked_at, median(|n| _ = black_box(state.set(n)))]
}

fn theirs<W: Watcher>(derive: impl Fn(&Watchable<u64>) -> W, count: u64) -> [u128; 2] {
    let state = Watchable::new(0);
    let mut derived: Vec<_> = (0..count).map(|_| derive(&state)).collect();
    let looked_at = median(|n| {
        _ = state.set(n);
        derived
            .iter_mut()
            .for_each(|watcher| _ = black_box(watcher.get()));
    });
    [looked_at, median(|n| _ = black_box(state.set(n)))]
}

fn signals<S: Signal>(derive: impl Fn(&Mutable<u64>) -> S, count: u64) -> u128 {
    let state = Mutable::new(0);
    let mut derived: Vec<_> = (0..count).map(|_| Box::pin(derive(&state))).collect();
    let mut context = Context::from_waker(Waker::noop());
    median(|n| {
        state.set(n);
        for signal in &mut derived {
            assert!(black_box(signal.as_mut().poll_change(&mut context)).is_ready());
        }
    })
}

fn main() {
    claims();
    println!(
        "derived      onlooker  n0-watcher  futures-signals  nobody looks: onlooker  n0-watcher"
    );
    let row = |what,
               count,
               [ours, unseen]: [u128; 2],
               [theirs, theirs_unseen]: [u128; 2],
               signals| {
        println!(
            "{what:4} {count:6} {ours:9} {theirs:11} {signals:16} {unseen:23} {theirs_unseen:11}"
        );
    };
    for count in [1, 8, 64] {
        let maps = ours(|state| state.view().map(|n| n + 1), count);
        let their_maps = theirs(|state| state.watch().map(|n| n + 1), count);
        let mapped = signals(|state| state.signal().map(|n| n + 1), count);
        row("map", count, maps, their_maps, mapped);
        let (a, b, c) = (
            Watched::new(0_u64),
            Watchable::new(0_u64),
            Mutable::new(0_u64),
        );
        let pairs = ours(|state| state.view().zip(&a.view()), count);
        let their_pairs = theirs(|state| state.watch().or(b.watch()), count);
        let paired = |state: &Mutable<u64>| {
            let (left, right) = (state.signal(), c.signal());
            map_ref! { left, right => (*left, *right) }
        };
        row("pair", count, pairs, their_pairs, signals(paired, count));
    }
}
