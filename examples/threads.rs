//! A TCP server that drains before it stops, on plain threads: `cargo run --example threads`.

mod drain;

use drain::{CLIENTS, ENOUGH, Link, Phase, Server, answer};
use onlooker::Watched;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

static SERVER: Server = Server::new();

/// Accepts until the server drains. Dropping the listener then refuses whoever comes late.
fn accept(listener: &TcpListener) -> io::Result<()> {
    // `accept` sleeps in the kernel, so a callback comes knocking to tell it.
    let address = listener.local_addr()?;
    let _knock = SERVER.phase.on_value(Phase::Draining, move |_| {
        let _ = TcpStream::connect(address);
    });
    loop {
        let (stream, _) = listener.accept()?;
        if SERVER.phase.get() != Phase::Running {
            return Ok(());
        }
        SERVER.open.update(|open| open + 1);
        thread::spawn(|| connection(stream));
    }
}

fn connection(stream: TcpStream) -> io::Result<()> {
    let link = Watched::new(Link::Connected);
    // The drain handler, in a thread of its own. It will look when the link is closed already.
    let mut watcher = link.watch();
    thread::spawn(move || {
        while let Ok(change) = watcher.recv_blocking() {
            if change.new == Link::Closing {
                SERVER.flushed.update(|flushed| flushed + 1);
            }
        }
    });

    // No new requests, please. Those on their way are answered all the same. A line is one write, so it does not mix
    // with an answer.
    let mut out = stream.try_clone()?;
    let _bye = SERVER.phase.on_value(Phase::Draining, move |_| {
        let _ = out.write_all(b"bye\n");
    });

    let mut writer = stream.try_clone()?;
    let served = BufReader::new(stream).lines().try_for_each(|request| {
        writer.write_all(answer(&request?).as_bytes())?;
        SERVER.answered.update(|answered| answered + 1);
        Ok(())
    });
    SERVER.hang_up(&link);
    served
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
        SERVER.sent.fetch_add(1, SeqCst);
        for line in lines.by_ref() {
            let line = line?;
            if line != "bye" {
                assert_eq!(line, (2 * number).to_string());
                SERVER.received.fetch_add(1, SeqCst);
                break;
            }
            bye = true;
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let accepting = thread::spawn(move || accept(&listener));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| thread::spawn(move || client(address)))
        .collect();

    SERVER.open.wait_until(|open| *open == CLIENTS).wait();
    SERVER
        .answered
        .wait_until(|answered| *answered >= ENOUGH)
        .wait();
    SERVER.phase.set(Phase::Draining);
    accepting.join().expect("the acceptor")?;
    let refused = TcpStream::connect(address).is_err();
    let drained = SERVER
        .open
        .wait_for(0)
        .wait_timeout(Duration::from_secs(10));
    let flushed = SERVER.flushed.wait_for(CLIENTS);
    let _ = flushed.wait_timeout(Duration::from_secs(10));
    SERVER.phase.set(Phase::Stopped);
    for client in clients {
        client.join().expect("a client")?;
    }
    SERVER.account(drained, refused);
    Ok(())
}
