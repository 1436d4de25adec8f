//! Pending waits: decided where the transition happens, latched until they are asked for.
//!
//! One body, [`Body`], has two faces: [`Wait`] borrows its `Watched`, [`OwnedWait`] holds on to the state. The body is
//! a key to a desk among the state's observers, and nothing else: what was found lies there.

mod seek;

use crate::cell::{Cell, Shared};
use crate::error::{Closed, TimedOut, WaitError};
use crate::observers::{Asked, Left, Method, Origin, Outcome, Place, Shown, Test, Thing};
use crate::slab::Key;
use crate::sync::{
    Arc, Panic, Pieces, Slot, catch, drop_before, erase, forbid_in_predicate, resume,
};
use crate::timer::{Awaited, deadlines};
use core::any::Any;
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use futures_core::FusedFuture;
use seek::give;

/// A pending wait on a [`Watched`](crate::Watched): resolves once the state did what was asked for, even if it has
/// moved on since.
///
/// Made by the `wait_…` methods of [`Watched`](crate::Watched). It is registered from the moment it exists, polled
/// or not; every transition is offered to it as it happens, and the match is kept until it is asked for. It
/// needs no buffer, and a transition that does not match does not wake it.
///
/// A plain thread waits with [`wait`](Wait::wait), [`wait_timeout`](Wait::wait_timeout) or
/// [`wait_deadline`](Wait::wait_deadline).
///
/// It borrows the `Watched`. What a spawned task takes along is an [`OwnedWait`], of a [`View`](crate::View).
///
/// # Cancel safety
///
/// Dropping it takes it off the state and frees what it held; nothing else notices.
///
/// # Panics
///
/// Polling panics with the predicate's own panic if the predicate panicked (`std`), and if the wait has already
/// given its output.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// use onlooker::Watched;
///
/// let state = Watched::new("open");
/// let closing = state.wait_for("closing");
/// state.set("closing");
/// state.set("closed");
/// assert_eq!(closing.await, "closing");
/// # });
/// ```
#[must_use = "a wait does nothing unless you `.await` it, or call `wait` on a plain thread"]
pub struct Wait<'a, U> {
    body: Body<U, &'a dyn Asks>,
}

/// A pending wait on a [`View`](crate::View): as a [`Wait`], and `'static`: a spawned task takes it along.
///
/// Made by the `wait_…` methods of [`View`](crate::View), and registered at that call. Its output is `Ok` of what was
/// found, or [`Closed`] once the `Watched` is gone and there was no match; a match that was there before stays.
///
/// It counts in [`view_count`](crate::Watched::view_count) until it is dropped.
///
/// # Cancel safety
///
/// Dropping it takes it off the state and frees what it held; nothing else notices.
///
/// # Panics
///
/// Polling panics with the predicate's own panic if the predicate panicked (`std`), and if the wait has already
/// given its output.
///
/// # Examples
///
/// ```
/// use onlooker::Watched;
/// use std::thread;
///
/// let state = Watched::new("open");
/// let closing = state.view().wait_for("closing"); // registered here, not in the thread
/// let waiter = thread::spawn(move || closing.wait());
/// state.set("closing");
/// state.set("closed");
/// assert_eq!(waiter.join().unwrap(), Ok("closing"));
/// ```
#[must_use = "a wait does nothing unless you `.await` it, or call `wait` on a plain thread"]
pub struct OwnedWait<U> {
    body: Body<U, Arc<dyn Asks>>,
}

/// The one body of both: where it asks, and for what.
struct Body<U, S> {
    state: S,
    key: Key,
    /// It has left a waker.
    polled: bool,
    /// It has given up its desk, with the output.
    done: bool,
    /// Asks for a `U`, which the state does not know.
    ask: Ask<U>,
}

type Ask<U> = fn(
    &dyn Asks,
    Key,
    Option<&Waker>,
    polled: &mut bool,
    done: &mut bool,
) -> Poll<Result<U, Failure>>;

fn ask<U: 'static>(
    state: &dyn Asks,
    key: Key,
    waker: Option<&Waker>,
    polled: &mut bool,
    done: &mut bool,
) -> Poll<Result<U, Failure>> {
    let mut found = Slot(None::<U>);
    let asked = state.ask(key, waker, polled, done, &mut found.0);
    asked.map(|answer| match answer {
        Ok(()) => Ok(found.take()),
        Err(failure) => Err(drop_before(found, failure)),
    })
}

/// Why there is no output, and never will be: a panic of the user's code, or the end.
type Failure = Option<Panic>;

/// Where waits ask, whatever the type of the state.
pub(crate) trait Asks: Send + Sync {
    /// Puts the output into `into`, an `Option` of it. Sets `done` before anything of the user's is dropped.
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Failure>>;

    fn leave_wait(&self, key: Key);

    fn leave_view(&self);

    /// Whether this very thread is inside a closure of the state.
    fn is_inside(&self) -> bool;
}

impl<T: Send + 'static> Asks for Shared<T> {
    #[inline]
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Failure>> {
        forbid_in_predicate();
        // Cloned before the lock, and only for a waker that is not there yet; what it replaces is dropped after it.
        let mut sleeper = Slot(if *polled { None } else { waker.cloned() });
        let outcome = loop {
            let asked = self.lock.with(|state| {
                let asked = state.observers.waits().ask(key, waker, &mut sleeper.0);
                state.observers.fit_wakers();
                asked
            });
            match asked {
                Asked::Waiting => {
                    *polled |= waker.is_some();
                    return Poll::Pending;
                }
                Asked::NewWaker => sleeper.0 = waker.cloned(),
                Asked::Decided(outcome, waker) => {
                    *done = true;
                    let wakers = (Slot(waker), Slot(sleeper.0.take()));
                    break drop_before(wakers, outcome);
                }
            }
        };
        Poll::Ready(match outcome {
            Outcome::Value(value) => {
                give(into, Some(value));
                Ok(())
            }
            Outcome::Judged(mut predicate) => {
                predicate.give(into);
                catch(|| drop(predicate)).map_err(Some)
            }
            Outcome::Closed(predicate) => Err(drop_before(predicate, None)),
            Outcome::Panicked(panicked) => {
                let (panic, predicate) = *panicked;
                Err(drop_before(predicate, Some(panic)))
            }
        })
    }

    #[inline]
    fn leave_wait(&self, key: Key) {
        match self.lock.enter(|state| state.observers.leave_wait(key)) {
            Some(Some((outcome, waker))) => {
                let mut pieces = Pieces::new();
                pieces.discard(outcome);
                pieces.discard(waker);
                pieces.end();
            }
            Some(None) => {}
            None => self.leave_late(Place::wait(key)),
        }
    }

    fn leave_view(&self) {
        self.leave(Place::view());
    }

    fn is_inside(&self) -> bool {
        self.lock.is_held_here()
    }
}

/// A `Watched` that has a wait is shared.
impl<T: Send + 'static> Asks for Cell<T> {
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Failure>> {
        self.shared().ask(key, waker, polled, done, into)
    }

    fn leave_wait(&self, key: Key) {
        self.shared().leave_wait(key);
    }

    fn leave_view(&self) {
        self.shared().leave_view();
    }

    fn is_inside(&self) -> bool {
        self.shared().is_inside()
    }
}

/// What the present value is to a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// It counts.
    Now,
    /// Only transitions count.
    Next,
}

impl<T> Test<T> {
    /// Registers a wait. **Looking and joining are one step: no transition comes between.**
    ///
    /// By itself, so that what it does under the lock is compiled once, in one piece.
    #[inline(never)]
    #[track_caller]
    fn register(
        &mut self,
        shared: &Shared<T>,
        method: Method,
        start: Start,
        owned: bool,
        left: &mut Left<T>,
    ) -> Key {
        let origin = Origin::at(0);
        shared.register(left, |state, left| {
            let lookers = state.observers.lookers();
            if owned {
                state.observers.join_view(left);
            }
            let origin = origin.since(state.seq);
            let waits = state.observers.waits();
            let key = waits.join(self, owned, method, origin);
            let shown = match &state.value {
                _ if method.counts() => Some(Shown::Lookers(lookers)),
                Some(value) if start == Start::Now => Some(Shown::Present(value)),
                _ => None,
            };
            waits.look(key, shown.as_ref(), state.open, |target| {
                if core::mem::needs_drop::<T>() {
                    left.push(Thing::Value(target));
                }
            });
            state.observers.fit_values();
            key
        })
    }
}

impl<'s, U, S: Deref<Target = dyn Asks + 's>> Body<U, S> {
    fn new(state: S, key: Key) -> Self
    where
        U: 'static,
    {
        Self {
            state,
            key,
            polled: false,
            done: false,
            ask: ask::<U>,
        }
    }

    #[inline]
    fn ask(&mut self, waker: Option<&Waker>) -> Poll<Result<U, Failure>> {
        assert!(
            !self.done,
            "onlooker: a wait was polled after it had given its output"
        );
        let (polled, done) = (&mut self.polled, &mut self.done);
        (self.ask)(&*self.state, self.key, waker, polled, done)
    }

    #[inline]
    fn leave(&self) {
        if !self.done {
            self.state.leave_wait(self.key);
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("polled", &self.polled)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl<'a, U: 'static> Wait<'a, U> {
    #[track_caller]
    pub(crate) fn new<T: Send + 'static>(
        cell: &'a Cell<T>,
        method: Method,
        mut test: Test<T>,
        start: Start,
    ) -> Self {
        let mut left = Left::new();
        let key = test.register(&cell.shared(), method, start, false, &mut left);
        let body = Body::new(cell as &dyn Asks, key);
        left.before(Self { body })
    }
}

impl<U: 'static> OwnedWait<U> {
    #[track_caller]
    pub(crate) fn new<T: Send + 'static>(
        shared: &Arc<Shared<T>>,
        method: Method,
        mut test: Test<T>,
        start: Start,
    ) -> Self {
        let mut left = Left::new();
        let key = test.register(shared, method, start, true, &mut left);
        let body = Body::new(erase!(shared.clone() => dyn Asks), key);
        left.before(Self { body })
    }
}

impl<U> Unpin for Wait<'_, U> {}

impl<U> Unpin for OwnedWait<U> {}

impl<U> Future for Wait<'_, U> {
    type Output = U;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<U> {
        self.body.ask(Some(context.waker())).map(found)
    }
}

/// The output of a wait that cannot outlive its state.
fn found<U>(answer: Result<U, Failure>) -> U {
    match answer {
        Ok(output) => output,
        Err(Some(panic)) => resume(panic),
        Err(None) => unreachable!("it borrows the `Watched`"),
    }
}

impl<U> Future for OwnedWait<U> {
    type Output = Result<U, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.body.ask(Some(context.waker())).map(found_or_closed)
    }
}

fn found_or_closed<U>(answer: Result<U, Failure>) -> Result<U, Closed> {
    match answer {
        Ok(output) => Ok(output),
        Err(None) => Err(Closed),
        Err(Some(panic)) => resume(panic),
    }
}

impl<U> FusedFuture for Wait<'_, U> {
    fn is_terminated(&self) -> bool {
        self.body.done
    }
}

impl<U> FusedFuture for OwnedWait<U> {
    fn is_terminated(&self) -> bool {
        self.body.done
    }
}

impl<U> Drop for Wait<'_, U> {
    fn drop(&mut self) {
        self.body.leave();
    }
}

impl<U> Drop for OwnedWait<U> {
    fn drop(&mut self) {
        let mut pieces = Pieces::new();
        pieces.run(|| self.body.leave());
        pieces.run(|| self.body.state.leave_view());
        pieces.end();
    }
}

impl<U> fmt::Debug for Wait<'_, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt("Wait", f)
    }
}

impl<U> fmt::Debug for OwnedWait<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt("OwnedWait", f)
    }
}

impl<U> Awaited for Wait<'_, U> {
    type Timed = Result<U, TimedOut>;

    fn is_inside(&self) -> bool {
        self.body.state.is_inside()
    }

    fn last_look(mut self: Pin<&mut Self>) -> Option<U> {
        match self.body.ask(None) {
            Poll::Ready(answer) => Some(found(answer)),
            Poll::Pending => None,
        }
    }

    fn in_time(output: U) -> Self::Timed {
        Ok(output)
    }

    fn too_late() -> Self::Timed {
        Err(TimedOut)
    }
}

impl<U> Awaited for OwnedWait<U> {
    type Timed = Result<U, WaitError>;

    fn is_inside(&self) -> bool {
        self.body.state.is_inside()
    }

    fn last_look(mut self: Pin<&mut Self>) -> Option<Self::Output> {
        match self.body.ask(None) {
            Poll::Ready(answer) => Some(found_or_closed(answer)),
            Poll::Pending => None,
        }
    }

    fn in_time(output: Self::Output) -> Self::Timed {
        Ok(output?)
    }

    fn too_late() -> Self::Timed {
        Err(WaitError::TimedOut)
    }
}

deadlines!(
    ['a, U] Wait<'a, U>,
    "[`TimedOut`]", U, Result<U, TimedOut>,
    ["let state = onlooker::Watched::new(0);"], "state.wait_for(1)"
);

deadlines!(
    [U] OwnedWait<U>,
    "[`WaitError`]", Result<U, Closed>, Result<U, WaitError>,
    ["let state = onlooker::Watched::new(0);", "let view = state.view();"], "view.wait_for(1)"
);
