//! Tools of the tests: wakers that count, and polling by hand.

#![allow(dead_code, unreachable_pub)] // each test file takes what it needs

pub mod heap;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

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

/// How long something may take that takes no time at all: reached only by what would never end.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `f` on a thread of its own and fails if it does not come to an end: a hang is a failure, too.
#[track_caller]
pub fn in_time<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    watched(thread::Builder::new(), f)
}

/// The same on a stack of so many bytes.
#[track_caller]
pub fn on_stack<R: Send + 'static>(bytes: usize, f: impl FnOnce() -> R + Send + 'static) -> R {
    watched(thread::Builder::new().stack_size(bytes), f)
}

#[track_caller]
fn watched<R: Send + 'static>(
    builder: thread::Builder,
    f: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (done, end) = mpsc::channel();
    let body = builder.spawn(move || {
        let result = f();
        let _ = done.send(());
        result
    });
    let body = body.expect("a thread for the test");
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(PATIENCE) {
        panic!("this hangs");
    }
    match body.join() {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// How many waits, watchers, callbacks, paced setters and derived views a state has.
pub fn observers<T>(state: &onlooker::Watched<T>) -> usize {
    state.inspect().observers.len()
}

/// A waker that does what the test says.
pub fn waker(f: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Does<F>(F);

    impl<F: Fn() + Send + Sync> Wake for Does<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            (self.0)();
        }
    }

    Waker::from(Arc::new(Does(f)))
}

/// Polls `future` once with that waker.
pub fn poll_with<F: Future + Unpin + ?Sized>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A place where a thread is held until the test lets it go on.
///
/// The thread calls [`pass`](Barrier::pass), the test waits until it [`arrived`](Barrier::arrived).
pub struct Barrier {
    arrive: Mutex<mpsc::Sender<()>>,
    arrivals: Mutex<mpsc::Receiver<()>>,
    release: Mutex<Option<mpsc::Sender<()>>>,
    released: Mutex<mpsc::Receiver<()>>,
}

impl Barrier {
    pub fn new() -> Arc<Self> {
        let (arrive, arrivals) = mpsc::channel();
        let (release, released) = mpsc::channel();
        Arc::new(Self {
            arrive: Mutex::new(arrive),
            arrivals: Mutex::new(arrivals),
            release: Mutex::new(Some(release)),
            released: Mutex::new(released),
        })
    }

    /// Says that somebody is here, and waits until it is open.
    pub fn pass(&self) {
        let _ = self.arrive.lock().unwrap().send(());
        let _ = self.released.lock().unwrap().recv();
    }

    /// Waits until somebody is there.
    #[track_caller]
    pub fn arrived(&self) {
        let arrivals = self.arrivals.lock().unwrap();
        assert!(arrivals.recv_timeout(PATIENCE).is_ok(), "nobody came");
    }

    /// Whether somebody came who was not waited for yet.
    pub fn somebody(&self) -> bool {
        self.arrivals.lock().unwrap().try_recv().is_ok()
    }

    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        self.release.lock().unwrap().take();
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.release
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// Looks again and again, until it is so; fails if it never is.
#[track_caller]
pub fn eventually(mut so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(std::time::Instant::now() < end, "this never happens");
        thread::yield_now();
    }
}
