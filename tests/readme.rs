//! The README's code, run. Each of its Rust blocks stands here word for word.

#![allow(unused_qualifications, clippy::redundant_closure)] // it is the README that decides

use onlooker::{Overflow, Tokio, Watched};
use std::error::Error;
use std::time::Duration;

#[test]
fn every_block_of_the_readme_stands_in_this_file() {
    let lines = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let here = lines(include_str!("readme.rs"));
    let mut blocks = 0;
    for block in include_str!("../README.md").split("```rust\n").skip(1) {
        let block = lines(block.split("```").next().unwrap());
        let stands = here.windows(block.len()).any(|part| part == block);
        assert!(stands, "not in tests/readme.rs: {block:#?}");
        blocks += 1;
    }
    assert_eq!(blocks, 4);
}

#[tokio::test]
#[rustfmt::skip]
async fn the_problem() -> Result<(), Box<dyn Error>> {
    let (tx, mut rx) = tokio::sync::watch::channel("open");
    let drain = async move {
        rx.wait_for(|state| *state == "closing").await.is_ok()
    };
    tx.send("closing")?;
    tx.send("closed")?;
    // `drain` is shown the present value only: it never ends.
    assert!(futures_lite::future::poll_once(drain).await.is_none());
    Ok(())
}

#[tokio::test]
#[rustfmt::skip]
async fn the_answer() {
    let state = onlooker::Watched::new("open");
    let closing = state.wait_for("closing"); // registered here, not at the first poll
    state.set("closing");
    state.set("closed");
    assert_eq!(closing.await, "closing");    // decided where it happened, kept until asked for
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Down,
    Up,
    Closing,
}

const SECOND: Duration = Duration::from_secs(1);

fn log(_: Link, _: Link, _: u64, _: u64) {}

fn metrics(_: &onlooker::Transition<Link>) {}

#[tokio::test]
#[rustfmt::skip]
async fn what_you_get() -> Result<(), Box<dyn Error>> {
    static LINK: Watched<Link> = Watched::new(Link::Down);             // const: a static, an Arc, a field

    LINK.set(Link::Up);                                                // from any thread, never waits for a reader
    let _ = LINK.set_if(Link::Closing, |now| *now == Link::Down);      // atomic: set_if, update, try_update, modify
    LINK.wait_for(Link::Up).await;                                     // also _not, _some, _until, _map, _change, _next
    LINK.wait_for(Link::Up).timeout(Tokio, SECOND).await?;             // any runtime's timer, any future as a deadline
    LINK.wait_for(Link::Up).wait();                                    // a plain thread

    let mut watcher = LINK.watch();                                    // every transition, in order, none missed
    let mut recent = LINK.watch_bounded(16, Overflow::DropOldest);     // or bounded; what is lost is counted
    let _guard = LINK.on_change(|change| metrics(change));             // no executor needed
    LINK.set(Link::Closing);
    let change = watcher.recv().await?;                                // a Stream too; ends after the last value
    log(change.old, change.new, change.seq, change.missed);

    assert_eq!(recent.try_recv()?.new, Link::Closing);
    Ok(())
}

#[tokio::test]
#[rustfmt::skip]
async fn a_drain_handler() {
    use onlooker::Watched;
    use std::sync::Arc;

    #[derive(Clone, Debug, PartialEq)]
    enum Link { Up, Closing, Down }

    let link = Arc::new(Watched::new(Link::Up));
    let handler = tokio::spawn({
        let mut watcher = link.watch();          // before anything can happen
        async move {
            watcher.wait_for(Link::Closing).await?;
            // flush, say goodbye …
            watcher.wait_for(Link::Down).await
        }
    });
    link.set(Link::Closing);
    link.set(Link::Down);                        // in the same tick: nothing is lost in between
    assert_eq!(handler.await.unwrap(), Ok(Link::Down));
}
