//! Setters that wait for room: nothing is lost, each has its turn, and leaving the line harms nobody.

mod common;

use common::{Task, leaked, panics, poll, ready};
use futures_lite::future::block_on;
use onlooker::{Overflow, SetPaced, Watched};
use smol::{Executor, LocalExecutor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::thread;

#[test]
fn with_room_everywhere_it_sets_at_once() {
    let state = Watched::new(0);
    assert!(ready(state.set_paced(1)));
    let mut unbounded = state.watch();
    let mut bounded = state.watch_bounded(2, Overflow::DropOldest);
    assert!(ready(state.set_paced(2)));
    assert!(
        !ready(state.set_paced(2)),
        "an equal value is no transition"
    );
    assert!(ready(state.set_paced(3)));
    assert_eq!(state.version(), 3);
    for watcher in [&mut unbounded, &mut bounded] {
        assert_eq!(watcher.try_recv().unwrap().new, 2);
        assert_eq!(watcher.try_recv().unwrap().new, 3);
    }
}

#[test]
fn it_does_nothing_before_its_first_poll() {
    let state = Watched::new(0);
    let set = state.set_paced(1);
    assert_eq!(state.get(), 0);
    drop(set);
    assert_eq!(state.get(), 0);
}

#[test]
fn it_waits_while_any_bounded_buffer_is_full_whatever_its_overflow() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let (state, task) = (Watched::new(0), Task::new());
        let mut slow = state.watch_bounded(1, overflow);
        let mut roomy = state.watch_bounded(8, overflow);
        let _idle = state.watch();
        assert!(ready(state.set_paced(1)));
        let mut set = state.set_paced(2);
        assert!(task.poll(&mut set).is_pending());
        assert_eq!(state.get(), 1);
        // Room elsewhere is no room.
        assert_eq!(roomy.try_recv().unwrap().new, 1);
        assert!(task.poll(&mut set).is_pending());
        assert_eq!(slow.try_recv().unwrap().new, 1);
        assert!(task.wakes() >= 1, "whoever makes room wakes the setter");
        assert_eq!(task.poll(&mut set), Poll::Ready(true));
        assert_eq!((slow.try_recv().unwrap().new, slow.missed()), (2, 0));
        assert_eq!((roomy.try_recv().unwrap().new, roomy.missed()), (2, 0));
    }
}

#[test]
fn every_way_to_take_from_a_buffer_makes_room() {
    use futures_lite::StreamExt;
    type Take = fn(&mut onlooker::Watcher<i32>) -> i32;
    let takes: [(&str, Take); 7] = [
        ("try_recv", |w| w.try_recv().unwrap().new),
        ("recv", |w| ready(w.recv()).unwrap().new),
        ("recv_blocking", |w| w.recv_blocking().unwrap().new),
        ("recv_timeout", |w| {
            w.recv_timeout(std::time::Duration::ZERO).unwrap().new
        }),
        ("wait_for", |w| ready(w.wait_for(1)).unwrap()),
        ("wait_until", |w| ready(w.wait_until(|n| *n == 1)).unwrap()),
        ("next", |w| ready(w.next()).unwrap().new),
    ];
    for (name, take) in takes {
        let (state, task) = (Watched::new(0), Task::new());
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let mut set = state.set_paced(2);
        assert!(task.poll(&mut set).is_pending());
        assert_eq!(take(&mut watcher), 1, "{name}");
        assert_eq!(task.wakes(), 1, "{name}");
        assert_eq!(task.poll(&mut set), Poll::Ready(true), "{name}");
    }
}

#[test]
fn a_full_watcher_that_is_dropped_frees_the_setter() {
    let (state, task) = (Watched::new(0), Task::new());
    let full = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut set = state.set_paced(2);
    assert!(task.poll(&mut set).is_pending());
    drop(full);
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(&mut set), Poll::Ready(true));
    assert_eq!(state.get(), 2);
}

#[test]
fn a_watcher_that_comes_while_one_waits_counts_as_well() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut first = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut set = state.set_paced(3);
    assert!(task.poll(&mut set).is_pending());
    let mut second = state.watch_bounded(1, Overflow::DropNewest);
    assert_eq!(first.try_recv().unwrap().new, 1);
    state.set(2); // a plain setter takes the room
    assert!(task.poll(&mut set).is_pending());
    assert_eq!(first.try_recv().unwrap().new, 2);
    assert!(task.poll(&mut set).is_pending());
    assert_eq!(second.try_recv().unwrap().new, 2);
    assert_eq!(task.poll(&mut set), Poll::Ready(true));
    assert_eq!((first.missed(), second.missed()), (0, 0));
}

#[test]
fn an_unbounded_watcher_never_holds_a_setter_up() {
    let state = Watched::new(0);
    let watcher = state.watch();
    for n in 1..=10_000 {
        assert!(ready(state.set_paced(n)));
    }
    assert_eq!(watcher.len(), 10_000);
}

/// A state of one full buffer, and setters in line.
fn line(
    state: &'static Watched<usize>,
    setters: usize,
) -> Vec<(SetPaced<'static, usize>, Arc<Task>)> {
    (1..=setters)
        .map(|n| {
            let (mut set, task) = (state.set_paced(100 + n), Task::new());
            assert!(task.poll(&mut set).is_pending());
            (set, task)
        })
        .collect()
}

#[test]
fn setters_set_in_the_order_in_which_they_found_no_room() {
    let state = leaked(0);
    let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut line = line(state, 5);
    for n in 0..5 {
        watcher.try_recv().unwrap();
        assert_eq!(line[n].1.wakes(), 1, "the first in line is called");
        // Those behind it find no way past, although there is room.
        for (set, task) in line.iter_mut().skip(n + 1).rev() {
            assert!(task.poll(set).is_pending());
        }
        assert!(poll(&mut state.set_paced(999)).is_pending());
        let (set, task) = &mut line[n];
        assert_eq!(task.poll(set), Poll::Ready(true));
        assert_eq!(state.get(), 101 + n);
    }
    assert_eq!(watcher.missed(), 0);
}

#[test]
fn with_room_for_many_the_whole_line_moves_without_further_help() {
    let state = leaked(0);
    let mut watcher = state.watch_bounded(4, Overflow::DropNewest);
    (1..=4).for_each(|n| _ = state.set(n));
    let mut line = line(state, 4);
    while watcher.try_recv().is_ok() {}
    // Each one that sets calls the next: only those who were woken are polled.
    for (n, (set, task)) in line.iter_mut().enumerate() {
        assert!(task.wakes() > 0, "number {n} was not called");
        assert_eq!(task.poll(set), Poll::Ready(true));
    }
    let all: Vec<_> = std::iter::from_fn(|| watcher.try_recv().ok())
        .map(|change| (change.new, change.missed))
        .collect();
    assert_eq!(all, [(101, 0), (102, 0), (103, 0), (104, 0)]);
}

#[test]
fn an_equal_value_at_the_head_of_the_line_calls_the_next() {
    let state = leaked(0);
    let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
    state.set(101); // what the first in line is going to set
    let mut line = line(state, 2);
    watcher.try_recv().unwrap();
    let (set, task) = &mut line[0];
    assert_eq!(task.poll(set), Poll::Ready(false));
    let (set, task) = &mut line[1];
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(set), Poll::Ready(true));
}

#[test]
fn a_setter_that_leaves_the_line_sets_nothing_and_keeps_nobody() {
    for woken in [false, true] {
        for leaver in 0..3 {
            let state = leaked(0);
            let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
            state.set(1);
            let mut line = line(state, 3);
            if woken {
                // The call is out already when its receiver leaves: it must go to the next.
                watcher.try_recv().unwrap();
            }
            let (gone, gone_task) = line.remove(leaver);
            drop(gone);
            assert_eq!(gone_task.kept(), 0);
            if !woken {
                watcher.try_recv().unwrap();
            }
            for (set, task) in &mut line {
                assert!(task.wakes() > 0, "{leaver} left, {woken}");
                assert_eq!(task.poll(set), Poll::Ready(true));
                assert!(watcher.try_recv().unwrap().new != 101 + leaver);
            }
            assert_eq!((state.version(), watcher.missed()), (3, 0));
        }
    }
}

#[test]
fn a_setter_polled_by_another_task_wakes_only_that_one_and_keeps_one_waker() {
    let (state, first, second) = (Watched::new(0), Task::new(), Task::new());
    let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut set = state.set_paced(2);
    assert!(first.poll(&mut set).is_pending());
    for _ in 0..10_000 {
        assert!(second.poll(&mut set).is_pending());
    }
    assert_eq!((first.kept(), second.kept()), (0, 1));
    watcher.try_recv().unwrap();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(second.poll(&mut set), Poll::Ready(true));
    assert_eq!(second.kept(), 0);
    assert!(panics(|| second.poll(&mut set)).contains("onlooker"));
}

#[test]
fn a_forgotten_setter_in_line_does_not_stop_plain_ones() {
    let state = leaked(0);
    let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
    state.set(1);
    for (set, _) in line(state, 2) {
        std::mem::forget(set);
    }
    assert!(state.set(2));
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.new, change.missed), (2, 1));
}

#[test]
fn a_panic_of_the_values_comparison_lets_the_next_in_line_go_on() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    #[derive(Clone, Debug)]
    struct Touchy(u32);
    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            assert!(!ARMED.swap(false, SeqCst), "touchy");
            self.0 == other.0
        }
    }
    let state = Watched::new(Touchy(0));
    let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
    state.set(Touchy(1));
    let (mut first, mut second) = (state.set_paced(Touchy(2)), state.set_paced(Touchy(3)));
    let (one, two) = (Task::new(), Task::new());
    assert!(one.poll(&mut first).is_pending());
    assert!(two.poll(&mut second).is_pending());
    watcher.try_recv().unwrap();
    ARMED.store(true, SeqCst);
    assert_eq!(panics(|| one.poll(&mut first)), "touchy");
    drop(first);
    assert!(two.wakes() > 0, "nobody called the next in line");
    assert_eq!(two.poll(&mut second), Poll::Ready(true));
    assert_eq!(watcher.try_recv().unwrap().new.0, 3);
}

#[test]
fn a_paced_setter_and_its_slow_watcher_lose_nothing_on_one_executor() {
    let state = Watched::new(0);
    for capacity in [1, 2, 7] {
        let start = state.get();
        let mut watcher = state.watch_bounded(capacity, Overflow::DropNewest);
        let executor = LocalExecutor::new();
        let setter = executor.spawn(async {
            for n in 1..=1_000 {
                assert!(state.set_paced(start + n).await);
            }
        });
        block_on(executor.run(async {
            for n in 1..=1_000 {
                let change = watcher.recv().await.unwrap();
                assert_eq!((change.new, change.missed), (start + n, 0));
            }
            setter.await;
        }));
        assert_eq!(watcher.missed(), 0);
    }
}

#[test]
fn many_paced_setters_on_many_threads_lose_nothing() {
    let state = Watched::new((0, 0));
    let mut watchers: Vec<_> = (1..=3)
        .map(|capacity| state.watch_bounded(capacity, Overflow::DropOldest))
        .collect();
    let executor = Executor::new();
    thread::scope(|scope| {
        let (stop, stopped) = async_channel::bounded::<()>(1);
        for me in 1..=8 {
            let state = &state;
            executor
                .spawn(async move {
                    for n in 1..=200 {
                        assert!(state.set_paced((me, n)).await);
                    }
                })
                .detach();
        }
        for _ in 0..2 {
            let (executor, stopped) = (&executor, stopped.clone());
            scope.spawn(move || {
                let _ = block_on(executor.run(stopped.recv()));
            });
        }
        let logs: Vec<_> = watchers
            .iter_mut()
            .map(|watcher| {
                scope.spawn(move || {
                    let mut last = (0, 0);
                    let mut of_each = [0; 9];
                    for _ in 0..1_600 {
                        let change = watcher
                            .recv_timeout(std::time::Duration::from_secs(30))
                            .unwrap();
                        assert_eq!((change.old, change.missed), (last, 0));
                        last = change.new;
                        of_each[last.0] += 1;
                        assert_eq!(of_each[last.0], last.1);
                    }
                })
            })
            .collect();
        for log in logs {
            log.join().unwrap();
        }
        drop(stop);
    });
    assert_eq!(state.version(), 1_600);
    assert!(watchers.iter().all(|watcher| watcher.missed() == 0));
}

#[test]
fn plain_setters_in_between_never_stop_a_paced_one() {
    let state = Watched::new(0_u64);
    let mut watcher = state.watch_bounded(2, Overflow::DropOldest);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let paced: Vec<_> = (0..2)
            .map(|me| {
                let state = &state;
                scope.spawn(move || {
                    for n in 0..200 {
                        block_on(state.set_paced(1_000_000 * (me + 1) + n));
                    }
                })
            })
            .collect();
        let plain = scope.spawn(|| {
            for n in 0..2_000 {
                state.set(9_000_000 + n);
                thread::yield_now();
            }
        });
        let reader = scope.spawn(|| {
            let mut received = 0;
            let mut last = *watcher.seen();
            while !done.load(SeqCst) || !watcher.is_empty() {
                if let Ok(change) = watcher.recv_timeout(std::time::Duration::from_millis(1)) {
                    assert_eq!(change.old, last);
                    last = change.new;
                    received += 1 + change.missed;
                }
            }
            (received, last)
        });
        for setter in paced {
            setter.join().unwrap();
        }
        plain.join().unwrap();
        done.store(true, SeqCst);
        assert_eq!(reader.join().unwrap(), (state.version(), state.get()));
    });
}
