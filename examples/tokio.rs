//! A TCP server that drains before it stops, on tokio: `cargo run --example tokio --features tokio`.

mod drain;

use drain::{CLIENTS, ENOUGH, Link, Phase, Server, answer};
use onlooker::{Tokio, Watched};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

static SERVER: Server = Server::new();

/// Accepts until the server drains. Dropping the listener then refuses whoever comes late.
async fn accept(listener: TcpListener) -> io::Result<()> {
    let mut drain = SERVER.phase.wait_for(Phase::Draining);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                SERVER.open.update(|open| open + 1);
                tokio::spawn(connection(accepted?.0));
            }
            _ = &mut drain => return Ok(()),
        }
    }
}

async fn connection(stream: TcpStream) -> io::Result<()> {
    let link = Watched::new(Link::Connected);
    // The drain handler, in a task of its own. It will look when the link is closed already.
    let mut watcher = link.watch();
    tokio::spawn(async move {
        if watcher.wait_for(Link::Closing).await.is_ok() {
            SERVER.flushed.update(|flushed| flushed + 1);
        }
    });

    let (reader, mut writer) = stream.into_split();
    let mut requests = BufReader::new(reader).lines();
    let mut drain = Some(SERVER.phase.wait_for(Phase::Draining));
    let served = async {
        loop {
            let request = match &mut drain {
                None => requests.next_line().await?,
                Some(wait) => tokio::select! {
                    request = requests.next_line() => request?,
                    _ = wait => {
                        // No new requests, please. Those on their way are answered all the same.
                        drain = None;
                        writer.write_all(b"bye\n").await?;
                        continue;
                    }
                },
            };
            let Some(request) = request else {
                return Ok(());
            };
            writer.write_all(answer(&request).as_bytes()).await?;
            SERVER.answered.update(|answered| answered + 1);
        }
    };
    let served = served.await;
    SERVER.hang_up(&link);
    served
}

async fn client(address: SocketAddr) -> io::Result<()> {
    let (reader, mut writer) = TcpStream::connect(address).await?.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut bye = false;
    let mut number = 0;
    while !bye {
        number += 1;
        writer.write_all(format!("{number}\n").as_bytes()).await?;
        SERVER.sent.fetch_add(1, SeqCst);
        while let Some(line) = lines.next_line().await? {
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

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(accept(listener));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(address)))
        .collect();

    SERVER.open.wait_until(|open| *open == CLIENTS).await;
    SERVER
        .answered
        .wait_until(|answered| *answered >= ENOUGH)
        .await;
    SERVER.phase.set(Phase::Draining);
    accepting.await??;
    let refused = TcpStream::connect(address).await.is_err();
    let drained = SERVER
        .open
        .wait_for(0)
        .timeout(Tokio, Duration::from_secs(10))
        .await;
    let flushed = SERVER.flushed.wait_for(CLIENTS);
    let _ = flushed.timeout(Tokio, Duration::from_secs(10)).await;
    SERVER.phase.set(Phase::Stopped);
    for client in clients {
        client.await??;
    }
    SERVER.account(drained, refused);
    Ok(())
}
