//! What a watcher's methods return: futures, iterators, and a stream.

use super::Watcher;
use crate::error::{Closed, WaitError};
use crate::sync::{Slot, drop_before};
use crate::timer::{Awaited, deadlines};
use crate::transition::Transition;
use crate::wait::Start;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::{FusedFuture, FusedStream, Stream};

/// The future of [`Watcher::recv`].
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// let state = onlooker::Watched::new(0);
/// let mut watcher = state.watch();
/// state.set(1);
/// assert_eq!(watcher.recv().await.unwrap().new, 1);
/// # });
/// ```
#[must_use = "futures do nothing unless you `.await` them"]
pub struct Recv<'a, T> {
    watcher: &'a mut Watcher<T>,
    /// Its waker may be in the seat.
    slept: bool,
    done: bool,
}

impl<'a, T> Recv<'a, T> {
    pub(super) fn new(watcher: &'a mut Watcher<T>) -> Self {
        Self {
            watcher,
            slept: false,
            done: false,
        }
    }
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<Transition<T>, Closed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.watcher.poll_transition(context, &mut this.slept);
        if polled.is_ready() {
            (this.slept, this.done) = (false, true);
        }
        polled
    }
}

impl<T: Clone> FusedFuture for Recv<'_, T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.slept {
            self.watcher.forget_waker();
        }
    }
}

impl<T: Clone> Awaited for Recv<'_, T> {
    type Timed = Result<Transition<T>, WaitError>;

    fn is_inside(&self) -> bool {
        self.watcher.shared.lock.is_held_here()
    }

    fn last_look(mut self: Pin<&mut Self>) -> Option<Self::Output> {
        match self.watcher.try_recv() {
            Ok(transition) => Some(Ok(transition)),
            Err(crate::TryRecvError::Closed) => Some(Err(Closed)),
            Err(crate::TryRecvError::Empty) => None,
        }
    }

    fn in_time(output: Self::Output) -> Self::Timed {
        Ok(output?)
    }

    fn too_late() -> Self::Timed {
        Err(WaitError::TimedOut)
    }
}

impl<T: fmt::Debug> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv")
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
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
pub struct WatcherWait<'a, T, U, F> {
    watcher: &'a mut Watcher<T>,
    seek: Slot<F>,
    /// What the watcher saw last is still to be judged.
    start: Start,
    slept: bool,
    done: bool,
    found: PhantomData<fn() -> U>,
}

impl<T, U, F> Unpin for WatcherWait<'_, T, U, F> {}

impl<'a, T, U, F> WatcherWait<'a, T, U, F> {
    pub(super) fn new(watcher: &'a mut Watcher<T>, seek: F, start: Start) -> Self {
        Self {
            watcher,
            seek: Slot(Some(seek)),
            start,
            slept: false,
            done: false,
            found: PhantomData,
        }
    }
}

impl<T: Clone, U, F: FnMut(&T) -> Option<U>> WatcherWait<'_, T, U, F> {
    /// What it makes of a transition, whose values then go, each by itself.
    fn judge(&mut self, transition: Transition<T>) -> Option<U> {
        let (old, new) = transition.apart();
        let seek = self.seek.0.as_mut();
        let found = seek.zip(new.0.as_ref()).and_then(|(seek, new)| seek(new));
        drop_before((old, new), found)
    }

    /// What it makes of the value that the watcher saw last.
    fn look_at_seen(&mut self) -> Option<U> {
        match core::mem::replace(&mut self.start, Start::Next) {
            Start::Now => self.seek.0.as_mut()?(self.watcher.seen()),
            Start::Next => None,
        }
    }
}

impl<T: Clone, U, F: FnMut(&T) -> Option<U>> Future for WatcherWait<'_, T, U, F> {
    type Output = Result<U, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut output = None;
        if this.start == Start::Now {
            if this.watcher.yields(context) {
                return Poll::Pending;
            }
            output = this.look_at_seen().map(Ok);
        }
        while output.is_none() {
            match this.watcher.poll_transition(context, &mut this.slept) {
                Poll::Ready(Ok(transition)) => output = this.judge(transition).map(Ok),
                Poll::Ready(Err(closed)) => output = Some(Err(closed)),
                Poll::Pending => return Poll::Pending,
            }
        }
        this.done = true;
        match output {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        }
    }
}

impl<T: Clone, U, F: FnMut(&T) -> Option<U>> FusedFuture for WatcherWait<'_, T, U, F> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T, U, F> Drop for WatcherWait<'_, T, U, F> {
    fn drop(&mut self) {
        if self.slept {
            self.watcher.forget_waker();
        }
    }
}

impl<T: Clone, U, F: FnMut(&T) -> Option<U>> Awaited for WatcherWait<'_, T, U, F> {
    type Timed = Result<U, WaitError>;

    fn is_inside(&self) -> bool {
        self.watcher.shared.lock.is_held_here()
    }

    fn last_look(mut self: Pin<&mut Self>) -> Option<Self::Output> {
        let this = &mut *self;
        if let Some(found) = this.look_at_seen() {
            return Some(Ok(found));
        }
        // What comes while it looks is too late: a fast setter does not hold it here.
        let until = this.watcher.shared.version();
        loop {
            match this.watcher.try_recv() {
                Ok(transition) => {
                    let seq = transition.seq;
                    let found = this.judge(transition);
                    if found.is_some() || seq > until {
                        return found.map(Ok);
                    }
                }
                Err(crate::TryRecvError::Closed) => return Some(Err(Closed)),
                Err(crate::TryRecvError::Empty) => return None,
            }
        }
    }

    fn in_time(output: Self::Output) -> Self::Timed {
        Ok(output?)
    }

    fn too_late() -> Self::Timed {
        Err(WaitError::TimedOut)
    }
}

impl<T: fmt::Debug, U, F> fmt::Debug for WatcherWait<'_, T, U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatcherWait")
            .field("watcher", &self.watcher)
            .finish_non_exhaustive()
    }
}

deadlines!(
    ['a, T: Clone] Recv<'a, T>,
    "[`WaitError`]", Result<Transition<T>, Closed>, Result<Transition<T>, WaitError>,
    ["let state = onlooker::Watched::new(0);", "let mut watcher = state.watch();"], "watcher.recv()"
);

deadlines!(
    ['a, T: Clone, U, F: FnMut(&T) -> Option<U>] WatcherWait<'a, T, U, F>,
    "[`WaitError`]", Result<U, Closed>, Result<U, WaitError>,
    ["let state = onlooker::Watched::new(0);", "let mut watcher = state.watch();"],
    "watcher.wait_for(1)"
);

/// The iterator of [`Watcher::iter`].
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Iter<'a, T> {
    pub(super) watcher: &'a mut Watcher<T>,
}

#[cfg(feature = "std")]
impl<T: Clone> Iterator for Iter<'_, T> {
    type Item = Transition<T>;

    #[track_caller]
    fn next(&mut self) -> Option<Transition<T>> {
        self.watcher.recv_blocking().ok()
    }
}

/// The iterator of [`Watcher::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    pub(super) watcher: &'a mut Watcher<T>,
}

impl<T: Clone> Iterator for TryIter<'_, T> {
    type Item = Transition<T>;

    #[track_caller]
    fn next(&mut self) -> Option<Transition<T>> {
        self.watcher.try_recv().ok()
    }
}

/// The stream of [`Watcher::values`].
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct Values<T> {
    watcher: Watcher<T>,
    /// What the watcher had seen is still to be given.
    begins: bool,
}

impl<T> Values<T> {
    pub(super) fn new(watcher: Watcher<T>) -> Self {
        Self {
            watcher,
            begins: true,
        }
    }
}

impl<T: Clone> Stream for Values<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if core::mem::take(&mut self.begins) {
            return Poll::Ready(Some(self.watcher.seen().clone()));
        }
        let polled = Pin::new(&mut self.watcher).poll_next(context);
        polled.map(|change| change.map(|change| drop_before(change.old, change.new)))
    }
}

impl<T: Clone> FusedStream for Values<T> {
    fn is_terminated(&self) -> bool {
        !self.begins && self.watcher.is_terminated()
    }
}
