//! A TCP server that drains before it stops, on tokio: `cargo run --example tokio --features tokio`.

mod drain;

use drain::{CLIENTS, ENOUGH, Link, PATIENCE, Phase, TALLY};
use onlooker::{OwnedWait, Tokio, View, Watched};
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Accepts until the server drains. Dropping the listener then refuses whoever comes late.
async fn accept(listener: TcpListener, phase: View<Phase>) -> io::Result<()> {
    let mut draining = phase.wait_for(Phase::Draining);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(connection(accepted?.0, phase.clone()));
            }
            _ = &mut draining => return Ok(()),
        }
    }
}

/// Holds its view until it is over: that is what the end of the server waits for.
async fn connection(stream: TcpStream, phase: View<Phase>) -> io::Result<()> {
    TALLY.connected.update(|connected| connected + 1);
    let link = Watched::new(Link::Connected);
    // The drain handler, in a task of its own. When it looks, the link is closed already.
    let closing = link.view().wait_for(Link::Closing);
    let at_work = phase.clone();
    tokio::spawn(async move {
        if closing.await.is_ok() {
            TALLY.flushed.fetch_add(1, SeqCst);
        }
        drop(at_work);
    });
    let served = serve(stream, phase.wait_for(Phase::Draining)).await;
    drain::hang_up(&link);
    served
}

async fn serve(stream: TcpStream, mut draining: OwnedWait<Phase>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut requests = BufReader::new(reader).lines();
    let mut told = false;
    loop {
        tokio::select! {
            request = requests.next_line() => {
                let Some(request) = request? else {
                    return Ok(());
                };
                writer.write_all(drain::answer(&request).as_bytes()).await?;
            }
            // No new requests, please. Those on their way are answered all the same.
            _ = &mut draining, if !told => {
                told = true;
                writer.write_all(b"bye\n").await?;
            }
        }
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let phase = Watched::new(Phase::Running);
    tokio::spawn(accept(listener, phase.view()));
    let clients = drain::clients(address);

    TALLY.connected.wait_for(CLIENTS).await;
    TALLY
        .answered
        .wait_until(|answered| *answered >= ENOUGH)
        .await;
    phase.set(Phase::Draining);
    // Whoever has a view is still at work: the acceptor, each connection, each drain handler.
    let drained = phase.wait_unwatched().timeout(Tokio, PATIENCE).await;
    drain::account(clients, address, drained);
    Ok(())
}
