//! A pending wait on a `Watched`: decided where the transition happens, latched until it is asked for.

use crate::cell::Cell;
#[cfg(feature = "std")]
use crate::error::TimedOut;
use crate::observers::{Follow, JudgeKey, Place};
use crate::sync::{Arc, Lock, Panic, catch, resume};
use crate::targets::{Asked, Found, Group, Slot};
use crate::timer::{Timer, Until};
use crate::transition::Transition;
use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// A pending wait on a [`Watched`](crate::Watched): resolves once the state did what was asked for, even if it has
/// moved on since.
///
/// Made by the `wait_…` methods of [`Watched`](crate::Watched). It is registered from the moment it exists, polled
/// or not; every transition is offered to it as it happens, and the match is kept here until it is asked for. It
/// needs no buffer, and a transition that does not match does not wake it.
///
/// A plain thread waits with [`wait`](Wait::wait), [`wait_timeout`](Wait::wait_timeout) or
/// [`wait_deadline`](Wait::wait_deadline).
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
    phase: Phase<'a, U>,
}

enum Phase<'a, U> {
    /// Decided at the call. Registered nowhere.
    Ready(U),
    /// The judge panicked at the call. Registered nowhere.
    Panicked(Panic),
    /// Its target lies with the state.
    Value {
        host: &'a (dyn Host<U> + Sync),
        slot: Slot,
        /// It has left a waker there.
        polled: bool,
    },
    /// Its predicate lies with the state, the answer comes here.
    Judged {
        host: &'a (dyn Bench + Sync),
        key: JudgeKey,
        desk: Arc<Lock<Desk<U>>>,
    },
    /// The output was given.
    Done,
}

impl<U> Unpin for Wait<'_, U> {}

/// Where a value wait asks.
trait Host<U> {
    fn ask(&self, slot: Slot, waker: &Waker, polled: bool) -> Poll<Result<U, Panic>>;
    fn leave_target(&self, slot: Slot);
}

/// Where a judge takes leave.
trait Bench {
    fn leave_judge(&self, key: JudgeKey);
}

impl<'a, U> Wait<'a, U> {
    fn new(phase: Phase<'a, U>) -> Self {
        Self { phase }
    }

    /// Gives up once `timer` has slept for `after`.
    ///
    /// The output is then `Err(TimedOut)`; a match wins a tie. `timer` is `Smol` or another unit
    /// struct of this crate, or any function from a [`Duration`] to a future.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::{TimedOut, Watched};
    /// use std::time::Duration;
    ///
    /// let state = Watched::new(0);
    /// let at_once = |_: Duration| std::future::ready(());
    /// let late = state.wait_for(1).timeout(at_once, Duration::from_millis(5));
    /// assert_eq!(late.await, Err(TimedOut));
    /// # });
    /// ```
    pub fn timeout<S: Timer>(self, timer: S, after: Duration) -> Until<Self, S::Sleep> {
        self.until(timer.sleep(after))
    }

    /// Gives up once `deadline`, any future, is ready.
    ///
    /// The output is then `Err(TimedOut)`; a match wins a tie.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::Watched;
    ///
    /// let (state, shutdown) = (Watched::new(0), Watched::new(false));
    /// let wait = state.wait_for(1).until(shutdown.wait_for(true));
    /// shutdown.set(true);
    /// assert!(wait.await.is_err());
    /// # });
    /// ```
    pub fn until<D: Future>(self, deadline: D) -> Until<Self, D> {
        Until::new(self, deadline)
    }

    /// Puts this thread to sleep until the wait is over.
    ///
    /// # Blocking
    ///
    /// Blocks the thread: not for use inside an async task.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::Watched;
    ///
    /// static READY: Watched<bool> = Watched::new(false);
    /// let setter = std::thread::spawn(|| READY.set(true));
    /// assert!(READY.wait_for(true).wait());
    /// # setter.join().unwrap();
    /// ```
    #[cfg(feature = "std")]
    pub fn wait(self) -> U {
        crate::park::block_on(self)
    }

    /// Puts this thread to sleep until the wait is over, or for `after` at most.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if it was not over by then. A match that is there wins, even with a duration of zero; a duration
    /// too long for the clock is for ever.
    ///
    /// # Blocking
    ///
    /// Blocks the thread: not for use inside an async task.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::{TimedOut, Watched};
    /// use std::time::Duration;
    ///
    /// let state = Watched::new(0);
    /// assert_eq!(state.wait_for(0).wait_timeout(Duration::ZERO), Ok(0));
    /// assert_eq!(state.wait_for(1).wait_timeout(Duration::from_millis(1)), Err(TimedOut));
    /// ```
    #[cfg(feature = "std")]
    pub fn wait_timeout(self, after: Duration) -> Result<U, TimedOut> {
        crate::park::block_until(self, std::time::Instant::now().checked_add(after)).ok_or(TimedOut)
    }

    /// Puts this thread to sleep until the wait is over, or until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if it was not over by then. A match that is there wins, even with a deadline in the past.
    ///
    /// # Blocking
    ///
    /// Blocks the thread: not for use inside an async task.
    ///
    /// # Examples
    ///
    /// ```
    /// use onlooker::Watched;
    /// use std::time::Instant;
    ///
    /// let state = Watched::new(0);
    /// assert!(state.wait_for(1).wait_deadline(Instant::now()).is_err());
    /// ```
    #[cfg(feature = "std")]
    pub fn wait_deadline(self, deadline: std::time::Instant) -> Result<U, TimedOut> {
        crate::park::block_until(self, Some(deadline)).ok_or(TimedOut)
    }
}

impl<U> Future for Wait<'_, U> {
    type Output = U;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<U> {
        let answer = match &mut self.phase {
            Phase::Value { host, slot, polled } => {
                match host.ask(*slot, context.waker(), core::mem::replace(polled, true)) {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => return Poll::Pending,
                }
            }
            Phase::Judged { desk, .. } => match ask_desk(desk, context.waker()) {
                Poll::Ready(answer) => answer,
                Poll::Pending => return Poll::Pending,
            },
            Phase::Ready(_) | Phase::Panicked(_) => {
                match core::mem::replace(&mut self.phase, Phase::Done) {
                    Phase::Ready(output) => return Poll::Ready(output),
                    Phase::Panicked(panic) => resume(panic),
                    _ => unreachable!("it was one of the two"),
                }
            }
            Phase::Done => panic!("onlooker: a wait was polled after it had given its output"),
        };
        self.phase = Phase::Done;
        match answer {
            Ok(output) => Poll::Ready(output),
            Err(panic) => resume(panic),
        }
    }
}

impl<U> Drop for Wait<'_, U> {
    fn drop(&mut self) {
        match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Value { host, slot, .. } => host.leave_target(slot),
            Phase::Judged { host, key, desk } => {
                host.leave_judge(key);
                // A deliverer that has the judge in hand finds nobody at the desk; its answer is dropped there.
                let left = desk.with(|desk| core::mem::replace(desk, Desk::Left));
                drop(left);
            }
            _ => {}
        }
    }
}

impl<U> fmt::Debug for Wait<'_, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Ready(_) | Phase::Panicked(_) => "decided",
            Phase::Value { .. } | Phase::Judged { .. } => "registered",
            Phase::Done => "done",
        };
        f.debug_struct("Wait")
            .field("phase", &format_args!("{phase}"))
            .finish()
    }
}

// Value waits

impl<T: Send> Host<T> for Cell<T> {
    fn ask(&self, slot: Slot, waker: &Waker, polled: bool) -> Poll<Result<T, Panic>> {
        ask_target(self, slot, waker, polled).map(Found::value)
    }

    fn leave_target(&self, slot: Slot) {
        self.shared().leave_target(slot);
    }
}

impl<T: Send> Host<Transition<T>> for Cell<T> {
    fn ask(&self, slot: Slot, waker: &Waker, polled: bool) -> Poll<Result<Transition<T>, Panic>> {
        ask_target(self, slot, waker, polled).map(Found::change)
    }

    fn leave_target(&self, slot: Slot) {
        self.shared().leave_target(slot);
    }
}

fn ask_target<T>(cell: &Cell<T>, slot: Slot, waker: &Waker, polled: bool) -> Poll<Found<T>> {
    let shared = cell.shared();
    // Cloned before the lock, and only for a waker that is not there yet; what it replaces is dropped after it.
    let mut sleeper = (!polled).then(|| waker.clone());
    loop {
        let asked = shared.lock.with(|state| {
            let targets = &mut state.observers().targets;
            targets.ask(slot, waker, &mut sleeper)
        });
        match asked {
            Asked::Waiting => return Poll::Pending,
            Asked::Decided(found) => return Poll::Ready(found),
            Asked::Stranger => sleeper = Some(waker.clone()),
        }
    }
}

/// What to do with the present value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    /// It counts.
    Counts,
    /// Only transitions count.
    Passes,
}

/// A wait for a value equal to `target`, or for one that differs.
#[inline]
pub(crate) fn for_value<T>(cell: &Cell<T>, group: Group, target: T, present: Present) -> Wait<'_, T>
where
    T: Clone + PartialEq + Send,
{
    // Looking and joining are one step: no transition comes between.
    let mut target = Some(target);
    let joined = cell.shared().with(|state| {
        let (value, observers) = state.parts();
        if let (Present::Counts, Some(target)) = (present, &target) {
            if (value == target) == (group == Group::Equal) {
                return Err(value.clone());
            }
        }
        let Some(target) = target.take() else {
            unreachable!("it was put there above")
        };
        let slot = observers.targets.join_value(group, target);
        observers.reserve();
        Ok(slot)
    });
    Wait::new(match joined {
        Ok(slot) => Phase::Value {
            host: cell,
            slot,
            polled: false,
        },
        Err(value) => Phase::Ready(value),
    })
}

/// A wait for the next transition, whatever it is.
pub(crate) fn for_change<T: Clone + Send>(cell: &Cell<T>) -> Wait<'_, Transition<T>> {
    let slot = cell.shared().lock.with(|state| {
        let observers = state.observers();
        let slot = observers.targets.join_change();
        observers.reserve();
        slot
    });
    Wait::new(Phase::Value {
        host: cell,
        slot,
        polled: false,
    })
}

// Judged waits

/// Where a judge leaves its answer and its waiter asks for it.
enum Desk<U> {
    /// No answer yet; who to wake. Every transition goes to the judge.
    Open(Option<Waker>),
    /// The first answer. The judge is done; its waiter takes this and leaves.
    Answered(Result<U, Panic>),
    /// The waiter has gone: an answer is dropped where it was found.
    Left,
}

fn ask_desk<U>(desk: &Lock<Desk<U>>, waker: &Waker) -> Poll<Result<U, Panic>> {
    let waker = waker.clone();
    let before = desk.with(|desk| match desk {
        Desk::Open(Some(_)) if cfg!(fault = "first_waker_stays") => Err(Some(waker)),
        Desk::Open(sleeper) => Err(sleeper.replace(waker)),
        Desk::Answered(_) | Desk::Left => Ok((core::mem::replace(desk, Desk::Left), waker)),
    });
    match before {
        Ok((Desk::Answered(answer), _waker)) => Poll::Ready(answer),
        Ok(_) => unreachable!("only the waiter itself leaves"),
        Err(_replaced) => Poll::Pending,
    }
}

/// A predicate that sees every transition until it says yes.
pub(crate) trait Judge<T>: Send {
    fn judge(&mut self, new: &T) -> Verdict;
}

pub(crate) enum Verdict {
    Open,
    /// Said yes, or panicked; who to wake.
    Settled(Option<Waker>),
}

struct Seeker<F, U> {
    seek: F,
    desk: Arc<Lock<Desk<U>>>,
}

impl<T, U: Send, F: FnMut(&T) -> Option<U> + Send> Judge<T> for Seeker<F, U> {
    fn judge(&mut self, new: &T) -> Verdict {
        let answer = match catch(|| (self.seek)(new)) {
            Ok(None) => return Verdict::Open,
            Ok(Some(found)) => Ok(found),
            Err(panic) => Err(panic),
        };
        let before = self.desk.with(|desk| match desk {
            Desk::Open(_) => core::mem::replace(desk, Desk::Answered(answer)),
            // Comes back, to be dropped outside.
            Desk::Left | Desk::Answered(_) => Desk::Answered(answer),
        });
        Verdict::Settled(match before {
            Desk::Open(waker) => waker,
            nobody_asks => {
                let _ = catch(|| drop(nobody_asks));
                None
            }
        })
    }
}

impl<T: Send> Bench for Cell<T> {
    fn leave_judge(&self, key: JudgeKey) {
        self.shared().leave(Place::Judge(key));
    }
}

/// A wait for the first value that `seek` makes something of.
pub(crate) fn seek<'a, T, U, F>(cell: &'a Cell<T>, mut seek: F, present: Present) -> Wait<'a, U>
where
    T: Clone + Send,
    U: Send + 'a,
    F: FnMut(&T) -> Option<U> + Send + 'static,
    U: 'static,
{
    let mut seen = None;
    if present == Present::Counts {
        // Judged on a copy, outside the lock: the predicate may do as it likes.
        let (value, seq) = cell.with(|state| (state.value().clone(), state.seq));
        match catch(|| seek(&value)) {
            Ok(Some(found)) => return Wait::new(Phase::Ready(found)),
            Ok(None) => seen = Some(seq),
            Err(panic) => return Wait::new(Phase::Panicked(panic)),
        }
    }
    let desk = Arc::new(Lock::new(Desk::Open(None)));
    let judge = Box::new(Seeker {
        seek,
        desk: desk.clone(),
    });
    let mut judge = Some(judge);
    loop {
        let joined = cell.shared().act(|state| {
            let seq = state.seq;
            let (value, observers) = state.parts();
            // Moved on since the copy: the judge is shown what it missed, in its place in the order.
            let moved = seen.is_some_and(|seen| seen != seq) && !cfg!(fault = "gap_at_join");
            if moved && observers.must_wait() {
                return (None, Follow::Nothing);
            }
            let snapshot = moved.then(|| value.clone());
            let key = judge.take().map(|judge| observers.join_judge(seq, judge));
            let follow = match (snapshot, key) {
                (Some(value), Some(key)) => observers.show_judge(key, seq, value),
                _ => Follow::Nothing,
            };
            (key, follow)
        });
        match joined {
            Some(key) => {
                return Wait::new(Phase::Judged {
                    host: cell,
                    key,
                    desk,
                });
            }
            None => cell.wait_for_relief(),
        }
    }
}
