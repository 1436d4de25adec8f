//! Deadlines: a runtime's sleep behind one trait, and the future that gives up.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use pin_project_lite::pin_project;

#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "embassy")]
mod embassy;
#[cfg(feature = "smol")]
mod smol;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
#[cfg(feature = "embassy")]
pub use self::embassy::Embassy;
#[cfg(feature = "smol")]
pub use self::smol::Smol;
#[cfg(feature = "tokio")]
pub use self::tokio::Tokio;

/// A runtime's sleep.
///
/// The unit structs `Smol`, `AsyncStd`, `Tokio` and `Embassy` stand behind the features of their names, all at once
/// if wished. A function or closure from a [`Duration`] to a future is a timer too, so any other runtime needs no
/// adapter.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// use onlooker::{TimedOut, Watched};
/// use std::time::Duration;
///
/// # mod runtime { pub async fn sleep(_: std::time::Duration) {} }
/// let state = Watched::new(0);
/// let wait = state.wait_for(1).timeout(runtime::sleep, Duration::from_millis(1));
/// assert_eq!(wait.await, Err(TimedOut));
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no timer",
    label = "neither a timer of this crate nor a function from a `Duration` to a future",
    note = "the timer comes first, then the time: `wait.timeout(Tokio, Duration::from_secs(1))`",
    note = "`Smol`, `AsyncStd`, `Tokio` and `Embassy` are behind the features of their names; any `fn(Duration) -> impl Future` will do"
)]
pub trait Timer {
    /// The future of one sleep.
    type Sleep: Future;

    /// Starts a sleep of this length.
    #[track_caller]
    fn sleep(&self, after: Duration) -> Self::Sleep;
}

#[diagnostic::do_not_recommend]
impl<F, S> Timer for F
where
    F: Fn(Duration) -> S,
    S: Future,
{
    type Sleep = S;

    #[track_caller]
    fn sleep(&self, after: Duration) -> S {
        self(after)
    }
}

/// A future of this crate, as those that bound it see it.
pub trait Awaited: Future {
    /// What it gives if there is a deadline.
    type Timed;

    /// Whether this very thread is inside a closure of the state.
    #[doc(hidden)]
    fn is_inside(&self) -> bool;

    /// The output, if there is one by now: without a task to wake, and however much there is to look through.
    #[doc(hidden)]
    fn last_look(self: Pin<&mut Self>) -> Option<Self::Output>;

    /// It was there in time.
    #[doc(hidden)]
    fn in_time(output: Self::Output) -> Self::Timed;

    /// It was not.
    #[doc(hidden)]
    fn too_late() -> Self::Timed;
}

pin_project! {
    /// A future with a deadline of any kind: `Ok` of its output, or `Err` of what the other future gave.
    ///
    /// Made by the `unless` methods of this crate's futures. When the other future is ready this one is looked at once
    /// more: a match that was there before wins.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the two futures inside, which it drops.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new(0);
    /// let wait = state.wait_for(1).unless(async { "any other future" });
    /// assert_eq!(wait.await, Err("any other future"));
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` them"]
    pub struct Unless<F, D> {
        #[pin]
        future: F,
        #[pin]
        other: D,
    }
}

impl<F, D> Unless<F, D> {
    pub(crate) fn new(future: F, other: D) -> Self {
        Self { future, other }
    }
}

impl<F: Awaited, D: Future> Future for Unless<F, D> {
    type Output = Result<F::Output, D::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let Poll::Ready(other) = this.other.poll(context) else {
            return Poll::Pending;
        };
        // Its wake may have been held up, or it may have yielded with more to look through.
        Poll::Ready(this.future.last_look().ok_or(other))
    }
}

pin_project! {
    /// A future with a time limit: its output, or an error that says so.
    ///
    /// Made by the `timeout` methods of this crate's futures. When the time is over the future is looked at once more:
    /// a match that was there before wins.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future inside, which it drops.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::{TimedOut, Watched};
    /// use std::time::Duration;
    ///
    /// let state = Watched::new(0);
    /// let timer = |_: Duration| std::future::ready(()); // or `Smol`, `Tokio` …
    /// let late = state.wait_for(1).timeout(timer, Duration::from_millis(1));
    /// assert_eq!(late.await, Err(TimedOut));
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` them"]
    pub struct Timeout<F, S> {
        #[pin]
        inner: Unless<F, S>,
    }
}

impl<F, S> Timeout<F, S> {
    pub(crate) fn new(future: F, sleep: S) -> Self {
        Self {
            inner: Unless::new(future, sleep),
        }
    }
}

impl<F: Awaited, S: Future> Future for Timeout<F, S> {
    type Output = F::Timed;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Timed> {
        let polled = self.project().inner.poll(context);
        polled.map(|ended| match ended {
            Ok(output) => F::in_time(output),
            Err(_) => F::too_late(),
        })
    }
}

/// Panics at the caller's place where this thread may not ask the state: inside one of its closures, or a predicate.
#[cfg(feature = "std")]
#[track_caller]
pub(crate) fn may_block<F: Awaited>(future: &F) {
    crate::sync::forbid_in_predicate();
    if future.is_inside() {
        crate::sync::reentered();
    }
}

/// Runs `future` on this thread, asleep in between, until `deadline` at the latest.
#[cfg(feature = "std")]
#[track_caller]
pub(crate) fn block<F: Awaited>(future: F, deadline: Option<std::time::Instant>) -> F::Timed {
    may_block(&future);
    let mut output = crate::sync::Slot(None);
    {
        // Gone before the output is given out: a panic of its drop then drops that too.
        let mut future = core::pin::pin!(future);
        let awaited = crate::park::block_until(future.as_mut(), deadline);
        output.0 = awaited.or_else(|| future.last_look());
    }
    match output.0.take() {
        Some(output) => F::in_time(output),
        None => F::too_late(),
    }
}

/// The deadlines of one future: `timeout`, `unless`, and the blocking forms for plain threads.
macro_rules! deadlines {
    (
        [$($generics:tt)*] $future:ty $(where $bound:ty: $($bounds:path)|+)?,
        $error:literal, $output:ty, $timed:ty, [$($setup:literal),*], $call:literal
    ) => {
        impl<$($generics)*> $future $(where $bound: $($bounds+)+)? {
            #[doc = concat!("Gives up once `timer` has slept for `after`, with ", $error, ".")]
            ///
            /// A match that was there before the time was over wins. `timer` is `Smol` or another unit struct of this
            /// crate, or any function from a [`Duration`](core::time::Duration) to a future.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// use std::time::Duration;
            ///
            $(#[doc = $setup])*
            /// let timer = |_: Duration| std::future::ready(()); // or `Smol`, `Tokio` …
            #[doc = concat!("let late = ", $call, ".timeout(timer, Duration::from_millis(1));")]
            /// assert!(late.await.is_err());
            /// # });
            /// ```
            #[track_caller]
            pub fn timeout<S: $crate::Timer>(
                self,
                timer: S,
                after: core::time::Duration,
            ) -> $crate::timer::Timeout<Self, S::Sleep> {
                $crate::timer::Timeout::new(self, timer.sleep(after))
            }

            /// Gives up once `other`, any future, is ready: then what that gave is the error.
            ///
            /// A match that was there before wins.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            $(#[doc = $setup])*
            /// let shutdown = onlooker::Watched::new("running");
            #[doc = concat!("let stopped = ", $call, ".unless(shutdown.wait_for(\"stopping\"));")]
            /// shutdown.set("stopping");
            /// assert_eq!(stopped.await.unwrap_err(), "stopping");
            /// # });
            /// ```
            pub fn unless<D: core::future::Future>(self, other: D) -> $crate::timer::Unless<Self, D> {
                $crate::timer::Unless::new(self, other)
            }

            /// Puts this thread to sleep until it is over.
            ///
            /// # Blocking
            ///
            /// Blocks the thread: not for use inside an async task.
            #[cfg(feature = "std")]
            #[track_caller]
            pub fn wait(self) -> $output {
                $crate::timer::may_block(&self);
                $crate::park::block_on(self)
            }

            /// Puts this thread to sleep until it is over, or for `after` at most.
            ///
            /// What is there wins, even with a duration of zero; a duration too long for the clock is for ever.
            ///
            /// # Errors
            ///
            #[doc = concat!("Gives up with ", $error, ".")]
            ///
            /// # Blocking
            ///
            /// Blocks the thread: not for use inside an async task.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            $(#[doc = $setup])*
            #[doc = concat!("assert!(", $call, ".wait_timeout(Duration::from_millis(1)).is_err());")]
            /// ```
            #[cfg(feature = "std")]
            #[track_caller]
            pub fn wait_timeout(self, after: core::time::Duration) -> $timed {
                $crate::timer::block(self, std::time::Instant::now().checked_add(after))
            }

            /// Puts this thread to sleep until it is over, or until `deadline` at the latest.
            ///
            /// What is there wins, even with a deadline in the past.
            ///
            /// # Errors
            ///
            #[doc = concat!("Gives up with ", $error, ".")]
            ///
            /// # Blocking
            ///
            /// Blocks the thread: not for use inside an async task.
            ///
            /// # Examples
            ///
            /// ```
            $(#[doc = $setup])*
            #[doc = concat!("assert!(", $call, ".wait_deadline(std::time::Instant::now()).is_err());")]
            /// ```
            #[cfg(feature = "std")]
            #[track_caller]
            pub fn wait_deadline(self, deadline: std::time::Instant) -> $timed {
                $crate::timer::block(self, Some(deadline))
            }
        }
    };
}
pub(crate) use deadlines;
