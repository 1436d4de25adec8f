//! An interrupt at every instruction of every call: no hang, no panic, nothing lost, nothing out of order.
//!
//! SysTick, above everything else, fires after `delay` ticks and pends PendSV, which is the interrupt under test;
//! then SysTick is the watchdog of both. A call is run again and again, the delay one tick longer each time, until the
//! interrupt comes after its end.

#![no_std]
#![no_main]

extern crate alloc;

#[path = "../../../../tests/interrupts/cases.rs"]
mod cases;

use cases::{CALLS, Call, DERIVED, Hand, INTERRUPTS, Interrupt, finish, prepare};
use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::SCB;
use cortex_m::peripheral::scb::SystemHandler;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::hprintln;
use critical_section::Mutex;
use onlooker_firmware::{fail, heap_used, pass, start_heap};

/// What the interrupt does, and what with.
type Order = (Hand, Interrupt);

static ORDER: Mutex<RefCell<Option<Order>>> = Mutex::new(RefCell::new(None));
/// 0: not armed, 1: armed, 2: pended, 3: ran.
static PHASE: AtomicU32 = AtomicU32::new(0);
/// Ticks that nothing here takes.
const WATCHDOG: u32 = 0x00ff_ffff;

#[exception]
fn SysTick() {
    if PHASE.load(Ordering::Relaxed) == 1 {
        PHASE.store(2, Ordering::Relaxed);
        SCB::set_pendsv();
        arm(WATCHDOG);
        // A short delay has come round again meanwhile.
        SCB::clear_pendst();
    } else {
        hprintln!("hangs");
        fail();
    }
}

#[exception]
fn PendSV() {
    let order = critical_section::with(|cs| ORDER.borrow_ref_mut(cs).take());
    if let Some((mut hand, act)) = order {
        act(&mut hand);
        critical_section::with(|cs| ORDER.borrow_ref_mut(cs).replace((hand, act)));
    }
    PHASE.store(3, Ordering::Relaxed);
}

/// Lets SysTick fire once after `ticks`, and then every `ticks` again.
fn arm(ticks: u32) {
    // SAFETY: SysTick is this program's alone; the writes are single stores.
    let systick = unsafe { &mut cortex_m::Peripherals::steal().SYST };
    systick.set_reload(ticks);
    systick.clear_current();
    systick.enable_counter();
}

fn disarm() {
    // SAFETY: as above.
    let systick = unsafe { &mut cortex_m::Peripherals::steal().SYST };
    systick.disable_counter();
    SCB::clear_pendst();
}

/// One run. Says whether the call was over before the interrupt came.
fn run(derived: bool, call: Call, interrupt: Interrupt, delay: u32) -> bool {
    let (mut run, hand) = prepare(derived);
    critical_section::with(|cs| ORDER.borrow_ref_mut(cs).replace((hand, interrupt)));

    PHASE.store(1, Ordering::Relaxed);
    arm(delay);
    let made = call(&mut run.subject);
    let over = PHASE.load(Ordering::Relaxed) == 1;
    while PHASE.load(Ordering::Relaxed) != 3 {}
    disarm();
    PHASE.store(0, Ordering::Relaxed);

    match critical_section::with(|cs| ORDER.borrow_ref_mut(cs).take()) {
        Some((hand, _)) => finish(run, hand, made),
        None => fail(),
    }
    over
}

#[entry]
fn main() -> ! {
    start_heap();
    let mut peripherals = cortex_m::Peripherals::take().unwrap();
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    peripherals.SYST.enable_interrupt();
    // SAFETY: nothing relies on the priorities that were there before.
    unsafe {
        peripherals.SCB.set_priority(SystemHandler::SysTick, 0);
        peripherals.SCB.set_priority(SystemHandler::PendSV, 0xff);
    }
    let (mut cases, mut places) = (0, 0_u32);
    let all = CALLS.map(|call| (false, call));
    let all = all.into_iter().chain(DERIVED.map(|call| (true, call)));
    for (derived, (name, call)) in all {
        let mut longest = 0;
        for (with, interrupt) in INTERRUPTS {
            let before = heap_used();
            let mut delay = 1;
            while !run(derived, call, interrupt, delay) {
                delay += 1;
                assert!(delay < 100_000, "{name} under {with} does not end");
            }
            assert_eq!(
                heap_used(),
                before,
                "{name} under {with} leaves something behind"
            );
            cases += 1;
            places += delay;
            longest = longest.max(delay);
        }
        hprintln!("{}: {} places", name, longest);
    }
    hprintln!(
        "preempt: {} pairs, {} interrupts, one at each place",
        cases,
        places
    );
    pass()
}
