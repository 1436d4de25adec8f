//! The only place that knows what it runs on: std, a critical section, or loom.
//!
//! Each back-end, a file, offers the same names. [`Lock`] is `with(|state| …)` and not a guard, because a critical
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
#[path = "sync/threads.rs"]
mod backend;

#[cfg(all(feature = "critical-section", not(loom)))]
#[path = "sync/masked.rs"]
mod backend;

#[cfg(loom)]
#[path = "sync/explored.rs"]
mod backend;

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
