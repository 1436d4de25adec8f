//! Setters that wait for room: a lossless bound.

use crate::cell::{Cell, Owing, Shared, Writing};
use crate::error::TimedOut;
use crate::observers::{LinePlace, Origin, Place, Seat};
use crate::slab::Key;
use crate::sync::{Slot, fence};
use crate::timer::{Awaited, deadlines};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use futures_core::FusedFuture;

/// Sets once every bounded buffer has room. Made by [`Watched::set_paced`](crate::Watched::set_paced).
///
/// # Cancel safety
///
/// Dropped before it is ready it has set nothing, and its place in line goes to the next. Kept but no longer polled it
/// keeps its place.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// use futures_lite::future::poll_once;
/// use onlooker::{Overflow, Watched};
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
/// assert!(state.set_paced(1).await);
///
/// let mut second = state.set_paced(2);
/// assert_eq!(poll_once(&mut second).await, None); // the buffer is full
/// watcher.recv().await.unwrap();
/// assert!(second.await);
/// # });
/// ```
#[must_use = "a paced set does nothing unless you `.await` it, or call `wait` on a plain thread"]
pub struct SetPaced<'a, T> {
    cell: &'a Cell<T>,
    /// `None` once it was set.
    value: Option<T>,
    /// Its place in line, once it had to wait.
    place: Option<Key>,
    origin: Origin,
}

impl<T> Unpin for SetPaced<'_, T> {}

impl<'a, T> SetPaced<'a, T> {
    #[track_caller]
    pub(crate) fn new(cell: &'a Cell<T>, value: T) -> Self {
        Self {
            cell,
            value: Some(value),
            place: None,
            origin: Origin::at(0),
        }
    }
}

/// Whether a paced setter may set: it is first in line, and every bounded buffer has room.
fn may_set<T>(writing: &mut Writing<'_, T>, place: Option<Key>) -> bool {
    let observers = &mut writing.state.observers;
    if !observers.line.is_first(place) {
        return false;
    }
    // Says so before it looks for room: a watcher pops first and looks for us second, so one of the two sees the other.
    writing.shared.pacing.store(observers.line.len().max(1));
    fence();
    observers.seats.iter().all(Seat::has_room)
}

impl<T: PartialEq> SetPaced<'_, T> {
    fn poll_set(&mut self, waker: Option<&Waker>) -> Poll<bool> {
        assert!(
            self.value.is_some(),
            "onlooker: a paced set was polled after it had set, which it does once; make another one"
        );
        let place = self.place;
        // Cloned before the lock; whoever is left over is dropped after it.
        let mut left_over = Slot(waker.cloned());
        let origin = self.origin;
        let slot = &mut self.value;
        let mut owing = Owing::new();
        let shared = self.cell.shared();
        let turn = self.cell.decide(&shared, &mut owing, |writing| {
            let Some(value) = slot else {
                unreachable!("it was looked for above")
            };
            if may_set(writing, place) {
                // The user's code comes before anything moves.
                let changes = *value != *writing.state.value();
                let line = &mut writing.state.observers.line;
                let (own, next) = match place {
                    Some(key) => line.leave(key),
                    None => (None, None),
                };
                writing.shared.pacing.store(line.len());
                left_over.0 = own;
                if let Some(next) = next {
                    writing.wake(next);
                }
                if changes {
                    writing.commit(value);
                }
                return Some(changes);
            }
            let line = &mut writing.state.observers.line;
            match place.and_then(|key| line.get(key)) {
                Some(at) if left_over.0.is_some() => {
                    core::mem::swap(&mut at.waker, &mut left_over.0);
                }
                Some(_) => {}
                None => {
                    let since = writing.state.seq;
                    self.place = Some(line.join(LinePlace {
                        waker: left_over.0.take(),
                        origin: origin.since(since),
                    }));
                }
            }
            writing.shared.pacing.store(line.len());
            None
        });
        let Some(changed) = turn else {
            Shared::pay(&shared, &mut owing);
            return Poll::Pending;
        };
        // Done is said before anything of the user's runs.
        self.place = None;
        let replaced = Slot(self.value.take());
        Shared::pay(&shared, &mut owing);
        drop(left_over);
        drop(replaced);
        Poll::Ready(changed)
    }
}

/// Sets if there is room and nobody stands in line.
#[track_caller]
pub(crate) fn try_set_paced<T: PartialEq>(cell: &Cell<T>, value: T) -> Result<bool, T> {
    let mut slot = Slot(Some(value));
    let set = cell.act(|writing| {
        let Some(value) = &mut slot.0 else {
            unreachable!("it was put there above")
        };
        if *value == *writing.state.value() {
            return Some(false);
        }
        let sets = may_set(writing, None);
        let line = &writing.state.observers.line;
        writing.shared.pacing.store(line.len());
        sets.then(|| {
            writing.commit(value);
            true
        })
    });
    match set {
        Some(changed) => Ok(changed),
        None => Err(slot.take()),
    }
}

impl<T: PartialEq> Future for SetPaced<'_, T> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        self.poll_set(Some(context.waker()))
    }
}

impl<T: PartialEq> FusedFuture for SetPaced<'_, T> {
    fn is_terminated(&self) -> bool {
        self.value.is_none()
    }
}

impl<T: PartialEq> Awaited for SetPaced<'_, T> {
    type Timed = Result<bool, TimedOut>;

    fn is_inside(&self) -> bool {
        self.cell.shared().lock.is_held_here()
    }

    fn last_look(mut self: Pin<&mut Self>) -> Option<bool> {
        match self.poll_set(None) {
            Poll::Ready(changed) => Some(changed),
            Poll::Pending => None,
        }
    }

    fn in_time(output: bool) -> Self::Timed {
        Ok(output)
    }

    fn too_late() -> Self::Timed {
        Err(TimedOut)
    }
}

deadlines!(
    ['a, T: PartialEq] SetPaced<'a, T>,
    "[`TimedOut`]", bool, Result<bool, TimedOut>,
    [
        "let state = onlooker::Watched::new(0);",
        "let full = state.watch_bounded(1, onlooker::Overflow::DropNewest);",
        "state.set(1);"
    ],
    "state.set_paced(2)"
);

impl<T> Drop for SetPaced<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.place.take() {
            self.cell.shared().leave(Place::paced(key));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for SetPaced<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPaced")
            .field("value", &self.value)
            .field("waiting", &self.place.is_some())
            .finish_non_exhaustive()
    }
}
