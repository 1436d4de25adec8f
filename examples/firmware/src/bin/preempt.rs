//! An interrupt at every instruction of every call: no hang, no panic, nothing lost, nothing out of order.
//!
//! SysTick, above everything else, fires after `delay` ticks and pends PendSV, which is the interrupt under test;
//! then SysTick is the watchdog of both. A call is run again and again, the delay one tick longer each time, until the
//! interrupt comes after its end. Each run has a state of its own, and a witness that watches all of it.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll};
use cortex_m::peripheral::SCB;
use cortex_m::peripheral::scb::SystemHandler;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::hprintln;
use critical_section::Mutex;
use onlooker::{Callback, Overflow, Wait, Watched, Watcher};
use onlooker_firmware::{Flag, fail, heap_used, pass, start_heap};

type State = Watched<u32>;

/// What the interrupt may take, and whom it interrupts.
struct Hand {
    state: &'static State,
    wait: Option<Wait<'static, u32>>,
    watcher: Option<Watcher<u32>>,
    act: fn(&mut Hand),
}

static HAND: Mutex<RefCell<Option<Hand>>> = Mutex::new(RefCell::new(None));
/// 0: not armed, 1: armed, 2: pended, 3: ran.
static PHASE: AtomicU32 = AtomicU32::new(0);
/// The last transition that the callback was called for.
static CALLED: AtomicU32 = AtomicU32::new(0);
/// Ticks that nothing here takes.
const WATCHDOG: u32 = 0x00ff_ffff;

/// What the interrupt sets; the interrupted calls set small numbers.
const INTERRUPT: u32 = 1000;

const INTERRUPTS: [(&str, fn(&mut Hand)); 8] = [
    ("set", |hand| assert!(hand.state.set(INTERRUPT))),
    ("replace", |hand| {
        hand.state.replace(INTERRUPT);
    }),
    ("set_if", |hand| {
        assert_eq!(hand.state.set_if(INTERRUPT, |value| *value < INTERRUPT), Ok(()));
    }),
    ("update", |hand| {
        assert!(hand.state.update(|value| value + INTERRUPT) < INTERRUPT);
    }),
    ("drop wait", |hand| drop(hand.wait.take())),
    ("drop watcher", |hand| drop(hand.watcher.take())),
    ("try_recv", |hand| {
        if let Some(watcher) = &mut hand.watcher {
            assert!(watcher.try_recv().is_ok());
        }
    }),
    ("get, version", |hand| {
        assert!(u64::from(hand.state.get()) <= hand.state.version() * u64::from(INTERRUPT));
    }),
];

/// What a call works on. Its watchers were there before, with room and without.
struct Subject {
    state: &'static State,
    unbounded: Watcher<u32>,
    oldest: Watcher<u32>,
    newest: Watcher<u32>,
    wait: Option<Wait<'static, u32>>,
    judged: Option<Wait<'static, u32>>,
    callback: Option<Callback>,
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    static FLAG: Flag = Flag::new();
    let waker = FLAG.waker();
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Each says how many transitions it makes.
const CALLS: [(&str, fn(&mut Subject) -> u64); 22] = [
    ("get", |subject| {
        subject.state.get();
        0
    }),
    ("version", |subject| {
        subject.state.version();
        0
    }),
    ("reader", |subject| {
        subject.state.reader().get();
        0
    }),
    ("set", |subject| u64::from(subject.state.set(7))),
    ("replace", |subject| {
        subject.state.replace(7);
        1
    }),
    ("set_if", |subject| u64::from(subject.state.set_if(7, |_| true).is_ok())),
    ("update", |subject| {
        subject.state.update(|value| value + 1);
        1
    }),
    ("modify", |subject| u64::from(subject.state.modify(|value| *value += 1))),
    ("watch and drop", |subject| {
        drop(subject.state.watch());
        0
    }),
    ("watch_bounded and drop", |subject| {
        drop(subject.state.watch_bounded(2, Overflow::DropOldest));
        0
    }),
    ("wait_for, poll, drop", |subject| {
        let mut wait = subject.state.wait_for(77);
        assert!(poll(&mut wait).is_pending());
        0
    }),
    ("wait_until, poll, drop", |subject| {
        let mut wait = subject.state.wait_until(|value| *value == 77);
        assert!(poll(&mut wait).is_pending());
        0
    }),
    ("wait_for_change, poll", |subject| {
        let _ = poll(&mut subject.state.wait_for_change());
        0
    }),
    ("poll a wait", |subject| {
        let _ = subject.wait.as_mut().map(poll);
        0
    }),
    ("drop a wait", |subject| {
        subject.wait = None;
        0
    }),
    ("drop a judged wait", |subject| {
        subject.judged = None;
        0
    }),
    ("try_recv, unbounded", |subject| {
        let before = *subject.unbounded.seen();
        assert_eq!(subject.unbounded.try_recv().unwrap().old, before);
        0
    }),
    ("try_recv, full, DropOldest", |subject| {
        let before = *subject.oldest.seen();
        assert_eq!(subject.oldest.try_recv().unwrap().old, before);
        0
    }),
    ("try_recv, full, DropNewest", |subject| {
        let before = *subject.newest.seen();
        assert_eq!(subject.newest.try_recv().unwrap().old, before);
        0
    }),
    ("recv to sleep", |subject| {
        while subject.unbounded.try_recv().is_ok() {}
        let _ = poll(&mut subject.unbounded.recv());
        0
    }),
    ("on_change and drop", |subject| {
        drop(subject.state.on_change(|_| ()));
        0
    }),
    ("drop a callback", |subject| {
        subject.callback = None;
        0
    }),
];

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
    // Nothing but this handler borrows it while it is armed.
    let hand = critical_section::with(|cs| HAND.borrow_ref_mut(cs).take());
    if let Some(mut hand) = hand {
        (hand.act)(&mut hand);
        critical_section::with(|cs| HAND.borrow_ref_mut(cs).replace(hand));
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
fn run(call: fn(&mut Subject) -> u64, interrupt: fn(&mut Hand), delay: u32) -> bool {
    // SAFETY of the leak: taken back at the end, when everything that borrows it is gone.
    let state: *mut State = Box::into_raw(Box::new(Watched::new(0)));
    let state_ref: &'static State = unsafe { &*state };
    let mut witness = state_ref.watch();
    let mut subject = Subject {
        state: state_ref,
        unbounded: state_ref.watch(),
        oldest: state_ref.watch_bounded(2, Overflow::DropOldest),
        newest: state_ref.watch_bounded(1, Overflow::DropNewest),
        wait: Some(state_ref.wait_for(INTERRUPT)),
        judged: Some(state_ref.wait_until(|value| *value == INTERRUPT)),
        callback: Some(state_ref.on_change(|change| {
            assert_eq!(change.seq, u64::from(CALLED.load(Ordering::Relaxed)) + 1);
            CALLED.store(change.seq as u32, Ordering::Relaxed);
        })),
    };
    let mut met = state_ref.wait_for(INTERRUPT);
    let hand = Hand {
        state: state_ref,
        wait: Some(state_ref.wait_for(78)),
        watcher: Some(state_ref.watch_bounded(2, Overflow::DropOldest)),
        act: interrupt,
    };
    CALLED.store(0, Ordering::Relaxed);
    for value in 1..=2 {
        state_ref.set(value);
    }
    critical_section::with(|cs| HAND.borrow_ref_mut(cs).replace(hand));

    PHASE.store(1, Ordering::Relaxed);
    arm(delay);
    let made = call(&mut subject);
    let early = PHASE.load(Ordering::Relaxed) == 1;
    while PHASE.load(Ordering::Relaxed) != 3 {}
    disarm();
    PHASE.store(0, Ordering::Relaxed);

    // The witness: everything once, in order, up to the present value.
    let (mut before, mut seq, mut interrupted, mut was) = (0, 0, 0, false);
    while let Ok(change) = witness.try_recv() {
        assert_eq!((change.old, change.seq, change.missed), (before, seq + 1, 0));
        (before, seq) = (change.new, change.seq);
        interrupted += u64::from(change.old < INTERRUPT && change.new >= INTERRUPT);
        was |= change.new == INTERRUPT;
    }
    assert_eq!((before, seq), (state_ref.get(), state_ref.version()));
    assert_eq!(seq, 2 + made + interrupted);
    // The others: an unbroken chain that ends where it should, and losses that add up.
    for (watcher, latest) in [(&mut subject.unbounded, true), (&mut subject.oldest, true), (&mut subject.newest, false)] {
        let (mut last, mut received) = (*watcher.seen(), 0);
        while let Ok(change) = watcher.try_recv() {
            assert_eq!(change.old, last);
            (last, received) = (change.new, received + 1);
        }
        assert!(!latest || last == before);
        assert!(received + watcher.missed() <= seq);
    }
    // The callback: delivered by the time the setters returned.
    if subject.callback.is_some() {
        assert_eq!(u64::from(CALLED.load(Ordering::Relaxed)), seq);
    }
    // Latched exactly if it ever was.
    assert_eq!(poll(&mut met).is_ready(), was);
    if let Some(mut judged) = subject.judged.take() {
        assert_eq!(poll(&mut judged).is_ready(), was);
    }

    drop((met, subject, witness));
    let hand = critical_section::with(|cs| HAND.borrow_ref_mut(cs).take());
    drop(hand);
    assert_eq!(state_ref.watcher_count(), 0);
    // SAFETY: everything that borrowed it was dropped above.
    drop(unsafe { Box::from_raw(state) });
    early
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
    for (call, name) in CALLS.iter().map(|(name, call)| (call, name)) {
        let mut longest = 0;
        for (with, interrupt) in INTERRUPTS {
            let before = heap_used();
            let mut delay = 1;
            while !run(*call, interrupt, delay) {
                delay += 1;
                assert!(delay < 100_000, "{name} under {with} does not end");
            }
            assert_eq!(heap_used(), before, "{name} under {with} leaves something behind");
            cases += 1;
            places += delay;
            longest = longest.max(delay);
        }
        hprintln!("{}: {} places", name, longest);
    }
    hprintln!("preempt: {} pairs, {} interrupts, one at each place", cases, places);
    pass()
}
