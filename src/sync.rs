//! The only file that knows what it runs on: std, a critical section, or loom.
//!
//! Each back-end offers the same names. [`Lock`] is `with(|state| …)` and not a guard, because a critical
//! section cannot be one.
//!
//! **Re-entry.** Code of the user that runs under the lock (`PartialEq`, `Clone`, the closures of the atomic
//! writers) may not come back to the same state. Whoever holds a lock leaves its name on it; only who finds the
//! lock taken reads the name, so the check is two plain stores on the fast path.

#[cfg(not(any(feature = "std", feature = "critical-section")))]
compile_error!(
    "onlooker needs a lock: enable the feature `std` (the default), or `critical-section` on targets without std"
);

pub(crate) use backend::{Counter, Held, Lock, Once, Version};

#[cfg(not(feature = "portable-atomic"))]
pub(crate) use alloc::sync::Arc;
#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic_util::Arc;

pub(crate) use panics::{Panic, catch, panicking, resume};
pub(crate) use serving::Serving;

const REENTRY: &str = "onlooker: the same `Watched` was called from inside one of its own closures \
    (`read`, `set_if`, `update`, `try_update`, `modify`) or from its value's own `PartialEq` or `Clone`; \
    these run under its lock, so compute there and call after they returned";

/// `const fn` where the back-end allows it: loom's types have no const constructor.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// What every back-end's lock offers beside `enter`.
impl<S> Lock<S> {
    /// Runs `f` alone; panics if this very thread is inside already.
    #[inline]
    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        match self.enter(f) {
            Some(result) => result,
            None => panic!("{REENTRY}"),
        }
    }

    /// Panics if this very thread is inside.
    #[inline]
    #[track_caller]
    pub(crate) fn forbid_reentry(&self) {
        assert!(!self.is_held_here(), "{REENTRY}");
    }
}

/// A store before this fence and a load after it keep their order, for every thread.
#[inline]
pub(crate) fn fence() {
    #[cfg(fault = "no_fence")]
    return;
    #[cfg(not(loom))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

/// Stands between a pop and the look whether anybody waits for the room it made.
///
/// The pop takes its slot by a sequentially consistent exchange, [`Counter::load`] is sequentially consistent too, and
/// so are the looks of `is_full` behind the waiter's `fence`: no order of these lets both miss the other. loom knows
/// sequential consistency of fences only.
#[inline]
pub(crate) fn after_pop() {
    #[cfg(loom)]
    fence();
}

/// Runs one ring operation where no interrupt can come between its halves: the ring below spins on a peer that
/// is half way through, which on one core would be for ever. (`cfg(rings_unmasked)` leaves that out, for the firmware
/// test to see that it hangs.)
#[inline]
pub(crate) fn ring<R>(operation: impl FnOnce() -> R) -> R {
    #[cfg(all(feature = "critical-section", not(any(loom, rings_unmasked))))]
    return critical_section::with(|_| operation());
    #[cfg(any(not(feature = "critical-section"), loom, rings_unmasked))]
    operation()
}

#[cfg(all(not(feature = "critical-section"), not(loom)))]
mod backend {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};

    pub(crate) struct Lock<S> {
        mutex: Mutex<S>,
        /// The thread inside, or 0.
        holder: AtomicUsize,
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

    pub(crate) use super::atomics::{Counter, Version};
}

#[cfg(all(feature = "critical-section", not(loom)))]
mod backend {
    use core::cell::{OnceCell, RefCell};
    use critical_section::Mutex;

    pub(crate) struct Lock<S>(Mutex<RefCell<S>>);

    impl<S> Lock<S> {
        pub(crate) const fn new(state: S) -> Self {
            Self(Mutex::new(RefCell::new(state)))
        }

        /// Runs `f` alone, with interrupts masked; `None` if this very context is inside already.
        #[inline]
        pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut S) -> R) -> Option<R> {
            critical_section::with(|cs| {
                let mut state = self.0.borrow(cs).try_borrow_mut().ok()?;
                Some(f(&mut state))
            })
        }

        /// Whether this very context is inside.
        pub(crate) fn is_held_here(&self) -> bool {
            critical_section::with(|cs| self.0.borrow(cs).try_borrow_mut().is_err())
        }
    }

    pub(crate) struct Once<V>(Mutex<OnceCell<V>>);

    pub(crate) type Held<'a, V> = V;

    impl<V: Clone> Once<V> {
        pub(crate) const fn new() -> Self {
            Self(Mutex::new(OnceCell::new()))
        }

        pub(crate) fn get(&self) -> Option<Held<'_, V>> {
            critical_section::with(|cs| self.0.borrow(cs).get().cloned())
        }

        pub(crate) fn set(&self, value: V) {
            critical_section::with(|cs| {
                let _ = self.0.borrow(cs).set(value);
            });
        }
    }

    pub(crate) use super::atomics::{Counter, Version};
}

#[cfg(not(loom))]
mod atomics {
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Written under the lock, read without it. Load and store only, so every target has it.
    pub(crate) struct Counter(AtomicUsize);

    impl Counter {
        pub(crate) const fn new() -> Self {
            Self(AtomicUsize::new(0))
        }

        #[inline]
        pub(crate) fn load(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }

        #[inline]
        pub(crate) fn store(&self, count: usize) {
            self.0.store(count, Ordering::SeqCst);
        }
    }

    /// The version beside the lock. Targets without 64-bit atomics have none and ask under the lock.
    #[cfg(target_has_atomic = "64")]
    pub(crate) struct Version(core::sync::atomic::AtomicU64);

    #[cfg(target_has_atomic = "64")]
    impl Version {
        pub(crate) const fn new() -> Self {
            Self(core::sync::atomic::AtomicU64::new(0))
        }

        /// Acquire: pairs with the release in `publish`.
        #[inline]
        pub(crate) fn peek(&self) -> Option<u64> {
            Some(self.0.load(Ordering::Acquire))
        }

        /// Release: pairs with the acquire in `peek`. Called under the lock.
        #[inline]
        pub(crate) fn publish(&self, version: u64) {
            self.0.store(version, Ordering::Release);
        }
    }

    #[cfg(not(target_has_atomic = "64"))]
    pub(crate) struct Version;

    #[cfg(not(target_has_atomic = "64"))]
    impl Version {
        pub(crate) const fn new() -> Self {
            Self
        }

        pub(crate) fn peek(&self) -> Option<u64> {
            None
        }

        pub(crate) fn publish(&self, _: u64) {}
    }
}

#[cfg(loom)]
mod backend {
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

    pub(crate) struct Once<V>(Mutex<Option<V>>);

    pub(crate) type Held<'a, V> = V;

    impl<V: Clone> Once<V> {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub(crate) fn get(&self) -> Option<Held<'_, V>> {
            self.0.lock().unwrap().clone()
        }

        pub(crate) fn set(&self, value: V) {
            *self.0.lock().unwrap() = Some(value);
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
    }

    pub(crate) struct Version(AtomicU64);

    impl Version {
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }

        pub(crate) fn peek(&self) -> Option<u64> {
            Some(self.0.load(Ordering::Acquire))
        }

        pub(crate) fn publish(&self, version: u64) {
            self.0.store(version, Ordering::Release);
        }
    }
}

/// Panics of the user's code: caught with std, so that one harms no other. Without std nothing can be caught.
#[cfg(feature = "std")]
mod panics {
    use alloc::boxed::Box;
    use core::any::Any;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    pub(crate) type Panic = Box<dyn Any + Send>;

    #[inline]
    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
        catch_unwind(AssertUnwindSafe(f))
    }

    pub(crate) fn resume(panic: Panic) -> ! {
        resume_unwind(panic)
    }

    pub(crate) fn panicking() -> bool {
        std::thread::panicking()
    }
}

#[cfg(not(feature = "std"))]
mod panics {
    pub(crate) enum Panic {}

    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
        Ok(f())
    }

    pub(crate) fn resume(panic: Panic) -> ! {
        match panic {}
    }

    pub(crate) fn panicking() -> bool {
        false
    }
}

/// Marks the thread that is inside a delivery, of any state: a setter there never waits for the backlog.
/// With interrupts no setter may wait, since what it waits for may be the code it interrupted.
#[cfg(all(feature = "std", any(not(feature = "critical-section"), loom)))]
mod serving {
    use core::cell::Cell;

    #[cfg(not(loom))]
    std::thread_local!(static DEPTH: Cell<usize> = const { Cell::new(0) });
    #[cfg(loom)]
    loom::thread_local!(static DEPTH: Cell<usize> = Cell::new(0));

    pub(crate) struct Serving(());

    impl Serving {
        pub(crate) fn enter() -> Self {
            DEPTH.with(|depth| depth.set(depth.get() + 1));
            Self(())
        }

        pub(crate) fn may_wait() -> bool {
            DEPTH.with(|depth| depth.get() == 0)
        }
    }

    impl Drop for Serving {
        fn drop(&mut self) {
            DEPTH.with(|depth| depth.set(depth.get() - 1));
        }
    }
}

#[cfg(not(all(feature = "std", any(not(feature = "critical-section"), loom))))]
mod serving {
    pub(crate) struct Serving(());

    impl Serving {
        pub(crate) fn enter() -> Self {
            Self(())
        }

        pub(crate) fn may_wait() -> bool {
            false
        }
    }
}
