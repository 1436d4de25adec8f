//! The problem that this crate is for: a connection goes through `closing` and `closed` in one tick, and a handler
//! that waits for `closing` must get its turn.

mod common;

use common::{Task, ready};
use futures_lite::future::block_on;
use onlooker::{Transition, Watched};
use smol::{Executor, LocalExecutor};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Disconnected,
    Connecting,
    Connected,
    Closing,
    Closed,
}

use Connection::{Closed, Closing, Connected, Connecting, Disconnected};

const LIFE: [Connection; 5] = [Disconnected, Connecting, Connected, Closing, Closed];

/// A waiter as a condition variable makes them: told that something changed, it looks at what is there now.
#[test]
fn a_condition_misses_closing_and_ours_does_not() {
    let (condition, ours) = (
        tokio::sync::watch::channel(Connected),
        Watched::new(Connected),
    );
    let (sender, mut receiver) = condition;
    let mut by_condition = Box::pin(receiver.wait_for(|now| *now == Closing));
    let mut by_ours = ours.wait_for(Closing);
    let (his, mine) = (Task::new(), Task::new());
    assert!(his.poll_pin(by_condition.as_mut()).is_pending());
    assert!(mine.poll(&mut by_ours).is_pending());

    // One tick: nobody runs between the two.
    for state in [Closing, Closed] {
        sender.send(state).unwrap();
        ours.set(state);
    }

    assert!(his.wakes() > 0, "woken, only to find that it is too late");
    assert!(his.poll_pin(by_condition.as_mut()).is_pending());
    assert_eq!(mine.wakes(), 1);
    assert_eq!(mine.poll(&mut by_ours), Poll::Ready(Closing));
    assert_eq!(ours.get(), Closed);
}

#[test]
fn the_drain_handler_runs_although_the_connection_is_closed_when_it_wakes() {
    let state = Rc::new(Watched::new(Disconnected));
    let log = Rc::new(RefCell::new(Vec::new()));
    let executor = LocalExecutor::new();

    let (watched, sink) = (state.clone(), log.clone());
    let drain = executor.spawn(async move {
        watched.wait_for(Closing).await;
        sink.borrow_mut().push("draining pending requests");
        watched.get()
    });
    let (watched, sink) = (state.clone(), log.clone());
    let connection = executor.spawn(async move {
        for next in &LIFE[1..] {
            watched.set(*next); // no await in between
        }
        sink.borrow_mut().push("connection gone");
    });

    let found = block_on(executor.run(async {
        connection.await;
        drain.await
    }));
    assert_eq!(found, Closed, "it woke when all was over");
    assert_eq!(
        *log.borrow(),
        ["connection gone", "draining pending requests"]
    );
}

#[test]
fn each_of_five_handlers_meets_its_own_state_in_one_tick() {
    let state = Watched::new(Disconnected);
    let mut handlers: Vec<_> = LIFE
        .iter()
        .map(|wanted| (state.wait_for(*wanted), Task::new(), *wanted))
        .collect();
    let mut gone = state.wait_for_not(Disconnected);
    for (wait, task, _) in &mut handlers {
        let _ = task.poll(wait).is_ready() && task.wakes() == 0;
    }
    drop(handlers.remove(0)); // disconnected: was so at the call
    for next in &LIFE[1..] {
        state.set(*next);
    }
    for (wait, task, wanted) in &mut handlers {
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.poll(wait), Poll::Ready(*wanted));
    }
    assert_eq!(common::poll(&mut gone), Poll::Ready(Connecting));
}

#[test]
fn a_watcher_sees_all_five_states_in_order() {
    let state = Watched::new(LIFE[0]);
    let mut watcher = state.watch();
    for next in &LIFE[1..] {
        state.set(*next);
    }
    drop(state);
    let mut seen = vec![*watcher.seen()];
    while let Ok(Transition { old, new, .. }) = ready(watcher.recv()) {
        assert_eq!(seen.last(), Some(&old));
        seen.push(new);
    }
    assert_eq!(seen, LIFE);
}

#[test]
fn a_handler_may_wait_for_one_state_after_the_other_and_lose_none() {
    let state = Watched::new(LIFE[0]);
    let mut watcher = state.watch();
    for next in &LIFE[1..] {
        state.set(*next);
    }
    for next in LIFE {
        assert_eq!(ready(watcher.wait_for(next)), Ok(next));
    }
}

#[test]
fn a_callback_drains_without_any_executor() {
    let (state, log) = (Watched::new(Connected), Arc::new(Mutex::new(Vec::new())));
    let sink = log.clone();
    state
        .on_value(Closing, move |now| sink.lock().unwrap().push(*now))
        .detach();
    state.set(Closing);
    state.set(Closed);
    assert_eq!(*log.lock().unwrap(), [Closing]);
}

#[test]
fn a_thread_that_drains_is_not_passed_by_either() {
    for _ in 0..200 {
        let state: &'static _ = common::leaked(Connected);
        let closing = state.wait_for(Closing);
        let drain = thread::spawn(move || closing.wait_timeout(Duration::from_secs(30)));
        state.set(Closing);
        state.set(Closed);
        assert_eq!(drain.join().unwrap(), Ok(Closing));
    }
}

#[test]
fn a_handler_on_a_busy_pool_of_threads_is_not_passed_by() {
    static STATE: Watched<Connection> = Watched::new(Connected);
    let executor = Executor::new();
    let handlers: Vec<_> = (0..50)
        .map(|_| {
            let closing = STATE.wait_for(Closing);
            executor.spawn(closing)
        })
        .collect();
    thread::scope(|scope| {
        let (stop, stopped) = async_channel::bounded::<()>(1);
        for _ in 0..2 {
            let (executor, stopped) = (&executor, stopped.clone());
            scope.spawn(move || {
                let _ = block_on(executor.run(stopped.recv()));
            });
        }
        STATE.set(Closing);
        STATE.set(Closed);
        for handler in handlers {
            assert_eq!(block_on(handler), Closing);
        }
        drop(stop);
    });
}

/// The channel starts at 1, a task sends 2 to 10, and whoever waits for an even value expects 2. A receiver that is
/// slow sees 3 instead, and then 4.
// openraft#2093
#[test]
fn a_wait_for_the_first_even_value_gets_two_and_never_four() {
    let state = Watched::new(1);
    let even = state.wait_until(|n| n % 2 == 0);
    let mut watcher = state.watch();
    for n in 2..=10 {
        state.set(n); // the slowest receiver there is: it does not run at all
    }
    assert_eq!(ready(even), 2);
    assert_eq!(ready(watcher.wait_until(|n| n % 2 == 0)), Ok(2));

    // What a watch channel shows the same receiver.
    let (sender, mut receiver) = tokio::sync::watch::channel(1);
    for n in 2..=10 {
        sender.send(n).unwrap();
    }
    assert_eq!(
        *ready(receiver.wait_for(|n| n % 2 == 0)).unwrap(),
        10,
        "the latest one"
    );
}

// The same with a setter that runs beside the receiver, on tokio, as it was reported.
#[test]
fn a_wait_for_the_first_even_value_gets_two_from_a_task_that_sends_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    for _ in 0..480 {
        let state = Arc::new(Watched::new(1));
        let even = state.wait_until(|n| n % 2 == 0);
        let sender = state.clone();
        let task = runtime.spawn(async move {
            for n in 2..=10 {
                sender.set(n);
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(runtime.block_on(even), 2);
        runtime.block_on(task).unwrap();
    }
}
