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
    assert_eq!(blocks, 7);
}

#[test]
fn every_link_of_the_readme_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = include_str!("../README.md");
    let mut links = 0;
    for link in readme.split("](").skip(1) {
        let link = link.split(')').next().unwrap();
        let file = link.split('#').next().unwrap();
        assert!(root.join(file).is_file(), "{link}");
        links += 1;
    }
    assert!(links > 0);
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

#[tokio::test]
#[rustfmt::skip]
async fn in_a_task() -> Result<(), Box<dyn Error>> {
    use onlooker::Watched;

    let state = Watched::new("open");
    let view = state.view();
    let closing = view.wait_for("closing");          // made before the task: nothing can come too early
    let drain = tokio::spawn(async move {
        closing.await?;                              // an error only if the state goes without ever having been that
        // flush, say goodbye …
        view.wait_for("closed").await
    });
    state.set("closing");
    state.set("closed");                             // in the same tick
    assert_eq!(drain.await?, Ok("closed"));
    Ok(())
}

#[tokio::test]
#[rustfmt::skip]
async fn a_server_that_drains() -> Result<(), Box<dyn Error>> {
    let shutdown = onlooker::Watched::new(false);
    for _connection in 0..3 {
        let stop = shutdown.view().wait_for(true);
        tokio::spawn(async move {
            let _ = stop.await;
            // finish what is in flight …
        });
    }
    shutdown.set(true);
    shutdown.wait_unwatched().timeout(onlooker::Tokio, SECOND).await?;
    Ok(())
}

#[tokio::test]
#[rustfmt::skip]
async fn several_states_in_one() -> Result<(), Box<dyn Error>> {
    let (link, login) = (onlooker::Watched::new("down"), onlooker::Watched::new(None));
    let ready = link.view().zip(&login.view()).wait_until(|(link, login)| *link == "up" && login.is_some());
    login.set(Some("alice"));
    link.set("up");
    link.set("down");
    assert_eq!(ready.await?, ("up", Some("alice")));
    Ok(())
}

#[test]
#[rustfmt::skip]
fn gone_and_back_again() -> Result<(), Box<dyn Error>> {
    let order = onlooker::Watched::with_history("placed", 100); // keeps the last hundred transitions
    order.set("paid");
    order.set("packed");
    order.set("sent");
    let mut back = order.watch_since(1)?;                        // else `Forgotten`, with the oldest version that works
    assert_eq!(*back.seen(), "paid");
    assert!(back.try_iter().map(|change| change.new).eq(["packed", "sent"]));
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Down,
    Up,
    Closing,
}

const SECOND: Duration = Duration::from_secs(1);

async fn ctrl_c() {}

fn log(_: Link, _: Link, _: u64, _: u64) {}

fn metrics(_: &onlooker::Transition<Link>) {}

#[tokio::test]
#[rustfmt::skip]
async fn all_of_it() -> Result<(), Box<dyn Error>> {
    static LINK: Watched<Link> = Watched::new(Link::Down);             // const: a static, an Arc, a field

    LINK.set(Link::Up);                                                // from any thread, never waits for a reader
    let _ = LINK.set_if(Link::Closing, |now| *now == Link::Down);      // atomic: set_if, update, try_update, modify
    LINK.wait_for(Link::Up).await;                                     // also _not, _some, _until, _map, _change, _next
    LINK.wait_for(Link::Up).timeout(Tokio, SECOND).await?;             // any runtime's timer
    let _ = LINK.wait_for(Link::Up).unless(ctrl_c()).await;            // any future as a deadline, which is not lost
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
