//! The same on embassy-executor.

#![no_std]
#![no_main]

use cortex_m_rt::exception;
use cortex_m_semihosting::hprintln;
use embassy_executor::Spawner;
use onlooker::{Overflow, Watched};
use onlooker_firmware::{fail, pass, start_heap, start_ticks};

static COUNT: Watched<u32> = Watched::new(0);
static DONE: Watched<u32> = Watched::new(0);
const LAST: u32 = 100;

#[exception]
fn SysTick() {
    static mut TICKS: u32 = 0;
    *TICKS += 1;
    // Two transitions a tick; the odd ones are there for no time at all.
    if COUNT.get() < LAST {
        COUNT.update(|count| count + 1);
        COUNT.update(|count| count + 1);
    } else if *TICKS > 10 * LAST {
        // The tasks should have ended long ago.
        hprintln!("embassy: a wake-up was lost");
        fail();
    }
}

#[embassy_executor::task(pool_size = 3)]
async fn waiter(target: u32) {
    assert_eq!(COUNT.wait_for(target).await, target);
    DONE.update(|done| done + 1);
}

#[embassy_executor::task]
async fn follower() {
    let mut watcher = COUNT.watch_bounded(16, Overflow::DropNewest);
    while *watcher.seen() < LAST {
        let change = watcher.recv().await.unwrap();
        assert_eq!((change.new, change.missed), (change.old + 1, 0));
    }
    DONE.update(|done| done + 1);
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    start_heap();
    // The executor has taken the peripherals.
    // SAFETY: SysTick is nobody else's.
    let mut peripherals = unsafe { cortex_m::Peripherals::steal() };
    for target in [7, 51, LAST] {
        spawner.spawn(waiter(target).unwrap());
    }
    spawner.spawn(follower().unwrap());
    // The tasks above register at their first poll, which comes before any tick.
    let all = DONE.wait_for(4);
    start_ticks(&mut peripherals.SYST, 250_000);
    all.await;
    hprintln!("embassy: {} transitions, four tasks", COUNT.version());
    pass()
}
