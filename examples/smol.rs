//! A TCP server that drains before it stops, on smol: `cargo run --example smol --features smol`.
//!
//! The server itself is in `drain/futures.rs`.

mod drain;
#[path = "drain/futures.rs"]
mod server;

use smol::net::{TcpListener, TcpStream};
use std::io;

fn spawn(task: impl Future<Output = io::Result<()>> + Send + 'static) {
    smol::spawn(task).detach();
}

fn main() -> io::Result<()> {
    smol::block_on(server::run(onlooker::Smol))
}
