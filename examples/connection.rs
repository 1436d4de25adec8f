//! A connection that flips faster than its readers run: what a condition misses, and what a `Watched` shows.
//!
//! `cargo run --example connection`

use onlooker::Watched;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Closing,
    Closed,
}

use State::{Closed, Closing, Connected, Connecting};

fn main() {
    println!("A drain handler waits for Closing. The peer goes Closing -> Closed in one tick.\n");
    with_a_condition();
    with_a_watched();
}

/// A mutex and a condition: whoever wakes sees the present value only.
fn with_a_condition() {
    let shared = Arc::new((Mutex::new(Connected), Condvar::new()));
    let (state, changed) = &*shared;

    // The waiter holds the lock until it sleeps, so both sets come while it is asleep.
    let asleep = state.lock().unwrap();
    let setter = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (state, changed) = &*shared;
            let mut state = state.lock().unwrap();
            for next in [Closing, Closed] {
                *state = next;
                changed.notify_all();
            }
        })
    };
    let patience = Duration::from_millis(200);
    let (now, gave_up) = changed
        .wait_timeout_while(asleep, patience, |now| *now != Closing)
        .unwrap();
    setter.join().unwrap();
    assert!(
        gave_up.timed_out(),
        "a condition cannot show what has passed"
    );
    println!(
        "condition   never saw Closing: gave up after {patience:?}, the state is {:?}",
        *now
    );
}

/// The same with a `Watched`, and three more who look on.
fn with_a_watched() {
    let connection = Watched::new(Connecting);
    let mut everything = connection.watch();
    let log = connection.on_change(|change| {
        println!(
            "  callback  {:?} -> {:?} (#{})",
            change.old, change.new, change.seq
        );
    });

    // Registered here; the thread takes it along.
    let closing = connection.view().wait_for(Closing);
    let drain = thread::spawn(move || closing.wait());

    for next in [Connected, Closing, Closed] {
        connection.set(next);
    }

    let caught = drain.join().unwrap();
    assert_eq!(caught, Ok(Closing));
    println!(
        "wait_for    saw {Closing:?}, though the state is {:?}",
        connection.get()
    );

    drop(log);
    drop(connection);
    let mut story = vec![*everything.seen()];
    while let Ok(change) = everything.recv_blocking() {
        story.push(change.new);
    }
    assert_eq!(story, [Connecting, Connected, Closing, Closed]);
    println!("watcher     saw {story:?}, then the end");
}
