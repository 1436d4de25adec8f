//! The server for smol and async-std, which differ in three names: `TcpListener`, `TcpStream`, and how to `spawn`.

use super::drain::{self, CLIENTS, ENOUGH, Link, PATIENCE, Phase, TALLY};
use super::{TcpListener, TcpStream, spawn};
use futures_lite::{AsyncBufReadExt, AsyncWriteExt, StreamExt, future, io::BufReader};
use onlooker::{Timer, View, Watched};
use std::io;
use std::sync::atomic::Ordering::SeqCst;

/// Accepts until the server drains. Dropping the listener then refuses whoever comes late.
async fn accept(listener: TcpListener, phase: View<Phase>) -> io::Result<()> {
    let mut draining = phase.wait_for(Phase::Draining);
    loop {
        let next = async { Some(listener.accept().await) };
        let stop = async {
            let _ = (&mut draining).await;
            None
        };
        let Some(accepted) = future::or(next, stop).await else {
            return Ok(());
        };
        spawn(connection(accepted?.0, phase.clone()));
    }
}

/// Holds its view until it is over: that is what the end of the server waits for.
async fn connection(stream: TcpStream, phase: View<Phase>) -> io::Result<()> {
    TALLY.connected.update(|connected| connected + 1);
    let link = Watched::new(Link::Connected);
    // The drain handler, in a task of its own. When it looks, the link is closed already.
    let closing = link.view().wait_for(Link::Closing);
    let at_work = phase.clone();
    spawn(async move {
        if closing.await.is_ok() {
            TALLY.flushed.fetch_add(1, SeqCst);
        }
        drop(at_work);
        Ok(())
    });
    let served = serve(stream, phase.wait_for(Phase::Draining)).await;
    drain::hang_up(&link);
    served
}

async fn serve(stream: TcpStream, draining: onlooker::OwnedWait<Phase>) -> io::Result<()> {
    let mut writer = stream.clone();
    let mut requests = BufReader::new(stream).lines();
    let mut draining = Some(draining);
    loop {
        let next = async { Some(requests.next().await) };
        let request = match &mut draining {
            None => next.await,
            Some(wait) => {
                let stop = async {
                    let _ = wait.await;
                    None
                };
                future::or(next, stop).await
            }
        };
        match request {
            // No new requests, please. Those on their way are answered all the same.
            None => {
                draining = None;
                writer.write_all(b"bye\n").await?;
            }
            Some(None) => return Ok(()),
            Some(Some(request)) => {
                let answer = drain::answer(&request?);
                writer.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

pub(crate) async fn run(timer: impl Timer) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let phase = Watched::new(Phase::Running);
    spawn(accept(listener, phase.view()));
    let clients = drain::clients(address);

    TALLY.connected.wait_for(CLIENTS).await;
    TALLY
        .answered
        .wait_until(|answered| *answered >= ENOUGH)
        .await;
    phase.set(Phase::Draining);
    // Whoever has a view is still at work: the acceptor, each connection, each drain handler.
    let drained = phase.wait_unwatched().timeout(timer, PATIENCE).await;
    drain::account(clients, address, drained);
    Ok(())
}
