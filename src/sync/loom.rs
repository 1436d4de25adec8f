//! Models: loom's locks and atomics.

use core::sync::atomic as plain;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Mutex, MutexGuard};

pub(crate) struct Lock<S> {
    mutex: Mutex<S>,
    /// Not loom's: only the thread that wrote it acts on what it reads.
    holder: plain::AtomicUsize,
}

impl<S> Lock<S> {
    pub(crate) fn new(state: S) -> Self {
        Self {
            mutex: Mutex::new(state),
            holder: plain::AtomicUsize::new(0),
        }
    }

    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut S) -> R) -> Option<R> {
        if self.is_held_here() {
            return None;
        }
        let mut guard: MutexGuard<'_, S> = match self.mutex.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        };
        self.holder.store(name(), Ordering::Relaxed);
        let _left = Left(&self.holder);
        Some(f(&mut guard))
    }

    pub(crate) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == name()
    }
}

struct Left<'a>(&'a plain::AtomicUsize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn name() -> usize {
    static NEXT: plain::AtomicUsize = plain::AtomicUsize::new(1);
    loom::thread_local!(static NAME: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NAME.with(|name| *name)
}

/// The value lies beside loom's sight; what loom explores is the flag that publishes it. So looking is one load, which
/// is free of order with other loads.
pub(crate) struct Once<V> {
    set: AtomicUsize,
    value: std::sync::OnceLock<V>,
}

pub(crate) type Held<'a, V> = &'a V;

impl<V: Clone> Once<V> {
    pub(crate) fn new() -> Self {
        Self {
            set: AtomicUsize::new(0),
            value: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn get(&self) -> Option<Held<'_, V>> {
        match self.set.load(Ordering::Acquire) {
            0 => None,
            _ => self.value.get(),
        }
    }

    pub(crate) fn set(&self, value: V) {
        let _ = self.value.set(value);
        self.set.store(1, Ordering::Release);
    }
}

pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn load(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn store(&self, count: usize) {
        self.0.store(count, Ordering::Release);
    }

    pub(crate) fn note(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}

pub(crate) struct Version(AtomicU64);

impl Version {
    pub(crate) fn new(version: u64) -> Self {
        Self(AtomicU64::new(version))
    }

    pub(crate) fn peek(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn publish(&self, version: u64) {
        self.0.store(version, Ordering::Release);
    }
}
