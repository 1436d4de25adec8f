//! The one lock, and the commit under it.
//!
//! A `Watched` starts as a plain value behind a lock of its own. The first observer moves the state, once and for
//! all, into a [`Shared`] that watchers and callback guards hold on to; from then on the lock in there is the lock.
//!
//! ```text
//! nobody watches   Watched { plain: Some(state), shared: – }
//! watched          Watched { plain: None, shared: ─┐ }      Watcher ─▶ Shared ◀─ Callback
//!                                                  └──────────────────▶ { state, observers }
//! ```
//!
//! Under the lock run `T`'s `PartialEq` and `Clone` and the closures of the atomic writers, nothing else of the
//! user's. Whatever a critical section takes out (values, wakers, closures) it returns, to be dropped outside.

use crate::delivery::{Follow, Observers};
use crate::park::block_on;
use crate::ring::Bell;
use crate::sync::{Arc, Counter, Held, Lock, Once, Panic, Serving, Version, const_fn, resume};
use alloc::boxed::Box;

/// The value, how often it changed, and who observes.
pub(crate) struct State<T> {
    /// `None` once the `Watched` is gone.
    value: Option<T>,
    pub(crate) seq: u64,
    /// `None` until somebody observes.
    observers: Option<Box<Observers<T>>>,
}

impl<T> State<T> {
    #[inline]
    pub(crate) fn value(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("the value lives as long as its `Watched`"),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.value.is_none()
    }

    pub(crate) fn observers(&mut self) -> &mut Observers<T> {
        self.observers.get_or_insert_default()
    }

    pub(crate) fn seen_by(&self) -> Option<&Observers<T>> {
        self.observers.as_deref()
    }

    /// The value and the observers, side by side.
    pub(crate) fn parts(&mut self) -> (&T, &mut Observers<T>) {
        match &self.value {
            Some(value) => (value, self.observers.get_or_insert_default()),
            None => unreachable!("the value lives as long as its `Watched`"),
        }
    }

    /// Makes `new` the value: one transition. Watchers and value waits have it when this returns; what is left
    /// to do is in [`Committed::follow`].
    #[inline]
    pub(crate) fn commit(&mut self, new: T, version: &Version) -> Committed<T> {
        let Some(old) = self.value.replace(new) else {
            unreachable!("the value lives as long as its `Watched`")
        };
        self.seq += 1;
        version.publish(self.seq);
        let mut follow = Follow::Nothing;
        let mut trouble = None;
        if let (Some(observers), Some(new)) = (&mut self.observers, &self.value) {
            (follow, trouble) = observers.offer(self.seq, &old, new);
        }
        Committed {
            old,
            follow,
            trouble,
        }
    }
}

/// A transition that has happened, and what its setter still owes.
#[must_use]
pub(crate) struct Committed<T> {
    pub(crate) old: T,
    follow: Follow,
    /// A panic of `T`'s `Clone` on the way to a watcher.
    trouble: Option<Panic>,
}

/// What observers hold on to: the state outlives its `Watched` here until the last of them has drained.
pub(crate) struct Shared<T> {
    pub(crate) lock: Lock<State<T>>,
    /// How many judges have left so far: whoever runs some of them outside the lock looks here before each.
    pub(crate) departures: Counter,
    /// How many paced setters wait for room.
    pub(crate) pacing: Counter,
    /// Announces that the backlog has shrunk.
    pub(crate) relief: Arc<Bell>,
}

/// The inside of a `Watched`.
pub(crate) struct Cell<T> {
    version: Version,
    plain: Lock<Option<State<T>>>,
    shared: Once<Arc<Shared<T>>>,
}

impl<T> Cell<T> {
    const_fn! {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                version: Version::new(),
                plain: Lock::new(Some(State {
                    value: Some(value),
                    seq: 0,
                    observers: None,
                })),
                shared: Once::new(),
            }
        }
    }

    /// Runs `f` on the state, wherever it is, under its lock.
    #[inline]
    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        self.shared.with(|shared| match shared {
            Some(shared) => shared.lock.with(f),
            None => self.with_plain(f),
        })
    }

    #[inline]
    #[track_caller]
    fn with_plain<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        let ran = self.plain.with(|plain| match plain {
            Some(state) => Ok(f(state)),
            None => Err(f),
        });
        match ran {
            Ok(result) => result,
            // It moved out just before we had the lock.
            Err(f) => self.shared().lock.with(f),
        }
    }

    /// Where observers find the state; moves it there the first time.
    #[inline]
    #[track_caller]
    pub(crate) fn shared(&self) -> Held<'_, Arc<Shared<T>>> {
        match self.shared.get() {
            Some(shared) => shared,
            None => self.share(),
        }
    }

    #[cold]
    #[track_caller]
    fn share(&self) -> Held<'_, Arc<Shared<T>>> {
        self.plain.with(|plain| {
            if let Some(state) = plain.take() {
                self.shared.set(Arc::new(Shared {
                    lock: Lock::new(state),
                    departures: Counter::new(),
                    pacing: Counter::new(),
                    relief: Arc::new(Bell::new()),
                }));
            }
        });
        match self.shared.get() {
            Some(shared) => shared,
            None => unreachable!("the state moves under the lock, and stays"),
        }
    }

    /// The version without the lock, where the target can.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        match self.version.peek() {
            Some(version) => version,
            None => self.with(|state| state.seq),
        }
    }

    /// Runs a writer's decision under the lock and, if it committed, sees to the delivery.
    ///
    /// Waits first while the backlog of judges and callbacks is long, unless this thread is inside a delivery
    /// itself: then what it waits for might be its own caller.
    #[inline]
    #[track_caller]
    pub(crate) fn write<R>(&self, decide: impl FnOnce(&mut State<T>, &Version) -> R) -> R {
        let mut decide = decide;
        loop {
            let decided = self.with(|state| {
                let crowded = state.seen_by().is_some_and(Observers::is_crowded);
                if crowded && Serving::may_wait() {
                    Err(decide)
                } else {
                    Ok(decide(state, &self.version))
                }
            });
            match decided {
                Ok(result) => return result,
                Err(back) => decide = back,
            }
            self.wait_for_relief();
        }
    }

    /// The same, without waiting.
    pub(crate) fn write_now<R>(&self, decide: impl FnOnce(&mut State<T>, &Version) -> R) -> R {
        self.with(|state| decide(state, &self.version))
    }

    #[cold]
    fn wait_for_relief(&self) {
        let shared = self.shared();
        let listener = shared.relief.event.listen();
        let crowded = shared.lock.with(|state| state.observers().join_crowd());
        if crowded {
            block_on(listener);
        }
    }

    /// Pays what a commit owes: runs the delivery, then lets a panic on the way go on.
    #[inline]
    pub(crate) fn settle(&self, committed: Committed<T>) -> T {
        let Committed {
            old,
            follow,
            trouble,
        } = committed;
        if follow != Follow::Nothing {
            self.shared().follow(follow);
        }
        if let Some(panic) = trouble {
            resume(panic);
        }
        old
    }

    /// Ends the state: every watcher may drain what it has. The value comes back.
    pub(crate) fn close(&mut self) -> Option<T> {
        let (value, end) = self.with(|state| {
            let end = state.observers.as_mut().map(|observers| observers.end());
            (state.value.take(), end)
        });
        if let Some(end) = end {
            end.run();
        }
        value
    }
}
