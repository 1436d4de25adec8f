//! The protocols between two and three threads, in every order that loom can think of.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --features loom --test loom`
//!
//! Nothing rescues a waiter here: a model that ends has woken everybody by the transition it waited for, not by a close
//! or a time-out (`end_*` is about the end itself). Models without a bound explore all there is. `MODELS_BOUND=2` bounds
//! every model, for a quick look; `MODELS_MORE=1` allows each one preemption more, `MODELS_UNBOUNDED=1` bounds none,
//! which for some takes hours.

#![cfg(loom)]

mod derived;
mod end;
mod join;
mod leave;
mod paced;
mod settle;
mod sleep;
mod spill;
mod turn;

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use onlooker::{Closed, Overflow, TryRecvError, Watched};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

/// Explores `model`, with at most `bound` preemptions if given, and reports how many executions that took.
fn explore(name: &str, bound: impl Into<Option<usize>>, model: impl Fn() + Send + Sync + 'static) {
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = bound.into();
    if std::env::var_os("MODELS_MORE").is_some() {
        builder.preemption_bound = builder.preemption_bound.map(|bound| bound + 1);
    }
    if std::env::var_os("MODELS_UNBOUNDED").is_some() {
        builder.preemption_bound = None;
    }
    if let Ok(most) = std::env::var("MODELS_BOUND") {
        let most = most.parse().expect("a number");
        let bound = builder.preemption_bound;
        builder.preemption_bound = Some(bound.map_or(most, |bound| bound.min(most)));
    }
    let bound = builder.preemption_bound;
    let bound = bound.map_or("none".into(), |bound| bound.to_string());
    let began = Instant::now();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let (executions, seconds) = (
        executions.load(Ordering::Relaxed),
        began.elapsed().as_secs_f32(),
    );
    println!("{name}: {executions} executions, bound {bound}, {seconds:.1} s");
}

/// A list that threads of a model, callbacks, wakers and drops write to.
type Log<T> = std::sync::Arc<Mutex<Vec<T>>>;

fn log<T>() -> (Log<T>, Log<T>) {
    let log = std::sync::Arc::new(Mutex::new(Vec::new()));
    (log.clone(), log)
}

/// What is in a log by now.
fn entries<T: Clone>(log: &Log<T>) -> Vec<T> {
    log.lock().unwrap().clone()
}

fn setter(state: &Arc<Watched<u32>>, values: &'static [u32]) -> JoinHandle<()> {
    let state = state.clone();
    thread::spawn(move || {
        for value in values {
            state.set(*value);
        }
    })
}

/// Polls with the waker of nobody. Whether that was enough.
fn polled_early(future: &mut (impl Future + Unpin)) -> bool {
    polled_by(future, Waker::noop())
}

fn polled_by(future: &mut (impl Future + Unpin), waker: &Waker) -> bool {
    let mut context = Context::from_waker(waker);
    std::pin::Pin::new(future).poll(&mut context).is_ready()
}

/// A waker that does something.
struct Does<F>(F);

impl<F: Fn() + Send + Sync + 'static> Does<F> {
    fn waker(f: F) -> Waker {
        Waker::from(std::sync::Arc::new(Self(f)))
    }
}

impl<F: Fn() + Send + Sync> Wake for Does<F> {
    fn wake(self: std::sync::Arc<Self>) {
        (self.0)();
    }
}

// Reading

#[test]
fn read_versions_and_values_go_together() {
    explore("read_versions", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let before = state.version();
        let mut reader = state.reader();
        assert!(u64::from(*reader.get()) >= before);
        setter.join().unwrap();
        assert_eq!(*reader.get(), 2);
    });
}

#[test]
fn read_a_view_and_its_reader_see_the_last_set() {
    explore("read_view", None, || {
        let state = Arc::new(Watched::new(0));
        let view = state.view();
        let mut reader = view.reader();
        let setter = setter(&state, &[1, 2]);
        let first = *reader.get();
        assert!(*reader.get() >= first);
        assert!(view.get() >= first);
        setter.join().unwrap();
        assert_eq!((*reader.get(), view.get(), view.version()), (2, 2, 2));
    });
}
