//! The only place that knows what it runs on: std, a critical section, or loom.
//!
//! Each back-end, a file, offers the same names. [`Lock`] is `with(|state| …)` and not a guard, because a critical
//! section cannot be one.
//!
//! **Re-entry.** Code of the user that runs under a lock may not come back to the same state. Whoever holds a lock
//! leaves its name on it; only who finds the lock taken reads the name, so the check is two plain stores on the fast
//! path.

// With a back-end that is none, so that this is the only error, on targets without std too.
#[cfg(not(any(feature = "std", feature = "critical-section")))]
compile_error!(
    "onlooker needs a lock: enable the feature `std` (the default), or `critical-section` on targets without std"
);

// As `--all-features` would have it; else a linker says so, in its own way.
#[cfg(all(test, feature = "critical-section", not(loom)))]
compile_error!(
    "onlooker's tests do not link with `critical-section`, whose lock a program has to bring: `cargo test --features \
     smol,async-std,tokio`, and for that lock `cargo test --features critical-section --test interrupts`"
);

pub(crate) use backend::{Held, Lock, Once};

#[cfg(not(loom))]
pub(crate) use atomics::{Counter, Version};
#[cfg(loom)]
pub(crate) use backend::{Counter, Version};

#[cfg(not(feature = "portable-atomic"))]
pub(crate) use alloc::sync::{Arc, Weak};
#[cfg(feature = "portable-atomic")]
pub(crate) use portable_atomic_util::{Arc, Weak};

/// A handle that forgets its type. The `Arc` of targets without compare-and-swap cannot on its own: there a second one
/// holds the first, which costs an allocation.
macro_rules! erase {
    ($arc:expr => $type:ty) => {{
        #[cfg(not(feature = "portable-atomic"))]
        let erased: $crate::sync::Arc<$type> = $arc;
        #[cfg(feature = "portable-atomic")]
        let erased: $crate::sync::Arc<$type> = {
            let boxed: alloc::boxed::Box<$type> = alloc::boxed::Box::new($arc);
            $crate::sync::Arc::from(boxed)
        };
        erased
    }};
}
pub(crate) use erase;

pub(crate) use panics::{Panic, Pieces, Slot, catch, drop_before, resume};
pub(crate) use place::{Inside, enter, inside, marked, wake};

/// Whether a setter may wait for another thread. With interrupts nobody may: what it waits for may be the code that it
/// interrupted.
pub(crate) const MAY_WAIT: bool = cfg!(any(
    loom,
    all(feature = "std", not(feature = "critical-section"))
));

const REENTRY: &str = "onlooker: a state was called from inside one of its own closures (`read`, `set_if`, `update`, \
    `try_update`, `modify`, `replace_with`), or from its value's own `PartialEq` or `Clone`; these run under its lock, \
    so compute there and call after they returned";

const IN_CLOSURE: &str = "onlooker: a state was set from inside a closure (`read`, `set_if`, `update`, `try_update`, \
    `modify`, `replace_with`) or from a value's own `PartialEq` or `Clone`; these run under its lock, where \
    no callbacks could run, so compute there and set after they returned";

const IN_PREDICATE: &str = "onlooker: a state was called from inside a predicate of a wait or a function of `View::map`; \
    these run under its lock, inside the commit, and look at nothing but the value they are given. What has to look at more waits on a \
    watcher (`watcher.wait_until(…)`, whose predicates run in the caller and may call anything), or on several states \
    in one (`View::zip`)";

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
            None => reentered(),
        }
    }

    /// Panics if this very thread is inside.
    #[inline]
    #[track_caller]
    pub(crate) fn forbid_reentry(&self) {
        if self.is_held_here() {
            reentered();
        }
    }
}

/// Panics where a state may not be called at all: in a predicate.
#[inline]
#[track_caller]
pub(crate) fn forbid_in_predicate() {
    if inside() == Inside::Predicate {
        broken_rule(IN_PREDICATE);
    }
}

/// Panics where no state may be set: in a closure and in a predicate.
#[inline]
#[track_caller]
pub(crate) fn forbid_in_closure() {
    match inside() {
        Inside::Nothing => {}
        Inside::Closure => broken_rule(IN_CLOSURE),
        Inside::Predicate => broken_rule(IN_PREDICATE),
    }
}

#[cold]
#[track_caller]
pub(crate) fn reentered() -> ! {
    broken_rule(REENTRY)
}

#[cold]
#[inline(never)]
#[track_caller]
fn broken_rule(rule: &str) -> ! {
    panic!("{rule}")
}

/// A store before this fence and a load after it keep their order, for every thread.
#[inline]
pub(crate) fn fence() {
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

/// Lets a peer that is half way through a ring operation go on.
#[inline]
pub(crate) fn spin() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
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

mod panics;

#[cfg(all(feature = "std", not(feature = "critical-section"), not(loom)))]
#[path = "sync/std.rs"]
mod backend;

#[cfg(all(feature = "critical-section", not(loom)))]
#[path = "sync/critical_section.rs"]
mod backend;

#[cfg(loom)]
#[path = "sync/loom.rs"]
mod backend;

#[cfg(not(any(feature = "std", feature = "critical-section")))]
#[path = "sync/none.rs"]
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

        /// For who only counts: in no order with anything.
        #[inline]
        pub(crate) fn note(&self, count: usize) {
            self.0.store(count, Ordering::Relaxed);
        }
    }

    /// The version beside the lock. Targets without 64-bit atomics have none and ask under the lock.
    #[cfg(target_has_atomic = "64")]
    pub(crate) struct Version(core::sync::atomic::AtomicU64);

    #[cfg(target_has_atomic = "64")]
    impl Version {
        pub(crate) const fn new(version: u64) -> Self {
            Self(core::sync::atomic::AtomicU64::new(version))
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
        pub(crate) const fn new(_: u64) -> Self {
            Self
        }

        pub(crate) fn peek(&self) -> Option<u64> {
            None
        }

        pub(crate) fn publish(&self, _: u64) {}
    }
}

/// How late it is, for how long a callback takes; without std nobody knows.
#[cfg(feature = "std")]
pub(crate) fn clock() -> Option<std::time::Instant> {
    Some(std::time::Instant::now())
}

#[cfg(not(feature = "std"))]
pub(crate) fn clock() -> Option<core::time::Duration> {
    None
}

/// A variable of each thread, as a function that lends it out. Without std it is one of the whole program, behind the
/// critical section. Nothing in it is dropped with its thread, so it is there for as long as the thread runs.
macro_rules! per_thread {
    ($(#[$meta:meta])* fn $name:ident() -> $type:ty = $init:expr) => {
        $(#[$meta])*
        fn $name<R>(f: impl FnOnce(&mut $type) -> R) -> R {
            #[cfg(all(feature = "std", not(loom)))]
            {
                std::thread_local!(
                    static IT: core::mem::ManuallyDrop<core::cell::RefCell<$type>> =
                        const { core::mem::ManuallyDrop::new(core::cell::RefCell::new($init)) }
                );
                IT.with(|it| f(&mut it.borrow_mut()))
            }
            #[cfg(loom)]
            {
                loom::thread_local!(static IT: core::cell::RefCell<$type> = core::cell::RefCell::new($init));
                IT.with(|it| f(&mut it.borrow_mut()))
            }
            #[cfg(not(feature = "std"))]
            {
                static IT: $crate::sync::Lock<$type> = $crate::sync::Lock::new($init);
                IT.with(f)
            }
        }
    };
}
pub(crate) use per_thread;

/// Where this thread is: inside somebody's closure or predicate, under a lock.
mod place {
    use super::Pieces;
    use alloc::vec::Vec;
    use core::task::Waker;

    /// What of the user's runs under a lock of this thread.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Inside {
        Nothing,
        /// A closure of a writer or reader, or a comparison or clone of a value: sets no state.
        Closure,
        /// A predicate of a wait, or the function of a derived view: calls no state.
        Predicate,
    }

    /// With it, whether there is somebody to wake once nothing of the user's runs under a lock any more.
    type Here = (Inside, bool);

    const OUTSIDE: Here = (Inside::Nothing, false);

    #[cfg(all(feature = "std", not(loom)))]
    std::thread_local!(static HERE: core::cell::Cell<Here> = const { core::cell::Cell::new(OUTSIDE) });

    #[cfg(loom)]
    loom::thread_local!(static HERE: core::cell::Cell<Here> = core::cell::Cell::new(OUTSIDE));

    #[cfg(feature = "std")]
    #[inline]
    fn here<R>(f: impl FnOnce(&core::cell::Cell<Here>) -> R) -> R {
        HERE.with(f)
    }

    /// Without std it is one of the whole program: only who is in the critical section writes it, and puts it back
    /// before it leaves.
    #[cfg(all(feature = "critical-section", not(feature = "std")))]
    fn here<R>(f: impl FnOnce(&core::cell::Cell<Here>) -> R) -> R {
        static HERE: critical_section::Mutex<core::cell::Cell<Here>> =
            critical_section::Mutex::new(core::cell::Cell::new(OUTSIDE));
        critical_section::with(|cs| f(HERE.borrow(cs)))
    }

    #[cfg(not(any(feature = "std", feature = "critical-section")))]
    fn here<R>(f: impl FnOnce(&core::cell::Cell<Here>) -> R) -> R {
        f(&core::cell::Cell::new(OUTSIDE))
    }

    super::per_thread! {
        fn later() -> Vec<Waker> = Vec::new()
    }

    #[inline]
    pub(crate) fn inside() -> Inside {
        here(|here| here.get().0)
    }

    /// Marks this thread for as long as it lives: longer than the lock is held.
    pub(crate) struct Mark(Inside);

    #[inline]
    pub(crate) fn enter(inside: Inside) -> Mark {
        here(|here| {
            let (before, wakes) = here.get();
            here.set((inside, wakes));
            Mark(before)
        })
    }

    impl Drop for Mark {
        #[inline]
        fn drop(&mut self) {
            let (_, wakes) = here(core::cell::Cell::get);
            here(|here| here.set((self.0, wakes)));
        }
    }

    /// Runs `f`, which runs code of the user's under a lock. **With interrupts mark and lock are one critical section**:
    /// who interrupts is not inside.
    #[inline]
    pub(crate) fn marked<R>(inside: Inside, f: impl FnOnce() -> R) -> R {
        let _wakes = Wakes;
        let marked = || {
            let _inside = enter(inside);
            f()
        };
        #[cfg(all(feature = "critical-section", not(loom)))]
        return critical_section::with(|_| marked());
        #[cfg(not(all(feature = "critical-section", not(loom))))]
        marked()
    }

    /// Wakes, once no lock is held, those whose wakes were put off.
    struct Wakes;

    impl Drop for Wakes {
        #[inline]
        fn drop(&mut self) {
            if here(core::cell::Cell::get) == (Inside::Nothing, true) {
                wake_now();
            }
        }
    }

    #[cold]
    fn wake_now() {
        let mut pieces = Pieces::new();
        here(|here| here.set(OUTSIDE));
        for waker in later(core::mem::take) {
            pieces.run(|| waker.wake());
        }
        pieces.end();
    }

    /// Wakes somebody for whom this thread has made room, or left. Inside a closure that is put off until no lock is
    /// held: a waker may call whatever it likes.
    pub(crate) fn wake(waker: Waker) {
        if inside() == Inside::Nothing {
            waker.wake();
        } else {
            later(|later| later.push(waker));
            here(|here| here.set((here.get().0, true)));
        }
    }
}
