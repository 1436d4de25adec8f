//! What the four servers share: the protocol, its clients, and the account at the end.
//!
//! A client sends a number on a line and gets twice that number on a line. When the server wants to stop it says `bye`;
//! the client then sends no more, reads what is still to come, and hangs up.

#![allow(unreachable_pub)]

use onlooker::{TimedOut, Watched};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub const CLIENTS: usize = 8;
/// The server drains once it has answered so many.
pub const ENOUGH: usize = 200;
/// For connections to end, once the server drains.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Running,
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Connected,
    Closing,
    Closed,
}

/// What is counted of a run.
pub struct Tally {
    pub connected: Watched<usize>,
    pub answered: Watched<usize>,
    /// Connections whose drain handler ran.
    pub flushed: AtomicUsize,
    sent: AtomicUsize,
    received: AtomicUsize,
}

pub static TALLY: Tally = Tally {
    connected: Watched::new(0),
    answered: Watched::new(0),
    flushed: AtomicUsize::new(0),
    sent: AtomicUsize::new(0),
    received: AtomicUsize::new(0),
};

/// What a request asks for.
pub fn answer(line: &str) -> String {
    let number: u64 = line.parse().expect("clients send numbers");
    TALLY.answered.update(|answered| answered + 1);
    format!("{}\n", 2 * number)
}

/// The connection is over. `Closing` is there for no time at all: only who waited for it already sees it.
pub fn hang_up(link: &Watched<Link>) {
    link.set(Link::Closing);
    link.set(Link::Closed);
}

pub type Clients = Vec<JoinHandle<io::Result<()>>>;

/// They stay until the server says `bye`.
pub fn clients(address: SocketAddr) -> Clients {
    let start = || thread::spawn(move || client(address));
    (0..CLIENTS).map(|_| start()).collect()
}

fn client(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address)?;
    let mut writer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    let mut bye = false;
    let mut number = 0;
    while !bye {
        number += 1;
        writer.write_all(format!("{number}\n").as_bytes())?;
        TALLY.sent.fetch_add(1, SeqCst);
        for line in lines.by_ref() {
            let line = line?;
            if line != "bye" {
                assert_eq!(line, (2 * number).to_string());
                TALLY.received.fetch_add(1, SeqCst);
                break;
            }
            bye = true;
        }
    }
    Ok(())
}

/// Nobody may come any more, nothing may be lost.
pub fn account(clients: Clients, address: SocketAddr, drained: Result<(), TimedOut>) {
    assert_eq!(drained, Ok(()), "connections are left");
    let refused = TcpStream::connect(address).is_err();
    for client in clients {
        client.join().expect("a client").expect("its connection");
    }
    let (sent, received) = (TALLY.sent.load(SeqCst), TALLY.received.load(SeqCst));
    let flushed = TALLY.flushed.load(SeqCst);
    println!("answered {received} of {sent} requests");
    println!("drain handlers that ran: {flushed} of {CLIENTS}");
    println!(
        "a late client is {}",
        ["let in", "refused"][usize::from(refused)]
    );
    assert_eq!(received, sent, "a request was cut");
    assert!(received >= ENOUGH);
    assert_eq!(flushed, CLIENTS, "a drain handler missed its moment");
    assert!(refused);
    println!("drained, nothing cut");
}
