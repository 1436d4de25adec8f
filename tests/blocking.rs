//! Plain threads: every future of the crate has its blocking forms, asleep until there is something, or until a clock says
//! that it is enough.

mod common;

use common::{in_time, leaked, observers};
use onlooker::{Closed, Overflow, TimedOut, WaitError, Watched};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any run of these tests; reached only when something was lost.
const LONG: Duration = Duration::from_secs(30);

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
        Err(WaitError::TimedOut)
    );
    state.set(3);
    assert_eq!(watcher.recv_timeout(Duration::ZERO).unwrap().new, 3);
    state.set(4);
    drop(state);
    assert_eq!(watcher.recv_timeout(Duration::ZERO).unwrap().new, 4);
    assert_eq!(watcher.recv_timeout(Duration::ZERO), Err(WaitError::Closed));
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
    assert_eq!(watcher.recv_timeout(brief), Err(WaitError::TimedOut));
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
    assert_eq!(observers(&state), 1, "the watcher is left, no wait");
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
                Err(WaitError::TimedOut) => patience -= 1,
                Err(WaitError::Closed) => return next,
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
                watcher.recv_timeout(Duration::MAX) == Err(WaitError::Closed)
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
    assert_eq!(watcher.recv_timeout(after), Err(WaitError::TimedOut));
    let used = processor_time().unwrap() - before;
    assert!(
        used < after / 3,
        "slept three times {after:?}, used {used:?}"
    );
}

// Every future

#[test]
fn every_future_waits_on_a_plain_thread_in_all_three_ways() {
    let past = Instant::now();
    let long = || Instant::now() + LONG;
    let state = Watched::new(0);
    let view = state.view();
    assert_eq!(state.wait_for(0).wait(), 0);
    assert_eq!(state.wait_until(|n| *n == 0).wait_timeout(LONG), Ok(0));
    assert_eq!(state.wait_map(|n| Some(*n)).wait_deadline(long()), Ok(0));
    assert_eq!(view.wait_for(0).wait(), Ok(0));
    assert_eq!(view.wait_until(|n| *n == 0).wait_timeout(LONG), Ok(0));
    assert_eq!(view.wait_map(|n| Some(*n)).wait_deadline(long()), Ok(0));
    let mut watcher = state.watch_bounded(3, Overflow::DropNewest);
    assert!(state.set_paced(1).wait());
    assert_eq!(state.set_paced(2).wait_timeout(LONG), Ok(true));
    assert_eq!(state.set_paced(3).wait_deadline(long()), Ok(true));
    // Full.
    assert_eq!(
        state.set_paced(4).wait_timeout(Duration::ZERO),
        Err(TimedOut)
    );
    assert_eq!(state.set_paced(4).wait_deadline(past), Err(TimedOut));
    assert_eq!(watcher.recv().wait().map(|change| change.new), Ok(1));
    assert_eq!(
        watcher.recv().wait_timeout(LONG).map(|change| change.new),
        Ok(2)
    );
    assert_eq!(
        watcher.recv().wait_deadline(past).map(|change| change.new),
        Ok(3)
    );
    assert_eq!(watcher.wait_for(3).wait(), Ok(3));
    assert_eq!(watcher.wait_for_not(0).wait_timeout(LONG), Ok(3));
    assert_eq!(watcher.wait_map(|n| Some(n + 1)).wait_deadline(past), Ok(4));

    let late = Err(WaitError::TimedOut);
    assert_eq!(view.wait_for(9).wait_timeout(Duration::ZERO), late);
    assert_eq!(view.wait_for(9).wait_deadline(past), late);
    assert_eq!(watcher.recv().wait_timeout(Duration::ZERO).map(|_| 0), late);
    assert_eq!(watcher.recv().wait_deadline(past).map(|_| 0), late);
    assert_eq!(watcher.wait_for_next(9).wait_timeout(Duration::ZERO), late);
    assert_eq!(watcher.wait_until(|n| *n == 9).wait_deadline(past), late);

    let pending = [
        view.wait_for(9),
        view.wait_for_next(9),
        view.wait_until(|n| *n == 9),
    ];
    drop(state);
    let over = Err(WaitError::Closed);
    let [one, two, three] = pending;
    assert_eq!(one.wait(), Err(Closed));
    assert_eq!(two.wait_timeout(Duration::ZERO), over);
    assert_eq!(three.wait_deadline(past), over);
    assert_eq!(watcher.recv().wait().map(|_| 0), Err(Closed));
    assert_eq!(watcher.recv().wait_timeout(Duration::ZERO).map(|_| 0), over);
    assert_eq!(watcher.wait_for(9).wait_deadline(past), over);
}

#[test]
fn a_paced_setter_on_a_plain_thread_sleeps_until_there_is_room() {
    in_time(|| {
        let state = leaked(0);
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        let setter = thread::spawn(move || {
            for n in 1..=1_000 {
                assert!(state.set_paced(n).wait());
            }
        });
        for n in 1..=1_000 {
            let change = watcher.recv_blocking().unwrap();
            assert_eq!((change.new, change.missed), (n, 0));
        }
        setter.join().unwrap();
    });
}

#[test]
fn iter_blocks_until_the_end_and_try_iter_ends_when_it_is_empty() {
    in_time(|| {
        let state = Watched::new(0);
        let mut watcher = state.watch();
        assert_eq!(watcher.try_iter().count(), 0);
        state.set(1);
        state.set(2);
        assert!(watcher.try_iter().map(|change| change.new).eq([1, 2]));
        assert_eq!((watcher.try_iter().next(), *watcher.seen()), (None, 2));
        let reader = thread::spawn(move || {
            let received: Vec<_> = watcher
                .iter()
                .map(|change| (change.old, change.new))
                .collect();
            (received, watcher.iter().next(), watcher.try_iter().next())
        });
        for n in 3..=100 {
            state.set(n);
        }
        drop(state);
        let (received, after, tried) = reader.join().unwrap();
        assert!(received.into_iter().eq((3..=100).map(|n| (n - 1, n))));
        assert_eq!((after, tried), (None, None));
    });
}

#[test]
fn an_iterator_that_is_left_takes_no_more_than_it_gave() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    (1..=4).for_each(|n| _ = state.set(n));
    assert_eq!(watcher.iter().next().unwrap().new, 1);
    assert_eq!(watcher.try_iter().next().unwrap().new, 2);
    assert_eq!((watcher.len(), *watcher.seen()), (2, 2));
}
