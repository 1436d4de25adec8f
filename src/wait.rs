//! Pending waits: decided where the transition happens, latched until they are asked for.
//!
//! One body, [`Body`], has two faces: [`Wait`] borrows its `Watched`, [`OwnedWait`] holds on to the state. The body is
//! a key to a desk among the state's observers, and nothing else: what was found lies there.

use crate::cell::{Cell, Shared, State};
use crate::error::{Closed, TimedOut, WaitError};
use crate::observers::{
    Asked, Left, Method, Origin, Outcome, Place, Predicate, Test, Thing, Waits,
};
use crate::slab::Key;
use crate::sync::{
    Arc, Panic, catch, drop_before, drop_outside, erase, forbid_in_predicate, resume,
};
use crate::timer::{Awaited, deadlines};
use crate::transition::Transition;
use alloc::boxed::Box;
use core::any::Any;
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use futures_core::FusedFuture;

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
    body: Body<U, &'a dyn Asks<U>, &'a dyn AsksJudged>,
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
    body: Body<U, Arc<dyn Asks<U>>, Arc<dyn AsksJudged>>,
}

/// The one body of both: where it asks, and for what.
struct Body<U, V, J> {
    host: Host<U, V, J>,
    key: Key,
    /// It has left a waker.
    polled: bool,
    /// It has given up its desk, with the output.
    done: bool,
}

/// Where a wait asks. `V` knows the output's type, `J` leaves it to the predicate: there `Ask` knows it.
enum Host<U, V, J> {
    Value(V),
    Judged(J, Ask<U>),
}

type Ask<U> = fn(
    &dyn AsksJudged,
    Key,
    Option<&Waker>,
    polled: &mut bool,
    done: &mut bool,
) -> Poll<Result<U, Failure>>;

fn ask_judged<U: 'static>(
    host: &dyn AsksJudged,
    key: Key,
    waker: Option<&Waker>,
    polled: &mut bool,
    done: &mut bool,
) -> Poll<Result<U, Failure>> {
    let mut found = None::<U>;
    let asked = host.ask_judged(key, waker, polled, done, &mut found);
    asked.map(|answer| match (answer, found) {
        (Ok(()), Some(found)) => Ok(found),
        (Ok(()), None) => unreachable!("what matched has found something"),
        (Err(failure), found) => Err(drop_before(found, failure)),
    })
}

/// Why there is no output, and never will be.
pub(crate) enum Failure {
    Closed,
    Panicked(Panic),
}

/// Where waits leave.
pub(crate) trait Leaves: Send + Sync {
    fn leave_wait(&self, key: Key);
    fn leave_view(&self);
}

/// Where waits for what a state itself offers ask: a value, a transition, a count.
pub(crate) trait Asks<U>: Leaves {
    /// Sets `done` before anything of the user's is dropped.
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
    ) -> Poll<Result<U, Failure>>;
}

/// Where waits with a predicate ask: what it found goes into an `Option` of its own type.
pub(crate) trait AsksJudged: Leaves {
    fn ask_judged(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Failure>>;
}

impl<T> Shared<T> {
    /// Asks for a wait's outcome, and leaves a waker if there is none.
    #[inline]
    fn ask_for(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
    ) -> Poll<Outcome<T>> {
        forbid_in_predicate();
        // Cloned before the lock, and only for a waker that is not there yet; what it replaces is dropped after it.
        let mut sleeper = if *polled { None } else { waker.cloned() };
        loop {
            let asked = self.lock.with(|state| {
                let asked = state.observers.waits().ask(key, waker, &mut sleeper);
                state.observers.fit_wakers();
                asked
            });
            match asked {
                Asked::Waiting => {
                    *polled |= waker.is_some();
                    return Poll::Pending;
                }
                Asked::NewWaker => sleeper = waker.cloned(),
                Asked::Decided(outcome, waker) => {
                    *done = true;
                    return Poll::Ready(drop_before(waker, outcome));
                }
            }
        }
    }
}

impl<T> Outcome<T> {
    /// The other outcomes of a wait for what only some outcomes give.
    fn failed(self) -> Failure {
        match self {
            Outcome::Closed(predicate) => drop_before(predicate, Failure::Closed),
            Outcome::Panicked(panic, predicate) => drop_before(predicate, Failure::Panicked(panic)),
            _ => unreachable!("a wait finds what it waits for"),
        }
    }
}

impl<T: Send> Leaves for Shared<T> {
    fn leave_wait(&self, key: Key) {
        let left = self.lock.enter(|state| state.observers.leave_wait(key));
        match left {
            Some(left) => drop_outside(left),
            None => self.leave_late(Place::Wait(key)),
        }
    }

    fn leave_view(&self) {
        self.leave(Place::View);
    }
}

impl<T: Send> Asks<T> for Shared<T> {
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
    ) -> Poll<Result<T, Failure>> {
        self.ask_for(key, waker, polled, done)
            .map(|outcome| match outcome {
                Outcome::Value(value) => Ok(value),
                other => Err(other.failed()),
            })
    }
}

impl<T: Send> AsksJudged for Shared<T> {
    fn ask_judged(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Failure>> {
        self.ask_for(key, waker, polled, done)
            .map(|outcome| match outcome {
                Outcome::Judged(mut predicate) => {
                    predicate.give(into);
                    catch(|| drop(predicate)).map_err(Failure::Panicked)
                }
                Outcome::Counted => {
                    give(into, Some(()));
                    Ok(())
                }
                other => Err(other.failed()),
            })
    }
}

/// A `Watched` that has a wait is shared.
impl<T: Send> Leaves for Cell<T> {
    fn leave_wait(&self, key: Key) {
        self.shared().leave_wait(key);
    }

    fn leave_view(&self) {
        self.shared().leave_view();
    }
}

impl<T: Send, U> Asks<U> for Cell<T>
where
    Shared<T>: Asks<U>,
{
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
    ) -> Poll<Result<U, Failure>> {
        self.shared().ask(key, waker, polled, done)
    }
}

impl<T: Send> AsksJudged for Cell<T> {
    fn ask_judged(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Failure>> {
        self.shared().ask_judged(key, waker, polled, done, into)
    }
}

/// Puts `found` into the `Option` that waits for it.
fn give<U: 'static>(into: &mut dyn Any, found: Option<U>) {
    if let Some(into) = into.downcast_mut::<Option<U>>() {
        *into = found;
    }
}

/// A predicate that makes a `U` of a value, and keeps it.
struct Seek<F, U> {
    seek: F,
    found: Option<U>,
}

impl<T, U: Send + 'static, F> Predicate<T> for Seek<F, U>
where
    F: FnMut(u64, &T, &T) -> Option<U> + Send,
{
    fn judge(&mut self, seq: u64, old: &T, new: &T) -> bool {
        self.found = (self.seek)(seq, old, new);
        self.found.is_some()
    }

    fn give(&mut self, into: &mut dyn Any) {
        give(into, self.found.take());
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

/// What to wait for: a test, and how to carry it out.
pub(crate) struct Order<T> {
    method: Method,
    test: Test<T>,
    start: Start,
    learn: fn(&mut Waits<T>),
}

impl<T> Order<T> {
    /// A value that is equal, or one that differs.
    pub(crate) fn value(method: Method, test: Test<T>, start: Start) -> Self
    where
        T: Clone + PartialEq,
    {
        Self {
            method,
            test,
            start,
            learn: |waits| {
                waits.learn_eq();
                waits.learn_clone();
            },
        }
    }

    /// The next transition.
    pub(crate) fn change() -> Self
    where
        T: Clone + Send + 'static,
    {
        let change = |seq, old: &T, new: &T| {
            Some(Transition {
                old: old.clone(),
                new: new.clone(),
                seq,
                missed: 0,
            })
        };
        Self::judged(Method::ForChange, change, Start::Next)
    }

    /// What a function makes something of.
    pub(crate) fn seek<U: Send + 'static>(
        method: Method,
        mut seek: impl FnMut(&T) -> Option<U> + Send + 'static,
        start: Start,
    ) -> Self {
        Self::judged(method, move |_, _: &T, new: &T| seek(new), start)
    }

    fn judged<U: Send + 'static>(
        method: Method,
        seek: impl FnMut(u64, &T, &T) -> Option<U> + Send + 'static,
        start: Start,
    ) -> Self {
        Self {
            method,
            test: Test::Judged(Box::new(Seek { seek, found: None })),
            start,
            learn: |_| (),
        }
    }

    /// A number of lookers.
    pub(crate) fn count(method: Method, test: Test<T>) -> Self {
        Self {
            method,
            test,
            start: Start::Now,
            learn: |_| (),
        }
    }

    /// Registers with a state. **Looking and joining are one step: no transition comes between.**
    #[track_caller]
    pub(crate) fn register(self, shared: &Shared<T>, owned: bool) -> Key {
        let origin = Origin::at(0);
        shared.with(|state, left| {
            let (method, test) = self.look(state, left);
            if owned {
                state.observers.join_view(left);
            }
            let origin = origin.since(state.seq);
            let key = state.observers.waits().join(test, owned, method, origin);
            state.observers.fit_values();
            key
        })
    }

    /// What there is of it already.
    fn look(
        self,
        state: &mut State<T>,
        left: &mut Left<T>,
    ) -> (Method, Result<Outcome<T>, Test<T>>) {
        let lookers = state.observers.lookers();
        let waits = state
            .observers
            .waits
            .get_or_insert_with(|| Box::new(Waits::new()));
        (self.learn)(waits);
        let looked = match (&self.test, &state.value) {
            (Test::Unwatched, _) if lookers == 0 => Ok((Outcome::Counted, None)),
            (Test::Watched, _) if lookers > 0 => Ok((Outcome::Counted, None)),
            (_, Some(value)) if self.start == Start::Now => waits.look(self.test, value),
            _ => Err(self.test),
        };
        let test = match looked {
            Ok((outcome, target)) => {
                if core::mem::needs_drop::<T>() {
                    target
                        .into_iter()
                        .for_each(|target| left.push(Thing::Value(target)));
                }
                Ok(outcome)
            }
            Err(test) if state.open => Err(test),
            Err(test) => {
                let (predicate, target) = test.take_apart();
                target
                    .into_iter()
                    .for_each(|target| left.push(Thing::Value(target)));
                Ok(Outcome::Closed(predicate))
            }
        };
        (self.method, test)
    }
}

impl<'j, U, V, J> Body<U, V, J>
where
    V: Deref<Target: Asks<U>>,
    J: Deref<Target = dyn AsksJudged + 'j>,
{
    fn new(host: Host<U, V, J>, key: Key) -> Self {
        Self {
            host,
            key,
            polled: false,
            done: false,
        }
    }

    #[inline]
    fn ask(&mut self, waker: Option<&Waker>) -> Poll<Result<U, Failure>> {
        assert!(
            !self.done,
            "onlooker: a wait was polled after it had given its output"
        );
        let (polled, done) = (&mut self.polled, &mut self.done);
        match &self.host {
            Host::Value(state) => state.ask(self.key, waker, polled, done),
            Host::Judged(state, ask) => ask(&**state, self.key, waker, polled, done),
        }
    }

    #[inline]
    fn leave(&self, owned: bool) {
        let done = self.done;
        match &self.host {
            Host::Value(state) if !done => state.leave_wait(self.key),
            Host::Judged(state, _) if !done => state.leave_wait(self.key),
            _ => {}
        }
        match &self.host {
            Host::Value(state) if owned => state.leave_view(),
            Host::Judged(state, _) if owned => state.leave_view(),
            _ => {}
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("polled", &self.polled)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl<'a, U> Wait<'a, U> {
    /// A wait for what the state itself offers.
    #[track_caller]
    pub(crate) fn new<T>(cell: &'a Cell<T>, order: Order<T>) -> Self
    where
        T: Send,
        Shared<T>: Asks<U>,
    {
        let key = order.register(&cell.shared(), false);
        Self {
            body: Body::new(Host::Value(cell), key),
        }
    }

    /// A wait for what its order finds.
    #[track_caller]
    pub(crate) fn judged<T: Send>(cell: &'a Cell<T>, order: Order<T>) -> Self
    where
        U: 'static,
    {
        let key = order.register(&cell.shared(), false);
        Self {
            body: Body::new(Host::Judged(cell, ask_judged::<U>), key),
        }
    }
}

impl<U> OwnedWait<U> {
    /// A wait for what the state itself offers.
    #[track_caller]
    pub(crate) fn new<T>(shared: &Arc<Shared<T>>, order: Order<T>) -> Self
    where
        T: Send + 'static,
        U: 'static,
        Shared<T>: Asks<U>,
    {
        let key = order.register(shared, true);
        Self {
            body: Body::new(Host::Value(erase!(shared.clone() => dyn Asks<U>)), key),
        }
    }

    /// A wait for what its order finds.
    #[track_caller]
    pub(crate) fn judged<T: Send + 'static>(shared: &Arc<Shared<T>>, order: Order<T>) -> Self
    where
        U: 'static,
    {
        let key = order.register(shared, true);
        let state = erase!(shared.clone() => dyn AsksJudged);
        Self {
            body: Body::new(Host::Judged(state, ask_judged::<U>), key),
        }
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
        Err(Failure::Panicked(panic)) => resume(panic),
        Err(Failure::Closed) => unreachable!("it borrows the `Watched`"),
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
        Err(Failure::Closed) => Err(Closed),
        Err(Failure::Panicked(panic)) => resume(panic),
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
        self.body.leave(false);
    }
}

impl<U> Drop for OwnedWait<U> {
    fn drop(&mut self) {
        self.body.leave(true);
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
