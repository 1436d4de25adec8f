//! Threads: std's locks.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};

/// The holder beside the mutex's own word: they are touched together, and what lies behind may be large.
#[repr(C)]
pub(crate) struct Lock<S> {
    /// The thread inside, or 0.
    holder: AtomicUsize,
    mutex: Mutex<S>,
}

impl<S> Lock<S> {
    pub(crate) const fn new(state: S) -> Self {
        Self {
            mutex: Mutex::new(state),
            holder: AtomicUsize::new(0),
        }
    }

    /// Runs `f` alone; `None` if this very thread is inside already. A panic in `f` leaves the lock usable:
    /// whoever writes under it keeps the state whole at every step.
    #[inline]
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut S) -> R) -> Option<R> {
        let mut guard = match self.mutex.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => self.contended()?,
        };
        // Relaxed: a thread that finds its own name here wrote it itself.
        self.holder.store(name(), Ordering::Relaxed);
        let _left = Left(&self.holder);
        Some(f(&mut guard))
    }

    /// Whether this very thread is inside.
    #[inline]
    pub(crate) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == name()
    }

    #[cold]
    fn contended(&self) -> Option<MutexGuard<'_, S>> {
        if self.is_held_here() {
            return None;
        }
        Some(match self.mutex.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        })
    }
}

struct Left<'a>(&'a AtomicUsize);

impl Drop for Left<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A number no other running thread has.
#[inline]
fn name() -> usize {
    std::thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| core::ptr::from_ref(here).addr())
}

/// Set at most once, read without a lock.
pub(crate) struct Once<V>(OnceLock<V>);

/// What a [`Once`] gives: here a reference, where it sits behind a lock a clone.
pub(crate) type Held<'a, V> = &'a V;

impl<V: Clone> Once<V> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Held<'_, V>> {
        self.0.get()
    }

    pub(crate) fn set(&self, value: V) {
        let _ = self.0.set(value);
    }
}
