//! The smallest useful program: a task awaits what an interrupt sets.

#![no_std]
#![no_main]

use core::pin::pin;
use cortex_m_rt::{entry, exception};
use onlooker::Watched;
use onlooker_firmware::{Flag, pass, run, start_heap, start_ticks};

static TICKS: Watched<u32> = Watched::new(0);

#[exception]
fn SysTick() {
    TICKS.update(|ticks| ticks + 1);
}

#[entry]
fn main() -> ! {
    static FLAGS: [Flag; 1] = [Flag::new()];
    start_heap();
    // Registered before the interrupt runs: from here on no set allocates.
    let third = pin!(async {
        TICKS.wait_for(3).await;
    });
    let mut peripherals = cortex_m::Peripherals::take().unwrap();
    start_ticks(&mut peripherals.SYST, 25_000);
    run(&FLAGS, [third], 1_000);
    pass()
}
