//! The futures of a watcher.

use super::Watcher;
use crate::error::Closed;
use crate::timer::{Timer, Until};
use crate::transition::Transition;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

/// The future of [`Watcher::recv`].
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// use onlooker::{TimedOut, Watched};
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch();
/// let at_once = std::future::ready(());
/// assert_eq!(watcher.recv().until(at_once).await, Err(TimedOut));
/// # });
/// ```
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Recv<'a, T> {
    pub(super) watcher: &'a mut Watcher<T>,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<Transition<T>, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.watcher.poll_next_transition(context)
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.watcher.forget_waker();
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv")
            .field("watcher", &self.watcher)
            .finish()
    }
}

/// The future of a [`Watcher`]'s `wait_…` methods.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// use onlooker::{Closed, Watched};
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch();
/// state.set(1);
/// drop(state);
/// assert_eq!(watcher.wait_for(1).await, Ok(1));
/// assert_eq!(watcher.wait_for(2).await, Err(Closed));
/// # });
/// ```
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Seek<'a, T, U, F> {
    watcher: &'a mut Watcher<T>,
    seek: F,
    /// What the watcher saw last is still to be judged.
    judge_seen: bool,
    found: core::marker::PhantomData<fn() -> U>,
}

impl<T, U, F> Unpin for Seek<'_, T, U, F> {}

impl<'a, T, U, F> Seek<'a, T, U, F> {
    pub(super) fn new(watcher: &'a mut Watcher<T>, seek: F, judge_seen: bool) -> Self {
        Self {
            watcher,
            seek,
            judge_seen,
            found: core::marker::PhantomData,
        }
    }
}

impl<T: Clone, U, F: FnMut(&T) -> Option<U>> Future for Seek<'_, T, U, F> {
    type Output = Result<U, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if core::mem::take(&mut this.judge_seen) {
            if let Some(found) = (this.seek)(&this.watcher.seen) {
                return Poll::Ready(Ok(found));
            }
        }
        loop {
            match this.watcher.poll_next_transition(context) {
                Poll::Ready(Ok(transition)) => {
                    if let Some(found) = (this.seek)(&transition.new) {
                        return Poll::Ready(Ok(found));
                    }
                }
                Poll::Ready(Err(closed)) => return Poll::Ready(Err(closed)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, U, F> Drop for Seek<'_, T, U, F> {
    fn drop(&mut self) {
        self.watcher.forget_waker();
    }
}

impl<T, U, F> fmt::Debug for Seek<'_, T, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seek")
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}

macro_rules! deadlines {
    ($future:ident < $($generics:tt),* >, $call:literal) => {
        impl<'a, $($generics),*> $future<'a, $($generics),*> {
            /// Gives up once `timer` has slept for `after`: the output is then `Err(TimedOut)`. A match wins a tie.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// use onlooker::{TimedOut, Watched};
            /// use std::time::Duration;
            ///
            /// let state = Watched::new(0);
            /// let mut watcher = state.watch();
            /// let timer = |_: Duration| std::future::ready(()); // or `Smol`, `Tokio` …
            #[doc = concat!("let late = watcher.", $call, ".timeout(timer, Duration::from_millis(1));")]
            /// assert_eq!(late.await, Err(TimedOut));
            /// # });
            /// ```
            pub fn timeout<S: Timer>(self, timer: S, after: Duration) -> Until<Self, S::Sleep> {
                self.until(timer.sleep(after))
            }

            /// Gives up once `deadline`, any future, is ready: the output is then `Err(TimedOut)`. A match wins a tie.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// use onlooker::Watched;
            ///
            /// let (state, shutdown) = (Watched::new(0), Watched::new(false));
            /// let mut watcher = state.watch();
            #[doc = concat!("let stopped = watcher.", $call, ".until(shutdown.wait_for(true));")]
            /// shutdown.set(true);
            /// assert!(stopped.await.is_err());
            /// # });
            /// ```
            pub fn until<D: Future>(self, deadline: D) -> Until<Self, D> {
                Until::new(self, deadline)
            }
        }
    };
}

deadlines!(Recv<T>, "recv()");
deadlines!(Seek<T, U, F>, "wait_for(1)");
