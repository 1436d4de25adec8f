//! Tools of the tests: wakers that count, and polling by hand.

#![allow(dead_code, unreachable_pub)] // each test file takes what it needs

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A task that counts how often it was woken.
#[derive(Default)]
pub struct Task {
    wakes: AtomicUsize,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// How often it was woken so far.
    pub fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// How many wakers of this task are kept somewhere.
    pub fn kept(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    /// Polls `future` once, as this task.
    pub fn poll<F: Future + Unpin + ?Sized>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        self.poll_pin(Pin::new(future))
    }

    /// The same for a future that must not move.
    pub fn poll_pin<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = self.waker();
        future.poll(&mut Context::from_waker(&waker))
    }
}

/// Polls `future` once, as nobody in particular.
pub fn poll<F: Future + Unpin + ?Sized>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that must be ready at its first poll.
#[track_caller]
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("this future should have been ready at its first poll"),
    }
}

/// Whether the future is still pending when polled once.
pub fn pending<F: Future + Unpin + ?Sized>(future: &mut F) -> bool {
    poll(future).is_pending()
}

/// The message of the panic that `f` must end in.
#[track_caller]
pub fn panics<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("this should have panicked"),
        Err(payload) => message(&*payload),
    }
}

/// What a panic's payload says.
pub fn message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "a payload that is no text".to_string())
}

/// A future that is ready once it was opened; also counts its polls.
#[derive(Clone, Default)]
pub struct Gate {
    inner: Arc<GateInner>,
}

#[derive(Default)]
struct GateInner {
    open: AtomicBool,
    polls: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        self.inner.open.store(true, Ordering::SeqCst);
        let waker = self.inner.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn polls(&self) -> usize {
        self.inner.polls.load(Ordering::SeqCst)
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.inner.polls.fetch_add(1, Ordering::SeqCst);
        let waker = context.waker().clone();
        let replaced = self.inner.waker.lock().unwrap().replace(waker);
        drop(replaced);
        if self.inner.open.load(Ordering::SeqCst) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// A state that lives as long as the test program, so that waits on it can be kept anywhere.
pub fn leaked<T>(value: T) -> &'static onlooker::Watched<T> {
    // Kept in sight, so that tools which look for leaks find the others only.
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let state = &*Box::leak(Box::new(onlooker::Watched::new(value)));
    KEPT.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(std::ptr::from_ref(state).expose_provenance());
    state
}
