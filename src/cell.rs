//! The one lock, and the commit under it.
//!
//! A `Watched` starts as a plain value behind a lock of its own. The first observer moves the state, once and for
//! all, into a [`Shared`] that watchers and callback guards hold on to; from then on the lock in there is the lock.
//!
//! ```text
//! nobody watches   Watched { plain: state, shared: – }
//! watched          Watched { plain: –, shared: ─┐ }      Watcher ─▶ Shared ◀─ Callback
//!                                               └──────────────────▶ { state, observers }
//! ```
//!
//! Under the lock run `T`'s `PartialEq` and `Clone` and the closures of the atomic writers, nothing else of the
//! user's. Whatever a critical section takes out (values, wakers, closures) it returns, to be dropped outside.

use crate::observers::{Debt, Follow, Observers, Place};
use crate::park::block_on;
use crate::sync::{Arc, Counter, Held, Lock, Once, Version, const_fn, resume};
use alloc::boxed::Box;
use alloc::vec::Vec;
use event_listener::Event;

/// The value, how often it changed, and who observes.
pub(crate) struct State<T> {
    /// `None` once the `Watched` is gone, or the state has moved.
    value: Option<T>,
    pub(crate) seq: u64,
    /// `None` until somebody observes: then the state is shared.
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

    /// Only where the state is shared.
    #[inline]
    pub(crate) fn observers(&mut self) -> &mut Observers<T> {
        match &mut self.observers {
            Some(observers) => observers,
            None => unreachable!("a shared state has them"),
        }
    }

    pub(crate) fn seen_by(&self) -> Option<&Observers<T>> {
        self.observers.as_deref()
    }

    /// The value and the observers, side by side.
    pub(crate) fn parts(&mut self) -> (&T, &mut Observers<T>) {
        match (&self.value, &mut self.observers) {
            (Some(value), Some(observers)) => (value, observers),
            _ => unreachable!("a shared state has both, as long as its `Watched` lives"),
        }
    }

    /// Swaps `value` in, and the one before out: one transition. Watchers and value waits have it when this returns;
    /// what is left to do is in `owed`. The last step of a critical section, so that nothing of the user's comes
    /// between the two.
    #[inline]
    pub(crate) fn commit(&mut self, value: &mut T, owed: &mut Owed<'_, T>) {
        let Some(present) = &mut self.value else {
            unreachable!("the value lives as long as its `Watched`")
        };
        core::mem::swap(present, value);
        self.seq += 1;
        #[cfg(not(fault = "version_stays"))]
        owed.version.publish(self.seq);
        if let Some(observers) = &mut self.observers {
            observers.offer(self.seq, value, present, &mut owed.debt);
        }
    }
}

/// What a writer owes once it has released the lock.
pub(crate) struct Owed<'a, T> {
    version: &'a Version,
    debt: Option<Debt<T>>,
}

impl<T> Owed<'_, T> {
    pub(crate) fn follow(&mut self, follow: Follow<T>) {
        self.debt = Some(Debt {
            follow,
            trouble: None,
        });
    }
}

/// What observers hold on to: the state outlives its `Watched` here until the last of them has drained.
pub(crate) struct Shared<T> {
    pub(crate) lock: Lock<State<T>>,
    /// How many judges have left so far: whoever runs some of them outside the lock looks here before each.
    pub(crate) departures: Counter,
    /// How many paced setters wait for room.
    pub(crate) pacing: Counter,
    /// Announces that the backlog has shrunk.
    pub(crate) relief: Event,
    /// Places whose guards were dropped under the lock, by the thread inside.
    pub(crate) late: Lock<Vec<Place>>,
    /// Whether there are such.
    pub(crate) latecomers: Counter,
}

/// The inside of a `Watched`.
pub(crate) struct Cell<T> {
    version: Version,
    /// Left without its value once the state has moved.
    plain: Lock<State<T>>,
    shared: Once<Arc<Shared<T>>>,
}

impl<T> Cell<T> {
    const_fn! {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                version: Version::new(),
                plain: Lock::new(State {
                    value: Some(value),
                    seq: 0,
                    observers: None,
                }),
                shared: Once::new(),
            }
        }
    }

    /// Runs `f` on the state, wherever it is, under its lock.
    #[inline]
    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        let mut f = f;
        loop {
            let shared = self.shared.get();
            let lock = match &shared {
                Some(shared) => &shared.lock,
                None => &self.plain,
            };
            let ran = lock.with(|state| {
                if state.value.is_some() || cfg!(fault = "move_unseen") {
                    Ok(f(state))
                } else {
                    Err(f)
                }
            });
            match ran {
                Ok(result) => {
                    if let Some(shared) = &shared {
                        shared.see_off();
                    }
                    return result;
                }
                // It moved out just before we had the lock.
                Err(back) => f = back,
            }
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
            if plain.value.is_some() {
                self.shared.set(Arc::new(Shared {
                    lock: Lock::new(State {
                        value: plain.value.take(),
                        seq: plain.seq,
                        observers: Some(Box::default()),
                    }),
                    departures: Counter::new(),
                    pacing: Counter::new(),
                    relief: Event::new(),
                    late: Lock::new(Vec::new()),
                    latecomers: Counter::new(),
                }));
            }
        });
        match self.shared.get() {
            Some(shared) => shared,
            None => unreachable!("the state moves under the lock, and stays"),
        }
    }

    /// Panics if this very thread is under the lock.
    #[inline]
    #[track_caller]
    pub(crate) fn forbid_reentry(&self) {
        match self.shared.get() {
            Some(shared) => shared.lock.forbid_reentry(),
            None => self.plain.forbid_reentry(),
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

    /// Runs `f` under the lock, at a moment at which the backlog may grow.
    #[inline]
    #[track_caller]
    pub(crate) fn with_room<R>(&self, f: impl FnOnce(&mut State<T>) -> R) -> R {
        let mut f = f;
        loop {
            let ran = self.with(|state| {
                if state.seen_by().is_some_and(Observers::must_wait) {
                    Err(f)
                } else {
                    Ok(f(state))
                }
            });
            match ran {
                Ok(result) => return result,
                Err(back) => f = back,
            }
            self.wait_for_relief();
        }
    }

    /// Runs a writer's decision under the lock and, if it committed, sees to the delivery.
    #[inline]
    #[track_caller]
    pub(crate) fn write<R>(&self, decide: impl FnOnce(&mut State<T>, &mut Owed<'_, T>) -> R) -> R {
        let mut owed = Owed {
            version: &self.version,
            debt: None,
        };
        let decided = self.with_room(|state| decide(state, &mut owed));
        if let Some(debt) = owed.debt {
            self.pay(debt);
        }
        decided
    }

    /// Runs the delivery that is owed, then lets a panic on the way go on.
    #[cold]
    #[inline(never)]
    fn pay(&self, debt: Debt<T>) {
        self.shared().follow(debt.follow);
        if let Some(panic) = debt.trouble {
            resume(panic);
        }
    }

    /// The same as `write`, without waiting.
    pub(crate) fn write_now<R>(
        &self,
        decide: impl FnOnce(&mut State<T>, &mut Owed<'_, T>) -> R,
    ) -> R {
        let mut owed = Owed {
            version: &self.version,
            debt: None,
        };
        let decided = self.with(|state| decide(state, &mut owed));
        if let Some(debt) = owed.debt {
            self.pay(debt);
        }
        decided
    }

    #[cold]
    pub(crate) fn wait_for_relief(&self) {
        let shared = self.shared();
        let listener = shared.relief.listen();
        let crowded = shared.lock.with(|state| state.observers().join_crowd());
        if crowded {
            block_on(listener);
        }
    }

    /// Ends the state: every watcher may drain what it has. The value comes back.
    pub(crate) fn close(&mut self) -> Option<T> {
        let shared = self.shared.get();
        let lock = match &shared {
            Some(shared) => &shared.lock,
            None => &self.plain,
        };
        let (value, end) = lock.with(|state| {
            let end = state.observers.as_mut().map(|observers| observers.end());
            (state.value.take(), end)
        });
        if let Some(end) = end.filter(|_| !cfg!(fault = "silent_end")) {
            end.run();
        }
        value
    }
}
