//! A program for the host that has no std, and links only if nothing below brings it in: std has a panic handler of its
//! own, and there can be but one (E0152).

#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use onlooker::{Overflow, TryRecvError, Watched};

#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: has no conditions.
    unsafe { abort() }
}

// The host's `alloc` was built to unwind. Nothing here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: has no conditions.
    unsafe { abort() }
}

/// Hands out memory and never takes it back.
struct Heap {
    memory: UnsafeCell<[u8; Heap::SIZE]>,
    used: AtomicUsize,
}

impl Heap {
    const SIZE: usize = 1 << 16;
}

// SAFETY: every piece is handed out once.
unsafe impl Sync for Heap {}

// SAFETY: pieces are aligned, inside the memory and never overlap.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = self
            .used
            .fetch_add(layout.size() + layout.align(), Ordering::Relaxed);
        if used + layout.size() + layout.align() > Self::SIZE {
            return core::ptr::null_mut();
        }
        let start = self.memory.get().cast::<u8>().wrapping_add(used);
        start.wrapping_add(start.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Heap = Heap {
    memory: UnsafeCell::new([0; Heap::SIZE]),
    used: AtomicUsize::new(0),
};

/// One thread and no interrupts: nothing to keep out.
struct Nobody;

critical_section::set_impl!(Nobody);

// SAFETY: there is nobody else.
unsafe impl critical_section::Impl for Nobody {
    unsafe fn acquire() -> bool {
        false
    }

    unsafe fn release(_: bool) {}
}

#[cfg(feature = "embassy")]
mod time {
    use core::task::Waker;

    /// A clock that stands.
    struct Still;

    impl embassy_time_driver::Driver for Still {
        fn now(&self) -> u64 {
            0
        }

        fn schedule_wake(&self, _: u64, _: &Waker) {}
    }

    embassy_time_driver::time_driver_impl!(static DRIVER: Still = Still);
}

static STATE: Watched<u32> = Watched::new(0);

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    let mut context = Context::from_waker(Waker::noop());
    let mut watcher = STATE.watch();
    let mut bounded = STATE.watch_bounded(1, Overflow::DropOldest);
    let mut wait = STATE.wait_for(1);
    let mut judged = STATE.wait_until(|value| *value > 1);
    #[cfg(feature = "embassy")]
    {
        let never = STATE
            .wait_for(9)
            .timeout(onlooker::Embassy, core::time::Duration::from_secs(1));
        if core::pin::pin!(never).poll(&mut context).is_ready() {
            return 1;
        }
    }
    if Pin::new(&mut wait).poll(&mut context).is_ready() {
        return 2;
    }
    STATE.set(1);
    STATE.set(2);
    if Pin::new(&mut wait).poll(&mut context) != Poll::Ready(1) {
        return 3;
    }
    if Pin::new(&mut judged).poll(&mut context) != Poll::Ready(2) {
        return 4;
    }
    if !matches!(watcher.try_recv(), Ok(change) if (change.old, change.new) == (0, 1)) {
        return 5;
    }
    if !matches!(bounded.try_recv(), Ok(change) if (change.old, change.new, change.missed) == (0, 2, 1))
    {
        return 6;
    }
    if bounded.try_recv() != Err(TryRecvError::Empty) {
        return 7;
    }
    0
}
