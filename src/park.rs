//! A plain thread as an executor of one future.

pub(crate) use imp::block_on;
#[cfg(feature = "std")]
pub(crate) use imp::block_until;

#[cfg(all(feature = "std", not(loom)))]
mod imp {
    use crate::sync::Slot;
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::cell::Cell;
    use core::future::Future;
    use core::pin::{Pin, pin};
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::task::{Context, Poll, Waker};
    use std::thread::{self, Thread};
    use std::time::Instant;

    std::thread_local! {
        /// Kept from one wait to the next. Not there while a wait of this thread is under way.
        static SPARE: Cell<Option<Arc<Parked>>> = const { Cell::new(None) };
    }

    struct Parked {
        thread: Thread,
        /// A wake that has not been seen yet: the thread's own token may be taken by somebody else's `park`.
        woken: AtomicBool,
    }

    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            // Release: what happened before the wake is seen after the sleep (acquire in `sleep`).
            if !self.woken.swap(true, Ordering::AcqRel) {
                self.thread.unpark();
            }
        }
    }

    /// Runs `future` to its end, asleep in between.
    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        let mut output = Slot(None);
        {
            // Gone before the output is given out: a panic of its drop then drops that too.
            let mut future = pin!(future);
            output.0 = block_until(future.as_mut(), None);
        }
        // Without a deadline only the output ends this.
        output.take()
    }

    /// The same, until `deadline`: `None` if that came first.
    pub(crate) fn block_until<F: Future>(
        mut future: Pin<&mut F>,
        deadline: Option<Instant>,
    ) -> Option<F::Output> {
        // A wake meant for an earlier wait only makes this one look once more.
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let parked = spare.unwrap_or_else(|| {
            Arc::new(Parked {
                thread: thread::current(),
                woken: AtomicBool::new(false),
            })
        });
        let waker = Waker::from(parked.clone());
        let mut context = Context::from_waker(&waker);
        let output = loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                break Some(output);
            }
            if !parked.sleep(deadline) {
                break None;
            }
        };
        let _ = SPARE.try_with(|spare| spare.set(Some(parked)));
        output
    }

    impl Parked {
        /// Until woken; `false` if `deadline` came first.
        fn sleep(&self, deadline: Option<Instant>) -> bool {
            while !self.woken.swap(false, Ordering::AcqRel) {
                match deadline {
                    None => thread::park(),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            return false;
                        }
                        thread::park_timeout(left);
                    }
                }
            }
            true
        }
    }
}

#[cfg(loom)]
mod imp {
    use core::future::Future;
    use core::pin::Pin;
    use std::time::Instant;

    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        loom::future::block_on(future)
    }

    /// loom has no clock: models do not use deadlines.
    pub(crate) fn block_until<F: Future>(
        future: Pin<&mut F>,
        _: Option<Instant>,
    ) -> Option<F::Output> {
        Some(block_on(future))
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use core::future::Future;

    /// Without threads nobody waits for a turn (`sync::MAY_WAIT`), and nobody comes here.
    pub(crate) fn block_on<F: Future>(_: F) {}
}
