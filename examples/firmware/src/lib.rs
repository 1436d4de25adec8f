//! What the programs share: a heap, an executor that polls only who was woken, a periodic interrupt, and the way out.

#![no_std]

extern crate alloc;

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::ptr::{self, addr_of_mut};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_semihosting::debug;
use critical_section::Mutex;
use embedded_alloc::LlffHeap;

/// Locks by critical section, as it must where interrupts allocate.
#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

/// Gives `BYTES` of RAM to the heap. Once.
pub fn start_heap() {
    const BYTES: usize = 6 * 1024;
    static mut MEMORY: [u8; BYTES] = [0; BYTES];
    // SAFETY: called once, before anything allocates; nobody else names MEMORY.
    unsafe { HEAP.init(addr_of_mut!(MEMORY) as usize, BYTES) }
}

pub fn heap_used() -> usize {
    HEAP.used()
}

pub fn heap_free() -> usize {
    HEAP.free()
}

/// Ends the emulator with status 0.
pub fn pass() -> ! {
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::nop();
    }
}

/// Ends the emulator with status 1.
pub fn fail() -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::nop();
    }
}

/// What a program that expects a panic does in it.
pub static ON_PANIC: Mutex<RefCell<Option<fn() -> !>>> = Mutex::new(RefCell::new(None));

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    #[cfg(not(feature = "quiet"))]
    {
        cortex_m_semihosting::hprintln!("{}", _info);
        if let Some(expected) = critical_section::with(|cs| *ON_PANIC.borrow_ref(cs)) {
            expected();
        }
    }
    fail()
}

#[cfg(not(feature = "quiet"))]
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    cortex_m_semihosting::hprintln!("HardFault {:?}", frame);
    fail()
}

/// Lets SysTick come every `ticks`.
pub fn start_ticks(systick: &mut SYST, ticks: u32) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(ticks - 1);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
}

/// Whether a task was woken since it was polled last. Its address is the waker.
pub struct Flag(AtomicBool);

impl Flag {
    pub const fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub fn waker(&'static self) -> Waker {
        const TABLE: RawWakerVTable =
            RawWakerVTable::new(|flag| RawWaker::new(flag, &TABLE), wake, wake, |_| {});

        unsafe fn wake(flag: *const ()) {
            // SAFETY: made from a `&'static Flag` below.
            let flag = unsafe { &*flag.cast::<Flag>() };
            flag.0.store(true, Ordering::Release);
        }

        let flag = ptr::from_ref(self).cast();
        // SAFETY: the flag is static, and the table's functions only store to it.
        unsafe { Waker::from_raw(RawWaker::new(flag, &TABLE)) }
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs all tasks to their ends. **Only who was woken is polled again**, so a lost wake-up is a hang, and after `idle`
/// interrupts without any wake a hang is a failure.
pub fn run<const N: usize>(
    flags: &'static [Flag; N],
    mut tasks: [Pin<&mut dyn Future<Output = ()>>; N],
    idle: u32,
) {
    let mut over = [false; N];
    let mut slept = 0;
    while over.contains(&false) {
        let mut polled = false;
        for ((flag, task), over) in flags.iter().zip(&mut tasks).zip(&mut over) {
            if flag.is_set() && !*over {
                flag.clear();
                polled = true;
                let waker = flag.waker();
                *over = task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(());
            }
        }
        slept = if polled { 0 } else { slept + 1 };
        assert!(slept < idle, "nobody is woken");
        // Masked from the look to the sleep, or a wake between the two would be slept over; `wfi` ends for a masked
        // interrupt too.
        critical_section::with(|_| {
            if !flags.iter().any(Flag::is_set) {
                cortex_m::asm::wfi();
            }
        });
    }
}
