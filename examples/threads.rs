//! A TCP server that drains before it stops, on plain threads: `cargo run --example threads`.

mod drain;

use drain::{CLIENTS, ENOUGH, Link, PATIENCE, Phase, TALLY};
use onlooker::{View, Watched};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

/// Accepts until the server drains. Dropping the listener then refuses whoever comes late.
fn accept(listener: TcpListener, phase: View<Phase>) -> io::Result<()> {
    // `accept` sleeps in the kernel, so a callback comes knocking to tell it.
    let address = listener.local_addr()?;
    let _knock = phase.on_value(Phase::Draining, move |_| {
        let _ = TcpStream::connect(address);
    });
    loop {
        let (stream, _) = listener.accept()?;
        if phase.get() == Phase::Draining {
            return Ok(());
        }
        let phase = phase.clone();
        thread::spawn(move || connection(stream, phase));
    }
}

/// Holds its view until it is over: that is what the end of the server waits for.
fn connection(stream: TcpStream, phase: View<Phase>) -> io::Result<()> {
    TALLY.connected.update(|connected| connected + 1);
    let link = Watched::new(Link::Connected);
    // The drain handler, in a thread of its own. When it looks, the link is closed already.
    let closing = link.view().wait_for(Link::Closing);
    let at_work = phase.clone();
    thread::spawn(move || {
        if closing.wait().is_ok() {
            TALLY.flushed.fetch_add(1, SeqCst);
        }
        drop(at_work);
    });

    // No new requests, please. Those on their way are answered all the same. A line is one write, so it does not mix
    // with an answer.
    let mut out = stream.try_clone()?;
    let _bye = phase.on_value(Phase::Draining, move |_| {
        let _ = out.write_all(b"bye\n");
    });

    let mut writer = stream.try_clone()?;
    let served = BufReader::new(stream)
        .lines()
        .try_for_each(|request| writer.write_all(drain::answer(&request?).as_bytes()));
    drain::hang_up(&link);
    served
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let phase = Watched::new(Phase::Running);
    let view = phase.view();
    thread::spawn(move || accept(listener, view));
    let clients = drain::clients(address);

    TALLY.connected.wait_for(CLIENTS).wait();
    TALLY
        .answered
        .wait_until(|answered| *answered >= ENOUGH)
        .wait();
    phase.set(Phase::Draining);
    // Whoever has a view is still at work: the acceptor, each connection, each drain handler.
    let drained = phase.wait_unwatched().wait_timeout(PATIENCE);
    drain::account(clients, address, drained);
    Ok(())
}
