//! What `docs/ports.md` says of three crates that publish or pass on a state, shown on states of the same shape.

mod common;

use common::{pending, poll};
use futures_lite::StreamExt;
use onlooker::Watched;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Serving {
    Serving,
    NotServing,
}

use Serving::{NotServing, Serving as Up};

/// What a client of a health service is sent, who is looked after a moment after both changes.
#[test]
fn an_outage_between_two_polls_is_lost_to_a_watch_channel_and_not_to_ours() {
    let (sender, mut receiver) = watch::channel(Up);
    let ours = Watched::new(Up);
    receiver.borrow_and_update();
    let mut watched = ours.watch().values();
    assert_eq!(poll(&mut watched.next()), Poll::Ready(Some(Up)));
    for next in [NotServing, Up] {
        sender.send(next).unwrap();
        ours.set(next);
    }
    assert!(poll(&mut pin!(receiver.changed())).is_ready());
    assert_eq!(*receiver.borrow_and_update(), Up, "as if nothing had been");
    assert!(!receiver.has_changed().unwrap());
    assert_eq!(poll(&mut watched.next()), Poll::Ready(Some(NotServing)));
    assert_eq!(poll(&mut watched.next()), Poll::Ready(Some(Up)));
}

#[test]
fn the_same_status_once_more_is_sent_by_a_watch_channel_and_not_by_ours() {
    let (sender, mut receiver) = watch::channel(Up);
    let ours = Watched::new(Up);
    let mut watcher = ours.watch();
    sender.send(Up).unwrap();
    ours.set(Up);
    assert!(poll(&mut pin!(receiver.changed())).is_ready());
    assert!(watcher.try_recv().is_err());
}

/// The race that a shutdown helper has to keep its users from.
#[test]
fn who_subscribes_after_the_signal_never_hears_it_from_a_watch_channel_and_does_from_ours() {
    let (sender, _) = watch::channel(());
    let ours = Watched::new(false);
    sender.send_replace(());
    ours.set(true);
    let mut receiver = sender.subscribe();
    let mut late = ours.view().wait_for(true);
    assert!(pending(&mut pin!(receiver.changed())));
    assert_eq!(poll(&mut late), Poll::Ready(Ok(true)));
}

#[test]
fn a_value_that_is_held_holds_a_watch_channel_up_and_not_ours() {
    let (sender, receiver) = watch::channel(0);
    let ours = Watched::new(0);
    let (said, hears) = mpsc::channel();
    thread::scope(|scope| {
        let held = receiver.borrow();
        let ours_held = ours.view().get();
        let ours = &ours;
        let their_turn = said.clone();
        scope.spawn(move || {
            sender.send_replace(1);
            their_turn.send("theirs").unwrap();
        });
        scope.spawn(move || {
            ours.set(1);
            said.send("ours").unwrap();
        });
        assert_eq!(hears.recv(), Ok("ours"));
        assert!(hears.recv_timeout(Duration::from_millis(20)).is_err());
        assert_eq!((*held, ours_held), (0, 0));
        drop(held);
        assert_eq!(hears.recv(), Ok("theirs"));
    });
}

/// Children that are counted: one ends while another starts, before whoever waits for none is run.
#[test]
fn no_children_left_is_true_of_a_moment_and_asked_in_a_loop_of_now() {
    let children = Watched::new(1);
    let now = async {
        while children.get() > 0 {
            children.wait_for(0).await;
        }
    };
    let mut now = pin!(now);
    let mut once = children.wait_for(0);
    assert!(pending(&mut now));
    children.update(|n| n - 1);
    children.update(|n| n + 1);
    assert_eq!(poll(&mut once), Poll::Ready(0), "there was a moment");
    assert!(pending(&mut now), "there is a child");
    children.update(|n| n - 1);
    assert!(poll(&mut now).is_ready());
}
