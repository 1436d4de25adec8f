//! Panics of the user's code: caught with std, so that one harms no other. Without std nothing can be caught.

pub(crate) use imp::{Panic, catch, panicking, resume};

#[cfg(feature = "std")]
mod imp {
    use alloc::boxed::Box;
    use core::any::Any;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::{Mutex, PoisonError};

    /// What somebody's code panicked with. In a mutex, which makes it `Sync`: a wait keeps it for its waiter.
    pub(crate) struct Panic(Option<Box<Mutex<Box<dyn Any + Send>>>>);

    impl Panic {
        fn take(&mut self) -> Option<Box<dyn Any + Send>> {
            let payload = self.0.take()?.into_inner();
            Some(payload.unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// Nobody is told of it. Its payload is somebody's value, whose drop may panic in turn, as may that panic's
    /// payload: after a few of those the rest is leaked.
    impl Drop for Panic {
        fn drop(&mut self) {
            let mut payload = self.take();
            for _ in 0..8 {
                match catch_unwind(AssertUnwindSafe(|| drop(payload.take()))) {
                    Ok(()) => return,
                    Err(next) => payload = Some(next),
                }
            }
            core::mem::forget(payload);
        }
    }

    #[inline]
    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
        catch_unwind(AssertUnwindSafe(f)).map_err(keep)
    }

    #[cold]
    fn keep(payload: Box<dyn Any + Send>) -> Panic {
        Panic(Some(Box::new(Mutex::new(payload))))
    }

    pub(crate) fn resume(mut panic: Panic) -> ! {
        match panic.take() {
            Some(payload) => resume_unwind(payload),
            None => unreachable!("it is taken once"),
        }
    }

    pub(crate) fn panicking() -> bool {
        std::thread::panicking()
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    pub(crate) enum Panic {}

    #[inline]
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

/// Runs pieces of the user's code one by one, each caught by itself, and keeps the first panic until the end.
#[derive(Default)]
pub(crate) struct Pieces {
    first: Option<Panic>,
}

impl Pieces {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub(crate) fn run<R>(&mut self, piece: impl FnOnce() -> R) -> Option<R> {
        match catch(piece) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.keep(panic);
                None
            }
        }
    }

    /// Drops something of the user's.
    #[inline]
    pub(crate) fn discard<V>(&mut self, value: V) {
        if core::mem::needs_drop::<V>() {
            self.run(|| drop(value));
        }
    }

    #[cold]
    pub(crate) fn keep(&mut self, panic: Panic) {
        self.first.get_or_insert(panic);
    }

    /// Lets the first panic go on, unless one is on its way already: a second would end the process.
    #[inline]
    pub(crate) fn end(self) {
        if let Some(panic) = self.first {
            if !panicking() {
                resume(panic);
            }
        }
    }
}

/// Drops what somebody left before `result` is given out. If that panics, `result` goes first, by itself.
#[inline]
pub(crate) fn drop_before<V, R>(left: V, result: R) -> R {
    let mut pieces = Pieces::new();
    pieces.run(|| drop(left));
    if pieces.first.is_none() || panicking() {
        return result;
    }
    pieces.run(|| drop(result));
    pieces.end();
    unreachable!("there was a panic, and it goes on")
}

/// A value on its way in, and the one before on its way out. It is dropped outside the lock; a panic of its drop does
/// not end the process where another one is on its way.
pub(crate) struct Slot<T>(pub(crate) Option<T>);

impl<T> Slot<T> {
    /// What was put there.
    pub(crate) fn take(mut self) -> T {
        self.give()
    }

    /// The same, where the slot stays: for a closure that runs once.
    pub(crate) fn give(&mut self) -> T {
        match self.0.take() {
            Some(value) => value,
            None => unreachable!("it was put there before"),
        }
    }
}

impl<T> Drop for Slot<T> {
    #[inline]
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() && self.0.is_some() {
            let mut pieces = Pieces::new();
            pieces.run(|| self.0 = None);
            pieces.end();
        }
    }
}
