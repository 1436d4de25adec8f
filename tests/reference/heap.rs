//! A counting allocator, for whoever makes it the global one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

pub struct Counting;

thread_local!(static HERE: Cell<isize> = const { Cell::new(0) });

static ALL: AtomicIsize = AtomicIsize::new(0);

/// What this thread has allocated and not freed.
pub fn here() -> isize {
    HERE.get()
}

/// What all threads have.
pub fn everywhere() -> isize {
    ALL.load(Relaxed)
}

fn count(bytes: isize) {
    ALL.fetch_add(bytes, Relaxed);
    // A thread that is going away no longer counts.
    let _ = HERE.try_with(|here| here.set(here.get() + bytes));
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
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
