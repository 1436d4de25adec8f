//! Deadlines: a runtime's sleep behind one trait, and the future that gives up.

use crate::error::TimedOut;
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
pub trait Timer {
    /// The future of one sleep.
    type Sleep: Future;

    /// Starts a sleep of this length.
    fn sleep(&self, after: Duration) -> Self::Sleep;
}

impl<F, S> Timer for F
where
    F: Fn(Duration) -> S,
    S: Future,
{
    type Sleep = S;

    fn sleep(&self, after: Duration) -> S {
        self(after)
    }
}

pin_project! {
    /// A future that gives up at a deadline: `Ok` of its output, or [`TimedOut`].
    ///
    /// Made by the `timeout` and `until` methods of this crate's futures. The inner future is asked first, so a
    /// match wins a tie.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future inside: dropping this, or the time-out, drops that.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::{TimedOut, Watched};
    ///
    /// let state = Watched::new(0);
    /// let wait = state.wait_for(1).until(async { /* any future, here one that is ready */ });
    /// assert_eq!(wait.await, Err(TimedOut));
    /// # });
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` them"]
    pub struct Until<F, D> {
        #[pin]
        future: F,
        #[pin]
        deadline: D,
    }
}

impl<F, D> Until<F, D> {
    pub(crate) fn new(future: F, deadline: D) -> Self {
        Self { future, deadline }
    }
}

impl<F: Future, D: Future> Future for Until<F, D> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        this.deadline.poll(context).map(|_| Err(TimedOut))
    }
}
