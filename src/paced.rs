//! Setters that wait for room: a lossless bound.

use crate::cell::{Cell, Shared};
use crate::observers::Place;
use crate::roll::{Key, Roll};
use crate::sync::{after_pop, fence};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Who waits for room, in the order they came. Guarded by the state's lock.
///
/// **Only the first in line may set; whoever makes room calls the first, and a first that leaves calls the next.**
/// (Loom models `paced_*` check it.)
pub(crate) struct Queue {
    line: Roll<Option<Waker>>,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { line: Roll::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    /// The first one's waker, to be woken where no lock is held.
    pub(crate) fn call_first(&mut self) -> Option<Waker> {
        self.line.rewind();
        self.line.advance().and_then(|(_, waker)| waker.take())
    }

    /// Gives up a place, with the waker in it. If that was the first, the next one is called: its waker too.
    pub(crate) fn leave(&mut self, key: Key) -> (Option<Waker>, Option<Waker>) {
        let first = self.is_first(Some(key)) && !cfg!(fault = "line_breaks");
        let own = self.line.leave(key).flatten();
        (own, if first { self.call_first() } else { None })
    }

    fn is_first(&mut self, key: Option<Key>) -> bool {
        self.line.rewind();
        match (self.line.advance(), key) {
            (None, _) => true,
            (Some((first, _)), Some(key)) => first == key,
            (Some(_), None) => cfg!(fault = "queue_jumped"),
        }
    }
}

/// Sets once every bounded buffer has room. Made by [`Watched::set_paced`](crate::Watched::set_paced).
///
/// # Cancel safety
///
/// Dropped before it is ready it has set nothing, and its place in line goes to the next.
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
#[must_use = "a paced set does nothing unless you `.await` it"]
pub struct SetPaced<'a, T> {
    cell: &'a Cell<T>,
    /// `None` once it was set.
    value: Option<T>,
    /// Its place in line, once it had to wait.
    place: Option<Key>,
}

impl<T> Unpin for SetPaced<'_, T> {}

impl<'a, T> SetPaced<'a, T> {
    pub(crate) fn new(cell: &'a Cell<T>, value: T) -> Self {
        Self {
            cell,
            value: Some(value),
            place: None,
        }
    }
}

impl<T: PartialEq> Future for SetPaced<'_, T> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        let (place, shared) = (this.place, this.cell.shared());
        let Some(value) = &mut this.value else {
            panic!("onlooker: a paced set was polled after it had set");
        };
        // Cloned before the lock; whoever is left over is dropped after it.
        let mut waker = Some(context.waker().clone());
        let (turn, _left_over) = this.cell.write_now(|state, owed| {
            let observers = state.observers();
            let first = observers.paced.is_first(place);
            if first {
                // Says so before it looks for room: a watcher pops first and looks for us second, so one of the two
                // sees the other.
                shared.pacing.store(observers.paced.len().max(1));
                fence();
            }
            if first && observers.has_room() {
                // The user's code comes before anything moves.
                let changes = *state.value() != *value;
                let observers = state.observers();
                let own = place.and_then(|key| observers.paced.line.leave(key));
                shared.pacing.store(observers.paced.len());
                if let Some(next) = observers.paced.call_first() {
                    observers.wake_later(next);
                }
                if changes {
                    state.commit(value, owed);
                } else {
                    owed.follow(observers.take_serving());
                }
                return (Turn::Set(changes), own.flatten());
            }
            let paced = &mut observers.paced;
            match place.and_then(|key| paced.line.get(key)) {
                Some(at) => {
                    core::mem::swap(at, &mut waker);
                    (Turn::Wait(place), None)
                }
                None => {
                    let place = paced.line.join(waker.take());
                    shared.pacing.store(paced.len());
                    (Turn::Wait(Some(place)), None)
                }
            }
        });
        match turn {
            Turn::Wait(place) => {
                this.place = place;
                Poll::Pending
            }
            Turn::Set(changed) => {
                this.place = None;
                this.value = None;
                Poll::Ready(changed)
            }
        }
    }
}

enum Turn {
    Set(bool),
    Wait(Option<Key>),
}

impl<T> Drop for SetPaced<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.place.take() {
            self.cell.shared().leave(Place::Paced(key));
        }
    }
}

impl<T> fmt::Debug for SetPaced<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPaced")
            .field("waiting", &self.place.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    /// A watcher has made room, or left: calls the first paced setter, if one waits.
    pub(crate) fn made_room(&self) {
        after_pop();
        if self.pacing.load() == 0 || cfg!(fault = "room_unsaid") {
            return;
        }
        let first = self.lock.with(|state| state.observers().paced.call_first());
        if let Some(first) = first {
            first.wake();
        }
    }
}
