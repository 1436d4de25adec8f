//! Any future may be dropped at any point: nothing is lost, and nothing stays behind.

mod common;

use common::{Gate, Task, leaked, observers, ready};
use futures_lite::{Stream, StreamExt};
use onlooker::{Overflow, Wait, Watched, Watcher};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

type Value = Option<u32>;
type State = Watched<Value>;
type Boxed<'a> = Pin<Box<dyn Future<Output = Value> + 'a>>;

type Make = for<'a> fn(&'a State) -> Boxed<'a>;

/// Waits on a state that is `None`: all match `Some(7)`, none of them `None` again.
const WAITS: [(&str, Make); 8] = [
    ("wait_for", |s| Box::pin(s.wait_for(Some(7)))),
    ("wait_for_not", |s| Box::pin(s.wait_for_not(None))),
    ("wait_until", |s| Box::pin(s.wait_until(Option::is_some))),
    ("wait_map", |s| Box::pin(s.wait_map(|now| now.map(Some)))),
    ("wait_for_some", |s| {
        let wait = s.wait_for_some();
        Box::pin(async { Some(wait.await) })
    }),
    ("wait_for_next", |s| Box::pin(s.wait_for_next(Some(7)))),
    ("wait_until_next", |s| {
        Box::pin(s.wait_until_next(Option::is_some))
    }),
    ("unless", |s| {
        let wait = s.wait_for(Some(7)).unless(std::future::pending::<()>());
        Box::pin(async { wait.await.unwrap() })
    }),
];

#[test]
fn a_wait_may_be_dropped_before_and_after_its_first_poll_and_before_and_after_its_match() {
    for (name, make) in WAITS {
        for polled in [false, true] {
            for matched in [false, true] {
                let (state, task) = (Watched::new(None), Task::new());
                let mut wait = make(&state);
                if polled {
                    assert!(task.poll(&mut wait).is_pending(), "{name}");
                    assert_eq!(task.kept(), 1, "{name}");
                }
                if matched {
                    state.set(Some(7));
                    assert_eq!(task.kept(), 0, "{name}: a waker is used once");
                }
                drop(wait);
                let wakes = task.wakes();
                assert_eq!(wakes, usize::from(polled && matched), "{name}");
                assert_eq!(task.kept(), 0, "{name}");
                assert_eq!(observers(&state), 0, "{name}");
                state.replace(Some(7));
                assert_eq!(task.wakes(), wakes, "{name}: woken after its drop");
            }
        }
    }
}

#[test]
fn every_sequence_of_polls_and_transitions_ends_as_the_first_match_says() {
    #[derive(Clone, Copy, Debug)]
    enum Act {
        PollA,
        PollB,
        Noise,
        Match,
    }
    use Act::{Match, Noise, PollA, PollB};
    const DEPTH: u32 = 5;
    for (name, make) in WAITS {
        for number in 0..4_usize.pow(DEPTH) {
            let acts: Vec<_> = (0..DEPTH)
                .map(|at| [PollA, PollB, Noise, Match][number / 4_usize.pow(at) % 4])
                .collect();
            let (state, a, b) = (Watched::new(None), Task::new(), Task::new());
            let mut wait = Some(make(&state));
            // What must be true, told without any of the crate's own means.
            let (mut matched, mut last) = (false, None);
            let mut expected = [0, 0];
            for act in &acts {
                match act {
                    PollA | PollB => {
                        let which = usize::from(matches!(act, PollB));
                        let Some(future) = &mut wait else { continue };
                        let polled = [&a, &b][which].poll(future);
                        assert_eq!(polled.is_ready(), matched, "{name} {acts:?}");
                        if matched {
                            assert_eq!(polled, Poll::Ready(Some(7)));
                            wait = None;
                            last = None;
                        } else {
                            last = Some(which);
                        }
                    }
                    Noise => {
                        state.replace(None);
                    }
                    Match => {
                        state.replace(Some(7));
                        if wait.is_some() && !matched {
                            matched = true;
                            last.take()
                                .into_iter()
                                .for_each(|which: usize| expected[which] += 1);
                        }
                    }
                }
                assert_eq!([a.wakes(), b.wakes()], expected, "{name} {acts:?}");
                let kept = [last == Some(0), last == Some(1)].map(usize::from);
                assert_eq!([a.kept(), b.kept()], kept, "{name} {acts:?}");
            }
            drop(wait);
            assert_eq!([a.kept(), b.kept()], [0, 0], "{name} {acts:?}");
            assert_eq!(observers(&state), 0, "{name} {acts:?}");
        }
    }
}

#[test]
fn what_a_wait_held_is_freed_when_it_is_dropped() {
    let token = Arc::new(0);
    let held = || Arc::strong_count(&token) - 1;
    let state = Watched::new(Arc::new(1));

    let target = state.wait_for(token.clone());
    let other = state.wait_for_next(token.clone());
    let captured = token.clone();
    let predicate = state.wait_until(move |now| *now == captured);
    let captured = token.clone();
    let mapped = state.wait_map(move |now| (*now == captured).then_some(()));
    assert_eq!(held(), 4);
    drop(target);
    assert_eq!(held(), 3);
    drop(other);
    assert_eq!(held(), 2);
    drop(predicate);
    assert_eq!(held(), 1);
    drop(mapped);
    assert_eq!(held(), 0);
}

#[test]
fn what_a_wait_held_is_freed_when_it_gives_its_match_and_the_match_when_it_is_dropped() {
    let token = Arc::new(0);
    let held = || Arc::strong_count(&token) - 1;
    let state = Watched::new(Arc::new(1));
    let captured = token.clone();
    let predicate = state.wait_until_next(move |_| Arc::strong_count(&captured) > 0);
    let change = state.wait_for_change();
    state.set(Arc::new(2));
    let found = Arc::new(3);
    let matched = state.wait_for(found.clone());
    state.set(found.clone());
    state.set(Arc::new(4));
    assert!(Arc::strong_count(&found) > 1);
    drop(matched);
    assert_eq!(Arc::strong_count(&found), 1);
    assert_eq!(*ready(predicate), 2);
    assert_eq!(held(), 0, "a predicate whose match was asked for is gone");
    assert_eq!(*ready(change).new, 2);
}

#[test]
fn a_wait_dropped_by_a_callback_or_a_predicate_hears_no_more() {
    for from_callback in [false, true] {
        let state = leaked(0);
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept: Arc<Mutex<Option<Wait<'static, u32>>>> = Arc::default();
        let (first, sink) = (kept.clone(), calls.clone());
        let dropper = move |n: u32| {
            if n == 2 {
                drop(first.lock().unwrap().take());
                sink.lock().unwrap().push("dropped");
            }
        };
        // Registered before the one it drops.
        let dropping = dropper.clone();
        let early = (!from_callback).then(|| {
            state.wait_until(move |n| {
                dropping(*n);
                false
            })
        });
        let sink = calls.clone();
        let token = Arc::new(());
        let captured = token.clone();
        *kept.lock().unwrap() = Some(state.wait_until(move |n| {
            let _ = &captured;
            if *n > 0 {
                sink.lock().unwrap().push("asked");
            }
            false
        }));
        let callback = from_callback.then(|| state.on_change(move |change| dropper(change.new)));
        for n in 1..=4 {
            state.set(n);
        }
        // A predicate may be asked before or after the one that drops it, for that transition; then never again.
        let calls = calls.lock().unwrap();
        let dropped = calls.iter().position(|call| *call == "dropped").unwrap();
        assert_eq!(dropped, calls.len() - 1, "{calls:?}");
        assert!((1..=2).contains(&dropped), "{calls:?}");
        assert_eq!(Arc::strong_count(&token), 1, "its predicate is gone too");
        drop((early, callback));
        assert_eq!(observers(state), 0);
    }
}

// Watchers

type Start = fn(&mut Watcher<Value>, &Arc<Task>) -> bool;

/// Starts a future of the watcher, polls it once and drops it; says whether it was ready.
const WATCHER_FUTURES: [(&str, Start); 9] = [
    ("recv", |w, t| t.poll(&mut w.recv()).is_ready()),
    ("wait_for", |w, t| {
        t.poll(&mut w.wait_for(Some(7))).is_ready()
    }),
    ("wait_for_not", |w, t| {
        t.poll(&mut w.wait_for_not(None)).is_ready()
    }),
    ("wait_until", |w, t| {
        t.poll(&mut w.wait_until(Option::is_some)).is_ready()
    }),
    ("wait_map", |w, t| {
        t.poll(&mut w.wait_map(|n| *n)).is_ready()
    }),
    ("wait_for_some", |w, t| {
        t.poll(&mut w.wait_for_some()).is_ready()
    }),
    ("wait_for_next", |w, t| {
        t.poll(&mut w.wait_for_next(Some(7))).is_ready()
    }),
    ("wait_until_next", |w, t| {
        t.poll(&mut w.wait_until_next(Option::is_some)).is_ready()
    }),
    ("unless", |w, t| {
        let mut unless = std::pin::pin!(w.recv().unless(Gate::new()));
        t.poll_pin(unless.as_mut()).is_ready()
    }),
];

#[test]
fn a_future_of_a_watcher_that_is_dropped_asleep_keeps_no_waker_and_loses_nothing() {
    for (name, act) in WATCHER_FUTURES {
        for bound in [None, Some(4)] {
            let (state, task) = (Watched::new(None), Task::new());
            let mut watcher = match bound {
                None => state.watch(),
                Some(capacity) => state.watch_bounded(capacity, Overflow::DropNewest),
            };
            for _ in 0..3 {
                assert!(!act(&mut watcher, &task), "{name}");
                assert_eq!(task.kept(), 0, "{name}");
            }
            state.set(Some(7));
            state.set(None);
            assert_eq!(task.wakes(), 0, "{name}: woken after its drop");
            assert!(act(&mut watcher, &task), "{name}: the next one gets it");
            assert_eq!(watcher.seen(), &Some(7), "{name}: and takes no more");
            assert_eq!(watcher.try_recv().unwrap().new, None, "{name}");
            assert_eq!(watcher.missed(), 0);
        }
    }
}

#[test]
fn a_recv_that_is_dropped_after_its_wake_leaves_the_transition_to_the_next() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch();
    for n in 1..100 {
        let mut recv = watcher.recv();
        assert!(task.poll(&mut recv).is_pending());
        state.set(n);
        assert_eq!(task.wakes(), n);
        drop(recv);
        assert_eq!(task.kept(), 0);
        assert_eq!(ready(watcher.recv()).unwrap().new, n);
    }
}

#[test]
fn a_wait_of_a_watcher_that_is_dropped_keeps_what_it_looked_at() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch();
    (1..=3).for_each(|n| _ = state.set(n));
    let mut wait = watcher.wait_for(9);
    assert!(task.poll(&mut wait).is_pending());
    state.set(4);
    assert_eq!(task.wakes(), 1);
    drop(wait); // looked at 1, 2 and 3
    assert_eq!(*watcher.seen(), 3);
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.old, change.new, change.seq), (3, 4, 4));
}

#[test]
fn a_watcher_future_polled_by_two_tasks_wakes_the_second_and_keeps_one_waker() {
    let (state, first, second) = (Watched::new(0), Task::new(), Task::new());
    let mut watcher = state.watch();
    let mut recv = watcher.recv();
    assert!(first.poll(&mut recv).is_pending());
    for _ in 0..10_000 {
        assert!(second.poll(&mut recv).is_pending());
    }
    assert_eq!((first.kept(), second.kept()), (0, 1));
    state.set(1);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(
        second.poll(&mut recv).map(|change| change.unwrap().new),
        Poll::Ready(1)
    );
    drop(recv);
    assert_eq!((first.kept(), second.kept()), (0, 0));
}

#[test]
fn a_watcher_that_is_dropped_asleep_keeps_no_waker() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch();
    let mut next = Box::pin(futures_lite::stream::poll_fn({
        let watcher = &mut watcher;
        move |context| Pin::new(&mut *watcher).poll_next(context)
    }));
    assert!(task.poll(&mut next.next()).is_pending());
    drop(next);
    assert_eq!(task.kept(), 1);
    drop(watcher);
    assert_eq!(task.kept(), 0);
    state.set(1);
    assert_eq!((task.wakes(), state.watcher_count()), (0, 0));
}

#[test]
fn a_paced_set_that_is_dropped_has_set_nothing_and_keeps_no_waker() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
    drop(state.set_paced(1));
    state.set(1);
    for woken in [false, true] {
        let mut set = state.set_paced(2);
        assert!(task.poll(&mut set).is_pending());
        assert_eq!(task.kept(), 1);
        if woken {
            watcher.try_recv().unwrap();
        }
        drop(set);
        assert_eq!((task.kept(), state.get()), (0, 1));
    }
    assert!(ready(state.set_paced(3)));
    assert_eq!(watcher.try_recv().unwrap().new, 3);
}

#[test]
fn a_watcher_woken_for_nothing_sleeps_on() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch();
    let mut wait = watcher.wait_until(|n| *n == 2);
    for _ in 0..3 {
        assert!(task.poll(&mut wait).is_pending());
        task.waker().wake();
    }
    state.set(1);
    assert!(task.poll(&mut wait).is_pending());
    state.set(2);
    assert_eq!(task.wakes(), 5);
    assert_eq!(task.poll(&mut wait), Poll::Ready(Ok(2)));
}

#[test]
fn nothing_takes_a_sleepers_waker_away_but_its_wake_or_its_own_leave() {
    let (state, asleep, waiting, pacing) = (Watched::new(0), Task::new(), Task::new(), Task::new());
    let mut full = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut watcher = state.watch();
    let mut recv = watcher.recv();
    let mut wait = state.wait_for(2);
    let mut until = state.wait_until(|n| *n == 2);
    let mut set = state.set_paced(2);
    assert!(asleep.poll(&mut recv).is_pending());
    assert!(waiting.poll(&mut wait).is_pending());
    assert!(waiting.poll(&mut until).is_pending());
    assert!(pacing.poll(&mut set).is_pending());
    // Others come and go, in numbers that make every list grow and shrink.
    for _ in 0..3 {
        let other = Task::new();
        let mut watchers: Vec<_> = (0..200).map(|_| state.watch()).collect();
        let mut waits: Vec<_> = (0..200).map(|n| state.wait_for(n + 10)).collect();
        let mut untils: Vec<_> = (0..200).map(|_| state.wait_until(|_| false)).collect();
        let mut sets: Vec<_> = (0..200).map(|_| state.set_paced(3)).collect();
        for n in 0..200 {
            assert!(other.poll(&mut watchers[n].recv()).is_pending());
            assert!(other.poll(&mut waits[n]).is_pending());
            assert!(other.poll(&mut untils[n]).is_pending());
            assert!(other.poll(&mut sets[n]).is_pending());
        }
        drop((watchers, waits, untils, sets));
        assert_eq!((other.kept(), other.wakes()), (0, 0));
        assert_eq!((asleep.kept(), waiting.kept(), pacing.kept()), (1, 2, 1));
    }
    assert_eq!(full.try_recv().unwrap().new, 1);
    assert_eq!(pacing.wakes(), 1);
    assert_eq!(pacing.poll(&mut set), Poll::Ready(true));
    assert_eq!((asleep.wakes(), waiting.wakes()), (1, 2));
    assert_eq!((asleep.kept(), waiting.kept(), pacing.kept()), (0, 0, 0));
}

// Threads

#[test]
fn a_drop_that_races_a_set_disturbs_neither_watcher_nor_wait() {
    for round in 0..300_u32 {
        let state = leaked(None);
        let mut watchers = [state.watch(), state.watch()];
        let witness = state.wait_for(Some(7));
        let task = Task::new();
        let mut wait = WAITS[round as usize % WAITS.len()].1(state);
        let _ = task.poll(&mut wait);
        thread::scope(|scope| {
            scope.spawn(|| {
                state.set(Some(6));
                state.set(Some(7));
            });
            if round % 2 == 0 {
                thread::yield_now();
            }
            drop(wait);
        });
        // Whoever was taking its waker at that moment is done with it by now.
        assert_eq!(task.kept(), 0);
        assert_eq!(ready(witness), Some(7));
        for watcher in &mut watchers {
            assert_eq!(watcher.try_recv().unwrap().new, Some(6));
            assert_eq!(watcher.try_recv().unwrap().new, Some(7));
            assert!(watcher.is_empty());
        }
        assert_eq!(observers(state), 2, "the watchers");
    }
}
