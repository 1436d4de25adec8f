//! A TCP server that drains before it stops, on smol: `cargo run --example smol --features smol`.

mod drain;

use drain::{CLIENTS, ENOUGH, Link, Phase, Server, answer};
use futures_lite::{AsyncBufReadExt, AsyncWriteExt, StreamExt, future, io::BufReader};
use onlooker::{Smol, Watched};
use smol::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

static SERVER: Server = Server::new();

/// Accepts until the server drains. Dropping the listener then refuses whoever comes late.
async fn accept(listener: TcpListener) -> io::Result<()> {
    let mut drain = SERVER.phase.wait_for(Phase::Draining);
    loop {
        let accepted = future::or(async { Some(listener.accept().await) }, async {
            (&mut drain).await;
            None
        });
        let Some(accepted) = accepted.await else {
            return Ok(());
        };
        SERVER.open.update(|open| open + 1);
        smol::spawn(connection(accepted?.0)).detach();
    }
}

async fn connection(stream: TcpStream) -> io::Result<()> {
    let link = Watched::new(Link::Connected);
    // The drain handler, in a task of its own. It will look when the link is closed already.
    let mut watcher = link.watch();
    smol::spawn(async move {
        if watcher.wait_for(Link::Closing).await.is_ok() {
            SERVER.flushed.update(|flushed| flushed + 1);
        }
    })
    .detach();

    let mut writer = stream.clone();
    let mut requests = BufReader::new(stream).lines();
    let mut drain = Some(SERVER.phase.wait_for(Phase::Draining));
    let served = async {
        loop {
            let request = match &mut drain {
                None => requests.next().await,
                Some(wait) => {
                    let next = async { Some(requests.next().await) };
                    let bye = async {
                        wait.await;
                        None
                    };
                    let Some(request) = future::or(next, bye).await else {
                        // No new requests, please. Those on their way are answered all the same.
                        drain = None;
                        writer.write_all(b"bye\n").await?;
                        continue;
                    };
                    request
                }
            };
            let Some(request) = request else {
                return Ok(());
            };
            writer.write_all(answer(&request?).as_bytes()).await?;
            SERVER.answered.update(|answered| answered + 1);
        }
    };
    let served = served.await;
    SERVER.hang_up(&link);
    served
}

async fn client(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let mut writer = stream.clone();
    let mut lines = BufReader::new(stream).lines();
    let mut bye = false;
    let mut number = 0;
    while !bye {
        number += 1;
        writer.write_all(format!("{number}\n").as_bytes()).await?;
        SERVER.sent.fetch_add(1, SeqCst);
        while let Some(line) = lines.next().await {
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
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = smol::spawn(accept(listener));
        let clients: Vec<_> = (0..CLIENTS).map(|_| smol::spawn(client(address))).collect();

        SERVER.open.wait_until(|open| *open == CLIENTS).await;
        SERVER
            .answered
            .wait_until(|answered| *answered >= ENOUGH)
            .await;
        SERVER.phase.set(Phase::Draining);
        accepting.await?;
        let refused = TcpStream::connect(address).await.is_err();
        let drained = SERVER
            .open
            .wait_for(0)
            .timeout(Smol, Duration::from_secs(10))
            .await;
        let flushed = SERVER.flushed.wait_for(CLIENTS);
        let _ = flushed.timeout(Smol, Duration::from_secs(10)).await;
        SERVER.phase.set(Phase::Stopped);
        for client in clients {
            client.await?;
        }
        SERVER.account(drained, refused);
        Ok(())
    })
}
