//! An allocator that counts: what the program holds, what it held at most, and what each thread asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// To be made the `#[global_allocator]` by the file that counts.
pub struct Counting;

/// What the program has allocated, and the most of it since that was asked last.
static BYTES: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

/// Requests for more than that are refused, as they are where memory is short.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// The same for this thread alone, and how often it asked: the harness's threads do not count.
    static BYTES_HERE: Cell<isize> = const { Cell::new(0) };
    static CALLS_HERE: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let now = BYTES.fetch_add(bytes, SeqCst) + bytes;
    if bytes > 0 {
        MOST.fetch_max(now, SeqCst);
    }
    BYTES_HERE.set(BYTES_HERE.get() + bytes);
    CALLS_HERE.set(CALLS_HERE.get() + usize::from(bytes > 0));
}

// SAFETY: all is left to the system's allocator, or refused.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LIMIT.load(SeqCst) {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Keeps the tests of a file apart: they count the same heap.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much `f` leaves allocated by this thread, what it returns included.
pub fn left_by<R>(f: impl FnOnce() -> R) -> isize {
    let before = BYTES_HERE.get();
    let kept = f();
    let left = BYTES_HERE.get() - before;
    drop(kept);
    left
}

/// How often `f` allocates.
pub fn allocations(f: impl FnOnce()) -> usize {
    let before = CALLS_HERE.get();
    f();
    CALLS_HERE.get() - before
}

/// How much the whole program held at most while `f` ran, beyond what it held before.
pub fn most_during<R>(f: impl FnOnce() -> R) -> (isize, R) {
    let before = BYTES.load(SeqCst);
    MOST.store(before, SeqCst);
    let result = f();
    (MOST.load(SeqCst) - before, result)
}

/// What the whole program holds.
pub fn held() -> isize {
    BYTES.load(SeqCst)
}

/// Runs `f` where no request for more than `bytes` at once is granted.
pub fn with_limit<R>(bytes: usize, f: impl FnOnce() -> R) -> R {
    struct Off;

    impl Drop for Off {
        fn drop(&mut self) {
            LIMIT.store(usize::MAX, SeqCst);
        }
    }

    let _off = Off;
    LIMIT.store(bytes, SeqCst);
    f()
}
