//! A TCP server that drains before it stops, on async-std: `cargo run --example async_std --features async-std`.
//!
//! The server itself is in `drain/futures.rs`.

mod drain;
#[path = "drain/futures.rs"]
mod server;

use async_std::net::{TcpListener, TcpStream};
use std::io;

fn spawn(task: impl Future<Output = io::Result<()>> + Send + 'static) {
    async_std::task::spawn(task);
}

fn main() -> io::Result<()> {
    async_std::task::block_on(server::run(onlooker::AsyncStd))
}
