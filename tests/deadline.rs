//! Deadlines: any future, any runtime's sleep, and the clock of a plain thread.

mod common;

use common::{Gate, Task, leaked, ready};
use onlooker::{Closed, Overflow, RecvTimeoutError, TimedOut, TryRecvError, Watched};
use std::cell::Cell;
use std::future::{Future, ready as at_once};
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any run of these tests; reached only when something was lost.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn until_ends_with_whichever_comes_first() {
    let (state, gate, task) = (Watched::new(0), Gate::new(), Task::new());
    let mut late = pin!(state.wait_for(1).until(gate.clone()));
    assert!(task.poll_pin(late.as_mut()).is_pending());
    gate.open();
    assert_eq!(task.wakes(), 1, "the deadline wakes the task");
    assert_eq!(task.poll_pin(late), Poll::Ready(Err(TimedOut)));

    let (gate, task) = (Gate::new(), Task::new());
    let mut early = pin!(state.wait_for(2).until(gate.clone()));
    assert!(task.poll_pin(early.as_mut()).is_pending());
    state.set(2);
    assert_eq!(task.wakes(), 1, "the match wakes the task");
    assert_eq!(task.poll_pin(early), Poll::Ready(Ok(2)));
}

#[test]
fn a_match_wins_a_tie_in_every_kind_of_wait() {
    let state = Watched::new(None);
    let waits = [state.wait_for(Some(1)), state.wait_until(Option::is_some)];
    let some = state.wait_for_some();
    let mut watcher = state.watch();
    state.set(Some(1));
    state.set(None);
    for wait in waits {
        assert_eq!(ready(wait.until(at_once(()))), Ok(Some(1)));
    }
    assert_eq!(ready(some.until(at_once(()))), Ok(1));
    let received = ready(watcher.recv().until(at_once(()))).unwrap().unwrap();
    assert_eq!(received.new, Some(1));
    assert_eq!(
        ready(watcher.wait_for(None).until(at_once(()))),
        Ok(Ok(None))
    );

    // Also where both come between two polls.
    let (gate, task) = (Gate::new(), Task::new());
    let mut wait = pin!(state.wait_for(Some(3)).until(gate.clone()));
    assert!(task.poll_pin(wait.as_mut()).is_pending());
    gate.open();
    state.set(Some(3));
    state.set(None);
    assert_eq!(task.poll_pin(wait), Poll::Ready(Ok(Some(3))));
}

#[test]
fn a_deadline_that_is_there_first_is_reported_by_every_kind() {
    let state = Watched::new(Some(0));
    assert_eq!(
        ready(state.wait_for(None).until(at_once(()))),
        Err(TimedOut)
    );
    assert_eq!(
        ready(state.wait_for_change().until(at_once(()))),
        Err(TimedOut)
    );
    assert_eq!(
        ready(state.wait_until_next(|_| true).until(at_once(()))),
        Err(TimedOut)
    );
    let mut watcher = state.watch();
    assert_eq!(ready(watcher.recv().until(at_once(()))), Err(TimedOut));
    assert_eq!(
        ready(watcher.wait_for(None).until(at_once(()))),
        Err(TimedOut)
    );
    assert_eq!(
        ready(
            watcher
                .wait_map(|_| None::<u8>)
                .timeout(|_| at_once(()), LONG)
        ),
        Err(TimedOut)
    );
}

#[test]
fn a_watcher_whose_wait_timed_out_goes_on_where_it_was() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    (1..=3).for_each(|n| _ = state.replace(n));
    assert_eq!(
        ready(watcher.wait_for(9).until(at_once(()))),
        Err(TimedOut),
        "looked at all three"
    );
    assert_eq!(*watcher.seen(), 3);
    state.set(4);
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.old, change.new), (3, 4));
    assert_eq!(ready(watcher.recv().until(at_once(()))), Err(TimedOut));
    state.set(5);
    assert_eq!(watcher.try_recv().unwrap().new, 5);
}

#[test]
fn the_end_of_the_state_is_told_from_a_time_out() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    drop(state);
    assert_eq!(
        ready(watcher.recv().until(at_once(()))).map(|end| end.map(|change| change.new)),
        Ok(Err(Closed))
    );
    assert_eq!(
        ready(watcher.wait_for(1).until(at_once(()))),
        Ok(Err(Closed))
    );
}

#[test]
fn a_closure_is_a_timer_and_gets_the_duration_as_it_is() {
    let state = Watched::new(0);
    let asked = Cell::new(None);
    let timer = |after: Duration| {
        asked.set(Some(after));
        at_once(())
    };
    let mut watcher = state.watch();
    for after in [Duration::ZERO, Duration::from_nanos(1), LONG, Duration::MAX] {
        assert_eq!(
            ready(state.wait_for(1).timeout(timer, after)),
            Err(TimedOut)
        );
        assert_eq!(asked.take(), Some(after));
        assert_eq!(ready(watcher.recv().timeout(timer, after)), Err(TimedOut));
        assert_eq!(asked.take(), Some(after));
        assert_eq!(
            ready(watcher.wait_for_next(1).timeout(timer, after)),
            Err(TimedOut)
        );
        assert_eq!(asked.take(), Some(after));
    }
}

#[test]
fn a_function_item_is_a_timer_too_and_any_output_will_do() {
    async fn nap(_: Duration) -> &'static str {
        "slept"
    }
    let state = Watched::new(0);
    assert_eq!(ready(state.wait_for(1).timeout(nap, LONG)), Err(TimedOut));
    assert_eq!(ready(state.wait_for(0).timeout(nap, LONG)), Ok(0));
}

#[test]
fn another_states_wait_is_a_deadline() {
    let (state, shutdown, task) = (Watched::new(0), Watched::new(false), Task::new());
    let mut wait = pin!(state.wait_for(1).until(shutdown.wait_for(true)));
    assert!(task.poll_pin(wait.as_mut()).is_pending());
    shutdown.set(true);
    shutdown.set(false);
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll_pin(wait), Poll::Ready(Err(TimedOut)));
}

#[test]
fn a_noisy_state_does_not_poll_the_deadline() {
    let (state, gate, task) = (Watched::new(0), Gate::new(), Task::new());
    let mut wait = pin!(state.wait_for(1).until(gate.clone()));
    assert!(task.poll_pin(wait.as_mut()).is_pending());
    (2..1_000).for_each(|n| _ = state.replace(n));
    assert_eq!((task.wakes(), gate.polls()), (0, 1));
}

#[test]
fn dropping_what_waits_until_a_deadline_lets_go_of_both() {
    let (state, gate, task) = (Watched::new(0), Gate::new(), Task::new());
    {
        let mut wait = pin!(state.wait_for(1).until(gate.clone()));
        assert!(task.poll_pin(wait.as_mut()).is_pending());
        assert_eq!(task.kept(), 2);
    }
    gate.open(); // its one waker, ours
    assert_eq!(task.kept(), 0);
    let wakes = task.wakes();
    state.set(1);
    assert_eq!(task.wakes(), wakes);
}

// Plain threads

#[test]
fn wait_returns_what_is_there_and_what_comes() {
    let state = leaked(0);
    assert_eq!(state.wait_for(0).wait(), 0);
    let wait = state.wait_until(|n| *n > 10);
    let (asleep, begun) = mpsc::channel();
    let waiter = thread::spawn(move || {
        asleep.send(()).unwrap();
        wait.wait()
    });
    begun.recv().unwrap();
    state.set(5);
    state.set(11);
    state.set(0);
    assert_eq!(waiter.join().unwrap(), 11);
}

#[test]
fn a_thread_wakes_for_its_match_wherever_the_setter_is() {
    // Ping, pong: each side sleeps until the other has set.
    let state = leaked(0_u32);
    let other = thread::spawn(move || {
        for n in (1..2_000).step_by(2) {
            state.wait_for(n).wait_timeout(LONG).unwrap();
            state.set(n + 1);
        }
    });
    for n in (0..2_000).step_by(2) {
        state.wait_for(n).wait_timeout(LONG).unwrap();
        if n + 1 < 2_000 {
            state.set(n + 1);
        }
    }
    other.join().unwrap();
}

#[test]
fn a_zero_duration_takes_what_is_there_and_waits_for_nothing() {
    let state = Watched::new(0);
    assert_eq!(state.wait_for(0).wait_timeout(Duration::ZERO), Ok(0));
    assert_eq!(
        state.wait_for(1).wait_timeout(Duration::ZERO),
        Err(TimedOut)
    );
    let passed = state.wait_for(1);
    state.set(1);
    state.set(2);
    assert_eq!(passed.wait_timeout(Duration::ZERO), Ok(1));

    let mut watcher = state.watch();
    assert_eq!(
        watcher.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::TimedOut)
    );
    state.set(3);
    assert_eq!(watcher.recv_timeout(Duration::ZERO).unwrap().new, 3);
    state.set(4);
    drop(state);
    assert_eq!(watcher.recv_timeout(Duration::ZERO).unwrap().new, 4);
    assert_eq!(
        watcher.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Closed)
    );
}

#[test]
fn a_maximal_duration_is_for_ever_and_neither_panics_nor_ends_at_once() {
    let state = leaked(0);
    assert_eq!(state.wait_for(0).wait_timeout(Duration::MAX), Ok(0));
    let mut watcher = state.watch();
    let wait = state.wait_for(1);
    let (begun, begin) = mpsc::channel();
    let also = begun.clone();
    let waiter = thread::spawn(move || {
        also.send(()).unwrap();
        wait.wait_timeout(Duration::MAX)
    });
    let receiver = thread::spawn(move || {
        begun.send(()).unwrap();
        watcher.recv_timeout(Duration::MAX).unwrap().new
    });
    begin.recv().unwrap();
    begin.recv().unwrap();
    for _ in 0..1_000 {
        thread::yield_now();
    }
    assert!(!waiter.is_finished() && !receiver.is_finished());
    state.set(1);
    assert_eq!(waiter.join().unwrap(), Ok(1));
    assert_eq!(receiver.join().unwrap(), 1);
}

#[test]
fn a_deadline_in_the_past_still_takes_what_is_there() {
    let state = Watched::new(0);
    let past = Instant::now();
    assert_eq!(state.wait_for(1).wait_deadline(past), Err(TimedOut));
    assert_eq!(state.wait_for(0).wait_deadline(past), Ok(0));
    let passed = state.wait_for_change();
    state.set(1);
    assert_eq!(passed.wait_deadline(past).map(|change| change.new), Ok(1));
}

#[test]
fn a_time_out_is_never_early() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let brief = Duration::from_millis(20);
    // A token left behind by somebody else's unpark must not end the sleep.
    thread::current().unpark();
    let start = Instant::now();
    assert_eq!(state.wait_for(1).wait_timeout(brief), Err(TimedOut));
    assert!(start.elapsed() >= brief);
    thread::current().unpark();
    let start = Instant::now();
    assert_eq!(
        state.wait_for(1).wait_deadline(start + brief),
        Err(TimedOut)
    );
    assert!(start.elapsed() >= brief);
    thread::current().unpark();
    let start = Instant::now();
    assert_eq!(watcher.recv_timeout(brief), Err(RecvTimeoutError::TimedOut));
    assert!(start.elapsed() >= brief);
}

#[test]
fn after_a_time_out_nothing_is_lost_and_nothing_is_left() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let brief = Duration::from_millis(1);
    assert!(watcher.recv_timeout(brief).is_err());
    assert!(state.wait_for(1).wait_timeout(brief).is_err());
    assert!(state.wait_until(|n| *n == 1).wait_timeout(brief).is_err());
    assert!(format!("{state:?}").contains("waits: 0"));
    state.set(1);
    state.set(2);
    assert_eq!(watcher.recv_timeout(brief).unwrap().new, 1);
    assert_eq!(watcher.recv_blocking().unwrap().new, 2);
}

#[test]
fn recv_blocking_receives_every_transition_of_another_thread_and_then_the_end() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let receiver = thread::spawn(move || {
        let mut all = Vec::new();
        while let Ok(change) = watcher.recv_blocking() {
            assert_eq!(change.missed, 0);
            all.push(change.new);
        }
        (all, watcher.recv_blocking())
    });
    for n in 1..=5_000 {
        state.set(n);
    }
    drop(state);
    let (all, end) = receiver.join().unwrap();
    assert_eq!(all, (1..=5_000).collect::<Vec<_>>());
    assert_eq!(end, Err(Closed));
}

#[test]
fn recv_timeout_receives_every_transition_of_another_thread_and_then_the_end() {
    let state = Watched::new(0);
    let mut watcher = state.watch_bounded(10_000, Overflow::DropNewest);
    let receiver = thread::spawn(move || {
        let (mut next, mut patience) = (1, 30_000);
        loop {
            match watcher.recv_timeout(Duration::from_millis(1)) {
                Ok(change) => {
                    assert_eq!((change.new, change.missed), (next, 0));
                    next += 1;
                }
                Err(RecvTimeoutError::TimedOut) => patience -= 1,
                Err(RecvTimeoutError::Closed) => return next,
            }
            assert!(patience > 0, "neither a transition nor the end");
        }
    });
    for n in 1..=5_000 {
        state.set(n);
        if n % 64 == 0 {
            thread::yield_now();
        }
    }
    drop(state);
    assert_eq!(receiver.join().unwrap(), 5_001);
}

#[test]
fn the_drop_of_the_state_wakes_a_thread_that_receives() {
    for timed in [false, true] {
        let state = Watched::new(0);
        let mut watcher = state.watch();
        let (asleep, begun) = mpsc::channel();
        let receiver = thread::spawn(move || {
            asleep.send(()).unwrap();
            if timed {
                watcher.recv_timeout(Duration::MAX) == Err(RecvTimeoutError::Closed)
            } else {
                watcher.recv_blocking() == Err(Closed)
            }
        });
        begun.recv().unwrap();
        for _ in 0..100 {
            thread::yield_now();
        }
        drop(state);
        assert!(receiver.join().unwrap());
    }
}

/// Nanoseconds this thread has been running on a processor.
#[cfg(target_os = "linux")]
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(target_os = "linux")]
#[test]
fn a_timed_wait_sleeps_and_does_not_spin() {
    // event-listener 4.0.2
    let state = Watched::new(0);
    let mut watcher = state.watch();
    let after = Duration::from_millis(300);
    let Some(before) = processor_time() else {
        return;
    };
    thread::current().unpark(); // one needless wake-up, for good measure
    assert_eq!(state.wait_for(1).wait_timeout(after), Err(TimedOut));
    assert_eq!(
        state.wait_until(|n| *n == 1).wait_timeout(after),
        Err(TimedOut)
    );
    assert_eq!(watcher.recv_timeout(after), Err(RecvTimeoutError::TimedOut));
    let used = processor_time().unwrap() - before;
    assert!(
        used < after / 3,
        "slept three times {after:?}, used {used:?}"
    );
}

// Errors

#[test]
fn every_error_says_in_a_log_what_happened() {
    let errors: [(Box<dyn std::error::Error + Send + Sync>, &str); 6] = [
        (Box::new(Closed), "gone"),
        (Box::new(TryRecvError::Closed), "gone"),
        (Box::new(TryRecvError::Empty), "no transition"),
        (Box::new(TimedOut), "timed out"),
        (Box::new(RecvTimeoutError::TimedOut), "timed out"),
        (Box::new(RecvTimeoutError::Closed), "gone"),
    ];
    for (error, part) in errors {
        let said = error.to_string();
        assert!(said.contains(part) && said.contains("watched"), "{said}");
    }
}

// A future that insists on staying where it is may be a deadline as well.
#[test]
fn a_deadline_that_must_not_move_is_pinned_along() {
    let (state, gate, task) = (Watched::new(0), Gate::new(), Task::new());
    let inner = gate.clone();
    let mut wait = Box::pin(state.wait_for(1).until(async move {
        let pinned = [0_u8; 16];
        inner.await;
        assert_eq!(pinned.iter().map(|n| u32::from(*n)).sum::<u32>(), 0);
    }));
    assert!(task.poll_pin(wait.as_mut()).is_pending());
    gate.open();
    let waker = Waker::noop();
    assert_eq!(
        wait.as_mut().poll(&mut Context::from_waker(waker)),
        Poll::Ready(Err(TimedOut))
    );
}
