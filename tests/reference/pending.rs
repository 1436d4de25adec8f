//! Waits of all kinds, under one roof.

use super::contract::{Answer, Found};
use super::ops::{Ask, Late, Number, Until};
use super::user::{self, Glue, Point, Task, Value};
use super::world::plain;
use futures_core::FusedFuture;
use onlooker::{Closed, OwnedWait, Transition, View, Wait, WaitError, Watched, Watcher};
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

/// How a state is looked at, and which one it is.
#[derive(Clone, Copy)]
pub enum Way<'a, 'v> {
    Root(usize, &'a Watched<Value>),
    View(usize, &'v View<Value>),
}

impl Way<'_, '_> {
    pub fn of(self) -> usize {
        match self {
            Way::Root(of, _) | Way::View(of, _) => of,
        }
    }
}

pub fn poll<F: Future + Unpin>(task: &Arc<Task>, future: &mut F) -> Poll<F::Output> {
    task.with(|waker| Pin::new(future).poll(&mut Context::from_waker(waker)))
}

/// A deadline: ready once it is open. It wakes nobody, so it comes as late as can be.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.load(Relaxed) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// A wait of any kind, whatever it gives.
pub trait Pending {
    fn poll(&mut self, task: &Arc<Task>) -> Poll<Found>;
    /// Whether it may be polled, also after a panic.
    fn goes_on(&self) -> bool;
}

/// A wait, whose it is, and its deadline.
pub struct Asked<'a> {
    pub wait: Box<dyn Pending + 'a>,
    pub of: usize,
    pub ask: Ask,
    pub gate: Gate,
}

struct Polled<F, R> {
    future: F,
    found: R,
    goes_on: fn(&F) -> bool,
}

impl<F: Future + Unpin, R: Fn(F::Output) -> Found> Pending for Polled<F, R> {
    fn poll(&mut self, task: &Arc<Task>) -> Poll<Found> {
        poll(task, &mut self.future).map(&self.found)
    }

    fn goes_on(&self) -> bool {
        (self.goes_on)(&self.future)
    }
}

/// What a wait gives, as something to compare.
pub trait Gives {
    fn found(self, of: usize) -> Found;
}

impl Gives for Value {
    fn found(self, of: usize) -> Found {
        if self.of != of {
            user::wrong(|| format!("a wait on {of} got a value of {}", self.of));
        }
        let number = self.number();
        user::hushed(|| drop(self));
        Found::Value(number)
    }
}

impl Gives for u16 {
    fn found(self, _: usize) -> Found {
        Found::Mapped(self)
    }
}

impl Gives for Transition<Value> {
    fn found(self, of: usize) -> Found {
        Found::Change(plain(of, self.seq - 1, self))
    }
}

impl Gives for () {
    fn found(self, _: usize) -> Found {
        Found::Counted
    }
}

impl<U: Gives> Gives for Result<U, Closed> {
    fn found(self, of: usize) -> Found {
        self.map_or(Found::Closed, |output| output.found(of))
    }
}

impl<U: Gives> Gives for Result<U, WaitError> {
    fn found(self, of: usize) -> Found {
        match self {
            Ok(output) => output.found(of),
            Err(WaitError::Closed) => Found::Closed,
            Err(_) => Found::GaveUp,
        }
    }
}

fn give_up<U: Gives, E>(result: Result<U, E>, of: usize) -> Found {
    result.map_or(Found::GaveUp, |output| output.found(of))
}

fn boxed<'a, F: Future + Unpin + 'a>(
    future: F,
    found: impl Fn(F::Output) -> Found + 'a,
) -> Box<dyn Pending + 'a> {
    Box::new(Polled {
        future,
        found,
        // One with a deadline does not say.
        goes_on: |_| false,
    })
}

fn fused<'a, F: FusedFuture + Unpin + 'a>(
    future: F,
    found: impl Fn(F::Output) -> Found + 'a,
) -> Box<dyn Pending + 'a> {
    Box::new(Polled {
        future,
        found,
        goes_on: |future| !future.is_terminated(),
    })
}

/// What a wait's predicate does: of the user's, and with glue.
fn least(n: Number) -> impl FnMut(&Value) -> bool + Send + 'static {
    let glue = Glue;
    move |value| {
        let _glue = &glue;
        user::call(Point::Predicate);
        value.number() >= n
    }
}

fn mapped(n: Number) -> impl FnMut(&Value) -> Option<u16> + Send + 'static {
    let mut holds = least(n);
    move |value| holds(value).then(|| u16::from(value.number()) + 100)
}

/// Makes the wait that is asked for, and gives it to `$use`.
macro_rules! asked {
    ($face:expr, $of:expr, $ask:expr, $use:ident $(, $counted:ident)?) => {
        match $ask {
            Ask::For(n) => $use!($face.wait_for(Value::new($of, n))),
            Ask::ForNot(n) => $use!($face.wait_for_not(Value::new($of, n))),
            Ask::Until(n) => $use!($face.wait_until(least(n))),
            Ask::Map(n) => $use!($face.wait_map(mapped(n))),
            Ask::Change => $use!($face.wait_for_change()),
            Ask::Next(n) => $use!($face.wait_for_next(Value::new($of, n))),
            Ask::UntilNext(n) => $use!($face.wait_until_next(least(n))),
            $(
                Ask::Unwatched => $counted!($face.wait_unwatched()),
                Ask::Watched => $counted!($face.wait_watched()),
            )?
            #[allow(unreachable_patterns)]
            Ask::Unwatched | Ask::Watched => return None,
        }
    };
}

pub fn borrowed(of: usize, state: &Watched<Value>, ask: Ask, until: Until) -> Asked<'_> {
    fn hold<'a, U: Gives + 'static>(
        wait: Wait<'a, U>,
        of: usize,
        until: Until,
        gate: Gate,
    ) -> Box<dyn Pending + 'a> {
        match until {
            Until::Forever => fused(wait, move |output| output.found(of)),
            Until::Unless => boxed(wait.unless(gate), move |ended| give_up(ended, of)),
            Until::Timeout => {
                let timer = move |_| gate.clone();
                boxed(wait.timeout(timer, Duration::ZERO), move |ended| {
                    give_up(ended, of)
                })
            }
        }
    }
    let gate = Gate::default();
    macro_rules! hold {
        ($wait:expr) => {
            hold($wait, of, until, gate.clone())
        };
    }
    let made = || Some(asked!(state, of, ask, hold, hold));
    let Some(wait) = made() else {
        unreachable!("a `Watched` can be asked for everything")
    };
    Asked {
        wait,
        of,
        ask,
        gate,
    }
}

pub fn owned(of: usize, view: &View<Value>, ask: Ask, until: Until) -> Option<Asked<'static>> {
    fn hold<U: Gives + 'static>(
        wait: OwnedWait<U>,
        of: usize,
        until: Until,
        gate: Gate,
    ) -> Box<dyn Pending> {
        match until {
            Until::Forever => fused(wait, move |output| output.found(of)),
            Until::Unless => boxed(wait.unless(gate), move |ended| give_up(ended, of)),
            Until::Timeout => {
                let timer = move |_| gate.clone();
                boxed(wait.timeout(timer, Duration::ZERO), move |ended| {
                    ended.found(of)
                })
            }
        }
    }
    let gate = Gate::default();
    macro_rules! hold {
        ($wait:expr) => {
            hold($wait, of, until, gate.clone())
        };
    }
    let wait = asked!(view, of, ask, hold);
    Some(Asked {
        wait,
        of,
        ask,
        gate,
    })
}

pub fn borrowed_now(of: usize, state: &Watched<Value>, ask: Ask) -> Found {
    macro_rules! now {
        ($wait:expr) => {
            give_up($wait.wait_timeout(Duration::ZERO), of)
        };
    }
    let made = || Some(asked!(state, of, ask, now, now));
    made().unwrap_or(Found::GaveUp)
}

pub fn owned_now(of: usize, view: &View<Value>, ask: Ask) -> Option<Found> {
    macro_rules! now {
        ($wait:expr) => {
            $wait.wait_timeout(Duration::ZERO).found(of)
        };
    }
    Some(asked!(view, of, ask, now))
}

/// What was polled, once the future is dropped. On this stack nobody could catch a second panic.
fn dropped<F, R>(future: F, polled: std::thread::Result<R>) -> R {
    match (catch_unwind(AssertUnwindSafe(|| drop(future))), polled) {
        (Ok(()), Ok(polled)) => polled,
        (Ok(()), Err(panic)) => resume_unwind(panic),
        (Err(panic), polled) => {
            user::hushed(|| drop(polled));
            resume_unwind(panic)
        }
    }
}

/// A wait of a watcher, polled once and dropped, or with a deadline that is there.
pub fn seek(
    of: usize,
    watcher: &mut Watcher<Value>,
    task: &Arc<Task>,
    ask: Ask,
    late: Option<Late>,
) -> Option<Answer> {
    macro_rules! seek {
        ($wait:expr) => {{
            let mut wait = $wait;
            let found = match late {
                None => {
                    // What panics is over before it is dropped.
                    let polled = catch_unwind(AssertUnwindSafe(|| poll(task, &mut wait)));
                    dropped(wait, polled).map(|output| output.found(of))
                }
                Some(Late::Unless) => {
                    let mut wait = wait.unless(ready(()));
                    let ended = catch_unwind(AssertUnwindSafe(|| poll(task, &mut wait)));
                    dropped(wait, ended).map(|ended| give_up(ended, of))
                }
                Some(Late::Blocking) => Poll::Ready(wait.wait_timeout(Duration::ZERO).found(of)),
            };
            match found {
                Poll::Ready(Found::Closed) => Answer::Closed,
                Poll::Ready(Found::GaveUp) => Answer::GaveUp,
                Poll::Ready(found) => Answer::Found(found),
                Poll::Pending => Answer::Pending,
            }
        }};
    }
    Some(match ask {
        Ask::For(n) => seek!(watcher.wait_for(Value::new(of, n))),
        Ask::ForNot(n) => seek!(watcher.wait_for_not(Value::new(of, n))),
        Ask::Until(n) => seek!(watcher.wait_until(least(n))),
        Ask::Map(n) => seek!(watcher.wait_map(mapped(n))),
        Ask::Next(n) => seek!(watcher.wait_for_next(Value::new(of, n))),
        Ask::UntilNext(n) => seek!(watcher.wait_until_next(least(n))),
        Ask::Change | Ask::Unwatched | Ask::Watched => return None,
    })
}
