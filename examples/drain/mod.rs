//! What the four servers share: their states, and the account at the end.
//!
//! The protocol: a client sends a number on a line and gets twice that number on a line. When the server wants to stop it
//! says `bye`; the client then sends no more, reads what is still to come, and hangs up.

#![allow(unreachable_pub)]

use onlooker::{TimedOut, Watched};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

pub const CLIENTS: usize = 8;
/// The server drains once it has answered so many.
pub const ENOUGH: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Running,
    Draining,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Connected,
    Closing,
    Closed,
}

pub struct Server {
    pub phase: Watched<Phase>,
    /// Connections.
    pub open: Watched<usize>,
    pub answered: Watched<usize>,
    /// Connections whose drain handler ran.
    pub flushed: Watched<usize>,
    /// What the clients sent, and what they got.
    pub sent: AtomicUsize,
    pub received: AtomicUsize,
}

impl Server {
    pub const fn new() -> Self {
        Self {
            phase: Watched::new(Phase::Running),
            open: Watched::new(0),
            answered: Watched::new(0),
            flushed: Watched::new(0),
            sent: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
        }
    }

    /// The connection is over. `Closing` is there for no time at all: only who registered for it sees it.
    pub fn hang_up(&self, link: &Watched<Link>) {
        link.set(Link::Closing);
        link.set(Link::Closed);
        self.open.update(|open| open - 1);
    }

    /// Nobody may come any more, nothing may be lost.
    pub fn account(&self, drained: Result<usize, TimedOut>, refused: bool) {
        let (sent, received) = (self.sent.load(SeqCst), self.received.load(SeqCst));
        println!("answered {received} of {sent} requests");
        println!(
            "drain handlers that ran: {} of {CLIENTS}",
            self.flushed.get()
        );
        println!(
            "a late client was {}",
            if refused { "refused" } else { "let in" }
        );
        println!(
            "phases: {} changes, now {:?}",
            self.phase.version(),
            self.phase.get()
        );
        assert_eq!(drained, Ok(0), "connections are left");
        assert_eq!(received, sent, "a request was cut");
        assert!(received >= ENOUGH);
        assert_eq!(
            self.flushed.get(),
            CLIENTS,
            "a drain handler missed its moment"
        );
        assert!(refused);
        println!("drained, nothing cut");
    }
}

/// What a request asks for.
pub fn answer(line: &str) -> String {
    let number: u64 = line.parse().expect("clients send numbers");
    format!("{}\n", 2 * number)
}
