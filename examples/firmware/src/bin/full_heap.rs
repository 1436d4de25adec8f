//! A full heap: setting goes on for bounded watchers and value waits; what has to allocate ends the program, with the
//! allocator's own message.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;
use onlooker::{Overflow, Watched};
use onlooker_firmware::{Flag, ON_PANIC, fail, heap_free, pass, start_heap};

static STATE: Watched<u32> = Watched::new(0);

/// Takes all there is, in ever smaller pieces.
fn fill() {
    let mut size = 1024;
    while size > 0 {
        let mut piece = Vec::<u8>::new();
        match piece.try_reserve_exact(size) {
            Ok(()) => core::mem::forget(piece),
            Err(_) => size /= 2,
        }
    }
}

#[entry]
fn main() -> ! {
    static FLAG: Flag = Flag::new();
    start_heap();
    let mut watcher = STATE.watch_bounded(4, Overflow::DropOldest);
    let mut wait = STATE.wait_for(5_000);
    let waker = FLAG.waker();
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut wait).poll(&mut context).is_pending());
    assert!(
        Pin::new(&mut watcher.recv())
            .poll(&mut context)
            .is_pending()
    );
    FLAG.clear();
    fill();
    hprintln!("full_heap: {} bytes left", heap_free());

    for value in 1..=10_000 {
        assert!(STATE.set(value));
    }
    assert!(FLAG.is_set());
    assert_eq!(Pin::new(&mut wait).poll(&mut context), Poll::Ready(5_000));
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.new, change.missed), (9_997, 9_996));

    critical_section::with(|cs| *ON_PANIC.borrow_ref_mut(cs) = Some(pass));
    core::mem::forget(STATE.watch());
    hprintln!("full_heap: there was room after all");
    fail()
}
