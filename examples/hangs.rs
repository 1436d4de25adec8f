//! A program that stands still, and how it says who waits: `cargo run --example hangs --features inspect`.
//!
//! Orders come in by `set_paced`, so that none is lost. A packer takes them and sends the parcels off once the shelf is
//! full. Each line of it looks right.

use futures_lite::future::{block_on, poll_once};
use onlooker::{Overflow, Watched};

fn main() {
    let orders = Watched::new(0);
    let shelf = Watched::new(0);
    let mut packer = orders.watch_bounded(4, Overflow::DropOldest);
    // A metric that somebody wanted once. It went into a struct, and nobody reads it.
    let _metric = orders.watch_bounded(8, Overflow::DropOldest);
    let _log = orders.on_change(|order| assert!(order.new > 0));
    // What sends the parcels off: made, and then lost in a list of tasks that nobody runs.
    let _parcels = shelf.wait_for(5);

    for order in 1.. {
        let mut set = orders.set_paced(order);
        if block_on(poll_once(&mut set)).is_none() {
            // Here it hangs. What a watchdog prints then:
            println!("orders: {}", orders.inspect());
            println!("shelf: {}", shelf.inspect());
            return;
        }
        for _parcel in packer.try_iter() {
            shelf.update(|parcels| parcels + 1);
        }
    }
}
