//! Several tasks on one `static` state, which SysTick sets; by an executor of forty lines.

#![no_std]
#![no_main]

use core::pin::pin;
use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::hprintln;
use onlooker::{Overflow, Watched};
use onlooker_firmware::{Flag, heap_used, pass, run, start_heap, start_ticks};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Down,
    Up,
    Closing(u32),
}

static LINK: Watched<Link> = Watched::new(Link::Down);
const ROUNDS: u32 = 100;

/// One tick, three states: whoever looks only at the present value never sees `Up` or `Closing`.
#[exception]
fn SysTick() {
    static mut ROUND: u32 = 0;
    if *ROUND < ROUNDS {
        *ROUND += 1;
        LINK.set(Link::Up);
        LINK.set(Link::Closing(*ROUND));
        LINK.set(Link::Down);
    }
}

#[entry]
fn main() -> ! {
    static FLAGS: [Flag; 4] = [const { Flag::new() }; 4];
    start_heap();
    let before = heap_used();
    {
        // Everyone registers before the interrupt runs.
        let (mut all, mut some) = (LINK.watch(), LINK.watch_bounded(4, Overflow::DropOldest));
        let (last, fiftieth) = (
            LINK.wait_for(Link::Closing(ROUNDS)),
            LINK.wait_until(|link| *link == Link::Closing(50)),
        );

        let every = pin!(async {
            let mut before = Link::Down;
            for seq in 1..=3 * u64::from(ROUNDS) {
                let change = all.recv().await.unwrap();
                assert_eq!((change.old, change.seq, change.missed), (before, seq, 0));
                before = change.new;
            }
        });
        let bounded = pin!(async {
            let (mut before, mut seq) = (Link::Down, 0);
            while seq < 3 * u64::from(ROUNDS) {
                let change = some.recv().await.unwrap();
                assert_eq!(change.old, before);
                assert_eq!(change.seq, seq + 1 + change.missed);
                (before, seq) = (change.new, change.seq);
            }
        });
        let closing = pin!(async {
            assert_eq!(last.await, Link::Closing(ROUNDS));
        });
        let judged = pin!(async {
            assert_eq!(fiftieth.await, Link::Closing(50));
        });

        let mut peripherals = cortex_m::Peripherals::take().unwrap();
        start_ticks(&mut peripherals.SYST, 25_000);
        run(&FLAGS, [every, bounded, closing, judged], 10_000);
    }
    assert_eq!(LINK.version(), 3 * u64::from(ROUNDS));
    assert_eq!(LINK.watcher_count(), 0);
    hprintln!(
        "tasks: {} transitions, {} bytes of heap for the state",
        LINK.version(),
        heap_used() - before
    );
    pass()
}
