//! What the README's table says of others, and of this crate: each cell that running can show.

mod common;

use common::{Task, pending, poll};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use futures_signals::map_ref;
use futures_signals::signal::{Mutable, SignalExt};
use onlooker::{Overflow, Watched};
use std::pin::pin;
use std::task::Poll;
use tokio::sync::{broadcast, watch};

// onlooker

#[test]
fn onlooker_sees_what_has_passed() {
    let state = Watched::new("open");
    let mut closing = state.wait_for("closing");
    state.set("closing");
    state.set("closed");
    assert_eq!(poll(&mut closing), Poll::Ready("closing"));
}

#[test]
fn onlooker_wakes_only_who_matches() {
    let state = Watched::new(0);
    let (task, mut wait) = (Task::new(), state.wait_for(9));
    assert!(task.poll(&mut wait).is_pending());
    (1..9).for_each(|value| assert!(state.set(value)));
    assert_eq!(task.wakes(), 0);
    state.set(9);
    assert_eq!(task.wakes(), 1);
}

#[test]
fn onlooker_shows_every_value_in_order_and_counts_what_a_bound_lost() {
    let state = Watched::new(0);
    let (mut all, mut some) = (state.watch(), state.watch_bounded(2, Overflow::DropOldest));
    (1..=5).for_each(|value| assert!(state.set(value)));
    let mut received = std::iter::from_fn(|| all.try_recv().ok());
    assert!(received.by_ref().map(|change| change.new).eq(1..=5));
    let first = some.try_recv().unwrap();
    assert_eq!((first.new, first.missed), (4, 3));
}

#[test]
fn onlooker_needs_no_executor() {
    static STATE: Watched<u32> = Watched::new(0);
    static CALLED: Watched<u32> = Watched::new(0);
    let _callback = STATE.on_change(|change| assert!(CALLED.set(change.new)));
    let setter = std::thread::spawn(|| STATE.set(1));
    assert_eq!(STATE.wait_for(1).wait(), 1);
    assert!(setter.join().unwrap());
    assert_eq!(CALLED.get(), 1);
}

#[test]
fn onlooker_shows_every_pair_of_two_states_once() {
    let (a, b) = (Watched::new(0), Watched::new(0));
    let mut pairs = a.view().zip(&b.view()).watch();
    a.set(1);
    b.set(1);
    a.set(2);
    let pairs = pairs.try_iter().map(|change| change.new);
    assert!(pairs.eq([(1, 0), (1, 1), (2, 1)]));
}

#[test]
fn onlooker_goes_on_from_a_version_or_says_that_it_is_forgotten() {
    let state = Watched::with_history(0, 3);
    (1..=5).for_each(|value| assert!(state.set(value)));
    let mut back = state.watch_since(3).unwrap();
    assert!(back.try_iter().map(|change| change.new).eq([4, 5]));
    assert_eq!(state.watch_since(1).unwrap_err().oldest, Some(2));
}

#[test]
fn onlooker_waits_until_nobody_looks() {
    let state = Watched::new(0);
    let (view, mut nobody) = (state.view(), state.wait_unwatched());
    assert!(poll(&mut nobody).is_pending());
    drop(view);
    assert!(poll(&mut nobody).is_ready());
}

#[test]
fn onlooker_says_who_waits() {
    let state = Watched::new(0);
    let _wait = state.wait_for(1);
    assert_eq!(state.inspect().observers[0].what, "wait_for");
}

// tokio::sync::watch

#[test]
fn tokio_watch_waits_until_nobody_looks() {
    let (sender, receiver) = watch::channel(0);
    let mut nobody = pin!(sender.closed());
    assert!(pending(&mut nobody));
    drop(receiver);
    assert!(poll(&mut nobody).is_ready());
}

#[test]
fn tokio_watch_does_not_see_what_has_passed() {
    let (sender, mut receiver) = watch::channel("open");
    let mut closing = pin!(receiver.wait_for(|state| *state == "closing"));
    assert!(pending(&mut closing));
    sender.send("closing").unwrap();
    sender.send("closed").unwrap();
    assert!(pending(&mut closing));
}

#[test]
fn tokio_watch_shows_the_latest_value_only_and_says_nothing_of_the_others() {
    let (sender, mut receiver) = watch::channel(0);
    (1..=5).for_each(|value| sender.send(value).unwrap());
    assert!(receiver.has_changed().unwrap());
    assert_eq!(*receiver.borrow_and_update(), 5);
    assert!(!receiver.has_changed().unwrap());
}

#[test]
fn tokio_watch_wakes_every_waiter_at_every_set() {
    let (sender, mut receiver) = watch::channel(0);
    let task = Task::new();
    let mut wait = pin!(receiver.wait_for(|value| *value == 9));
    for value in 1..9 {
        assert!(task.poll_pin(wait.as_mut()).is_pending());
        sender.send(value).unwrap();
    }
    assert_eq!(task.wakes(), 8);
}

// Channels

#[test]
fn tokio_broadcast_has_every_value_until_it_lags_which_is_an_error() {
    let (sender, mut receiver) = broadcast::channel(2);
    (1..=4).for_each(|value| drop(sender.send(value)));
    let lagged = broadcast::error::TryRecvError::Lagged(2);
    assert_eq!(receiver.try_recv(), Err(lagged));
    assert_eq!(receiver.try_recv(), Ok(3));
    // Blocking: `blocking_recv`.
    assert_eq!(receiver.blocking_recv(), Ok(4));
}

#[test]
fn tokio_broadcast_waits_until_nobody_looks() {
    let (sender, receiver) = broadcast::channel::<i32>(2);
    let mut nobody = pin!(sender.closed());
    assert!(pending(&mut nobody));
    drop(receiver);
    assert!(poll(&mut nobody).is_ready());
}

#[test]
fn async_broadcast_gives_its_receivers_the_right_to_send() {
    let (_sender, mut receiver) = async_broadcast::broadcast(2);
    receiver.new_sender().try_broadcast(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn async_broadcast_reports_an_overflow_as_an_error_or_holds_its_senders_up() {
    let (mut sender, mut receiver) = async_broadcast::broadcast(2);
    sender.try_broadcast(1).unwrap();
    sender.try_broadcast(2).unwrap();
    assert!(sender.try_broadcast(3).unwrap_err().is_full());
    sender.set_overflow(true);
    sender.try_broadcast(3).unwrap();
    let overflowed = async_broadcast::TryRecvError::Overflowed(1);
    assert_eq!(receiver.try_recv(), Err(overflowed));
    assert_eq!(receiver.recv_blocking(), Ok(2));
}

// Observables

#[test]
fn eyeball_shows_the_latest_value_only() {
    let mut state = eyeball::Observable::new("open");
    let mut subscriber = eyeball::Observable::subscribe(&state);
    eyeball::Observable::set(&mut state, "closing");
    eyeball::Observable::set(&mut state, "closed");
    let mut next = pin!(subscriber.next());
    assert_eq!(poll(&mut next), Poll::Ready(Some("closed")));
}

#[test]
fn futures_signals_show_the_latest_value_only_and_wake_every_waiter() {
    let state = Mutable::new("open");
    let task = Task::new();
    let mut closing = state.signal().wait_for("closing");
    assert!(task.poll(&mut closing).is_pending());
    state.set("busy");
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut closing).is_pending());
    state.set("closing");
    state.set("closed");
    assert!(task.poll(&mut closing).is_pending());
    assert_eq!(task.wakes(), 2);
}

#[test]
fn futures_signals_show_the_latest_pair_only() {
    let (a, b) = (Mutable::new(0), Mutable::new(0));
    let pairs = map_ref! {
        let a = a.signal(),
        let b = b.signal() =>
        (*a, *b)
    };
    let mut pairs = pin!(pairs.to_stream());
    a.set(1);
    b.set(1);
    a.set(2);
    let next = futures_lite::StreamExt::next(&mut pairs);
    assert_eq!(poll(&mut pin!(next)), Poll::Ready(Some((2, 1))));
    let next = futures_lite::StreamExt::next(&mut pairs);
    assert!(pending(&mut pin!(next)));
    assert_eq!(a.read_only().get(), 2);
}

// embassy-sync

#[test]
fn embassy_watch_does_not_see_what_has_passed() {
    let state = embassy_sync::watch::Watch::<NoopRawMutex, _, 1>::new_with("open");
    let mut receiver = state.receiver().unwrap();
    // As many receivers as its type says.
    assert!(state.receiver().is_none());
    let task = Task::new();
    let mut closing = pin!(receiver.changed_and(|state| *state == "closing"));
    assert!(task.poll_pin(closing.as_mut()).is_pending());
    state.sender().send("closing");
    state.sender().send("closed");
    assert!(task.poll_pin(closing.as_mut()).is_pending());
    assert_eq!(task.wakes(), 1, "woken by what does not match");
}
