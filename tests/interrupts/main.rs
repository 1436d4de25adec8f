//! Interrupts, simulated on the host without losing one: a critical section whose end is a place for "the interrupt".
//!
//! `cargo test --features critical-section --test interrupts`. What the crate does outside a critical section no
//! interrupt can tell from what it does at the section's end, so an interrupt at each end, and before each
//! beginning, is an interrupt anywhere. The firmware example runs the same cases with a real one at every instruction.

extern crate alloc;

mod cases;

use cases::{CALLS, Call, DERIVED, Hand, INTERRUPTS, Interrupt, finish, prepare};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::{Mutex, PoisonError};

/// What the interrupt does, and what with.
type Order = (Hand, Interrupt);

thread_local! {
    /// How deep in critical sections.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// How many places are still to pass before the interrupt comes. Zero: it has come, or is not due.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static ORDER: RefCell<Option<Order>> = const { RefCell::new(None) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// A place where interrupts are not masked.
fn place() {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    if left == 1 {
        let (mut hand, act) = ORDER.take().expect("an order was given");
        act(&mut hand);
        ORDER.set(Some((hand, act)));
    }
}

/// One core: without std the crate has variables of the whole program, which the simulation keeps no thread out of.
static CORE: Mutex<()> = Mutex::new(());

struct Simulated;

critical_section::set_impl!(Simulated);

// SAFETY: one test runs at a time, and on one thread this nests.
unsafe impl critical_section::Impl for Simulated {
    unsafe fn acquire() -> bool {
        if DEPTH.get() == 0 {
            place();
        }
        DEPTH.set(DEPTH.get() + 1);
        false
    }

    unsafe fn release(_: bool) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            place();
        }
    }
}

struct Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One run, with the interrupt at the place of this number. Says whether the call was over before.
fn run(derived: bool, call: Call, interrupt: Interrupt, at: usize) -> bool {
    let (mut run, hand) = prepare(derived);
    ORDER.set(Some((hand, interrupt)));
    LEFT.set(at);
    let made = call(&mut run.subject);
    let over = LEFT.get() > 0;
    while LEFT.get() > 0 {
        place();
    }
    let (hand, _) = ORDER.take().expect("put back by the interrupt");
    finish(run, hand, made);
    over
}

#[test]
fn an_interrupt_at_any_place_of_any_call_loses_nothing() {
    let _core = CORE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut runs, mut places) = (0, 0);
    for (derived, calls) in [(false, &CALLS[..]), (true, &DERIVED[..])] {
        for (name, call) in calls {
            for (with, interrupt) in INTERRUPTS {
                let mut at = 1;
                while !run(derived, *call, interrupt, at) {
                    at += 1;
                    assert!(at < 10_000, "{name} under {with} does not end");
                }
                runs += at;
                places = places.max(at);
            }
        }
    }
    println!("{runs} runs, {places} places at most");
    assert!(places > 10);
}

#[test]
fn a_set_from_an_interrupt_allocates_nothing_where_all_that_wait_were_there_before() {
    let _core = CORE.lock().unwrap_or_else(PoisonError::into_inner);
    static STATE: onlooker::Watched<u32> = onlooker::Watched::new(0);
    let mut watchers = [
        STATE.watch_bounded(1, onlooker::Overflow::DropOldest),
        STATE.watch_bounded(4, onlooker::Overflow::DropNewest),
    ];
    let wait = STATE.wait_for(500);
    let other = STATE.wait_for_not(0);
    // One sleeps.
    let polled =
        futures_lite::future::block_on(futures_lite::future::poll_once(watchers[0].recv()));
    assert!(polled.is_none());
    let before = ALLOCATIONS.get();
    for value in 1..=1_000 {
        assert!(STATE.set(value));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert_eq!(futures_lite::future::block_on(wait), 500);
    assert_eq!(futures_lite::future::block_on(other), 1);
}
