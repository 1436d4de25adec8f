//! What is kept, for how long, and what allocates.

mod common;

use common::heap::{Counting, allocations, alone, held, left_by};
use common::{Task, pending};
use onlooker::{Overflow, Watched};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated_until_something_observes() {
    let _alone = alone();
    let count = allocations(|| {
        let state = black_box(Watched::new(0_u64));
        for n in 0..100 {
            state.set(n);
            state.replace(n);
            state.update(|n| n + 1);
            black_box((state.get(), state.version(), state.watcher_count()));
        }
        black_box(*state.reader().get());
    });
    assert_eq!(count, 0);
}

#[test]
fn a_million_watchers_that_came_and_went_leave_nothing() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let run = |times| {
        (0..times).for_each(|_| drop(black_box(state.watch())));
        assert_eq!(state.watcher_count(), 0);
    };
    run(10);
    assert!(left_by(|| run(1_000_000 / 3)) <= 0);
}

#[test]
fn a_million_waits_that_came_and_went_leave_nothing() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let task = Task::new();
    let run = |times| {
        for n in 1..=times {
            assert!(task.poll(&mut state.wait_for(n)).is_pending());
            drop(state.wait_until(move |value| *value == n));
            drop(state.wait_for_change());
        }
    };
    run(10);
    assert!(left_by(|| run(1_000_000 / 3)) <= 0);
    assert_eq!(task.kept(), 0);
}

#[test]
fn many_at_once_leave_little_when_they_go() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    drop(state.watch());
    let left = left_by(|| {
        drop((0..10_000).map(|_| state.watch()).collect::<Vec<_>>());
        drop((1..=10_000).map(|n| state.wait_for(n)).collect::<Vec<_>>());
    });
    // A place to note who is to be woken, and a few short lists.
    assert!(left < 512 * 1024, "{left}");
}

#[test]
fn waits_that_stay_hold_no_room_for_the_targets_of_those_that_left() {
    let _alone = alone();
    let state = Watched::new([0_u64; 16]);
    let mut waits: Vec<_> = (1..=1_000).map(|n| state.wait_for([n; 16])).collect();
    let freed = -left_by(|| waits.drain(10..).for_each(drop));
    let targets = 900 * size_of::<[u64; 16]>();
    assert!(freed >= targets as isize, "{freed} of {targets}");
}

#[test]
fn ten_thousand_polls_keep_one_waker() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let task = Task::new();
    let mut watcher = state.watch();
    {
        let mut waits = (
            state.wait_for(1),
            state.wait_until(|n| *n == 1),
            watcher.recv(),
        );
        for _ in 0..10_000 {
            assert!(task.poll(&mut waits.0).is_pending());
            assert!(task.poll(&mut waits.1).is_pending());
            assert!(task.poll(&mut waits.2).is_pending());
        }
        assert_eq!(task.kept(), 3);
    }
    assert_eq!(task.kept(), 0, "dropped with their futures");
}

#[test]
fn a_wakers_last_clone_goes_when_it_was_woken_or_left() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let task = Task::new();
    let mut watcher = state.watch();
    for n in 1..=3 {
        let mut recv = watcher.recv();
        assert!(task.poll(&mut recv).is_pending());
        state.set(n);
        assert!(task.poll(&mut recv).is_ready());
        drop(recv);
        assert_eq!(task.kept(), 0);
    }
    assert!(task.poll(&mut watcher.wait_for(9)).is_pending());
    assert_eq!(task.kept(), 0);
}

#[test]
fn dropping_a_watcher_frees_its_values_now() {
    let _alone = alone();
    let value = Arc::new(());
    let state = Watched::new(Arc::new(()));
    let (unbounded, bounded) = (state.watch(), state.watch_bounded(4, Overflow::DropOldest));
    (0..11).for_each(|_| {
        state.replace(value.clone());
    });
    assert_eq!(Arc::strong_count(&value), 2 + 11 + 4);
    drop(unbounded);
    assert_eq!(Arc::strong_count(&value), 2 + 4);
    drop(bounded);
    assert_eq!(Arc::strong_count(&value), 2);
}

#[test]
fn a_forgotten_watcher_harms_nobody() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let mut other = state.watch_bounded(4, Overflow::DropOldest);
    std::mem::forget(state.watch_bounded(1, Overflow::DropOldest));
    std::mem::forget(state.wait_for(5));
    let left = left_by(|| {
        for n in 1..=10_000 {
            state.set(n);
            assert_eq!(other.try_recv().unwrap().new, n);
        }
        state.set(0);
        while other.try_recv().is_ok() {}
    });
    assert!(left <= 0, "{left}");
}

#[test]
fn setting_for_none_or_bounded_watchers_and_receiving_allocate_nothing() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let task = Task::new();
    let waker = task.waker();
    let mut context = std::task::Context::from_waker(&waker);
    let mut watchers = [
        state.watch_bounded(1, Overflow::DropOldest),
        state.watch_bounded(16, Overflow::DropOldest),
        state.watch_bounded(16, Overflow::DropNewest),
    ];
    let mut n = 0;
    let mut round = || {
        for _ in 0..20 {
            n += 1;
            state.set(n);
        }
        for watcher in &mut watchers {
            while watcher.try_recv().is_ok() {}
            // Falls asleep, is woken, receives.
            let mut recv = watcher.recv();
            let mut recv = std::pin::Pin::new(&mut recv);
            assert!(recv.as_mut().poll(&mut context).is_pending());
            n += 1;
            state.set(n);
            assert!(recv.as_mut().poll(&mut context).is_ready());
        }
    };
    round();
    assert_eq!(allocations(round), 0);
}

#[test]
fn the_very_first_set_allocates_nothing_for_those_who_wait_already() {
    let _alone = alone();
    for (many_waits, many_watchers) in [(20, 2), (20, 0), (0, 20), (5, 5), (1, 64), (64, 1)] {
        let state = Watched::new(0_u64);
        let mut waits: Vec<_> = (0..many_waits).map(|_| state.wait_for(1)).collect();
        let ring = |n| state.watch_bounded(n % 4 + 1, Overflow::DropOldest);
        let mut watchers: Vec<_> = (0..many_watchers).map(ring).collect();
        let mut sleepers: Vec<_> = watchers.iter_mut().map(|watcher| watcher.recv()).collect();
        let task = Task::new();
        assert!(waits.iter_mut().all(|wait| task.poll(wait).is_pending()));
        assert!(sleepers.iter_mut().all(|recv| task.poll(recv).is_pending()));
        assert_eq!(allocations(|| assert!(state.set(1))), 0);
        assert_eq!(task.wakes(), many_waits + many_watchers);
    }
}

#[test]
fn values_that_full_rings_give_up_are_dropped_without_allocating() {
    let _alone = alone();
    let values: [Arc<str>; 2] = ["one".into(), "other".into()];
    for many in [1, 20] {
        let state = Watched::new(values[1].clone());
        let watchers: Vec<_> = (0..many)
            .map(|_| state.watch_bounded(2, Overflow::DropOldest))
            .collect();
        let count = allocations(|| {
            for n in 0..100 {
                assert!(state.set(values[n % 2].clone()));
            }
        });
        assert_eq!(count, 0, "{many} watchers");
        assert!(watchers.iter().all(|watcher| watcher.missed() == 98));
        drop(state);
        let kept = values.iter().map(Arc::strong_count).sum::<usize>();
        // What is buffered, what each watcher saw last, and the last one, which a watcher's view would show.
        assert_eq!(kept, 2 + 3 * many + 1);
    }
}

#[test]
fn a_value_wait_allocates_once_at_most() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    drop(state.wait_for(1));
    let count = allocations(|| {
        state.set(0);
        let mut wait = state.wait_for(1);
        assert!(pending(&mut wait));
        state.set(1);
        assert!(common::poll(&mut wait).is_ready());
    });
    assert!(count <= 1, "{count}");
}

/// With the feature `inspect` everybody's place is noted, too.
const LOCATION: isize = if cfg!(feature = "inspect") { 10 } else { 0 };

#[test]
#[cfg_attr(
    feature = "portable-atomic",
    ignore = "where an `Arc` cannot forget its type one holds another"
)]
fn a_pending_wait_takes_a_hundred_bytes_at_most_owned_or_not_however_many_there_are() {
    let _alone = alone();
    /// Heap that one more takes. Where it is put is not counted.
    fn each<W>(many: u64, mut wait: impl FnMut(u64) -> W) -> isize {
        let mut waits = Vec::with_capacity(many as usize + 1);
        waits.push(wait(1));
        left_by(|| waits.extend((2..=many + 1).map(wait))) / many as isize
    }
    for many in [10, 33, 100, 333, 1_000, 3_333, 10_000, 33_333] {
        let (state, source) = (Watched::new(0_u64), Watched::new(0_u64));
        let view = source.view();
        let heap = [
            each(many, |n| state.wait_for(n)),
            each(many, |n| view.wait_for(n)),
            each(many, |n| state.wait_until(move |value| *value == n)),
            each(many, |n| view.wait_until(move |value| *value == n)),
            each(many, |n| {
                view.wait_map(move |value| (*value == n).then_some(n))
            }),
        ];
        assert!(
            heap.iter().all(|bytes| *bytes <= 100 + LOCATION),
            "{many}: {heap:?}"
        );
        assert!(
            heap[..2].iter().all(|bytes| *bytes <= 70 + LOCATION),
            "{many}: {heap:?}"
        );
    }
}

#[test]
#[cfg_attr(
    feature = "portable-atomic",
    ignore = "where an `Arc` cannot forget its type one holds another"
)]
fn an_owned_wait_allocates_no_more_than_a_wait_of_its_kind() {
    fn cycle<W: Future + Unpin>(state: &Watched<Option<u32>>, wait: impl Fn() -> W) -> usize {
        let run = || {
            state.set(None);
            let mut wait = wait();
            assert!(pending(&mut wait));
            state.set(Some(7));
            assert!(common::poll(&mut wait).is_ready());
        };
        run();
        allocations(run)
    }
    let _alone = alone();
    let state = Watched::new(None);
    let (state, view) = (&state, state.view());
    let kinds = [
        (
            "wait_for",
            cycle(state, || state.wait_for(Some(7))),
            cycle(state, || view.wait_for(Some(7))),
        ),
        (
            "wait_for_not",
            cycle(state, || state.wait_for_not(None)),
            cycle(state, || view.wait_for_not(None)),
        ),
        (
            "wait_until",
            cycle(state, || state.wait_until(Option::is_some)),
            cycle(state, || view.wait_until(Option::is_some)),
        ),
        (
            "wait_map",
            cycle(state, || state.wait_map(|value| *value)),
            cycle(state, || view.wait_map(|value| *value)),
        ),
        (
            "wait_for_some",
            cycle(state, || state.wait_for_some()),
            cycle(state, || view.wait_for_some()),
        ),
        (
            "wait_for_change",
            cycle(state, || state.wait_for_change()),
            cycle(state, || view.wait_for_change()),
        ),
        (
            "wait_for_next",
            cycle(state, || state.wait_for_next(Some(7))),
            cycle(state, || view.wait_for_next(Some(7))),
        ),
        (
            "wait_until_next",
            cycle(state, || state.wait_until_next(Option::is_some)),
            cycle(state, || view.wait_until_next(Option::is_some)),
        ),
    ];
    for (name, borrowed, owned) in kinds {
        // The predicate, and that of a value wait is none.
        let own = usize::from(!["wait_for", "wait_for_next"].contains(&name));
        assert_eq!((borrowed, owned), (own, own), "{name}");
    }
}

#[test]
fn sizes_stay_within_their_bounds() {
    let _alone = alone();
    const MANY: usize = 1_000;
    let per = |left: isize| left / MANY as isize;
    let state = Watched::new(0_u64);

    let idle = per(left_by(|| {
        (0..MANY).map(|_| state.watch()).collect::<Vec<_>>()
    }));
    assert!(
        idle <= 640 + size_of::<onlooker::Watcher<u64>>() as isize,
        "watcher: {idle}"
    );

    let ringed = || state.watch_bounded(16, Overflow::DropOldest);
    let ring = per(left_by(|| (0..MANY).map(|_| ringed()).collect::<Vec<_>>()));
    assert!(
        ring <= 1_000 + size_of::<onlooker::Watcher<u64>>() as isize,
        "ring of 16: {ring}"
    );

    let pending_waits = || {
        (0..MANY as u64)
            .map(|n| state.wait_for(n + 1))
            .collect::<Vec<_>>()
    };
    let wait = per(left_by(pending_waits));
    assert!(wait <= 100 + LOCATION, "pending wait: {wait}");

    let watcher = state.watch();
    let filled = left_by(|| {
        for n in 1..=100_000 {
            state.set(n);
        }
    });
    let transition = filled / 100_000;
    assert!(transition <= 32, "buffered transition: {transition}");
    drop(watcher);
    println!("watcher {idle}, with a ring of 16 {ring}, wait {wait}, transition {transition}");
}

#[test]
fn four_setters_at_once_keep_the_heap_bounded() {
    let _alone = alone();
    let state = Watched::new(0_u64);
    let callback = state.on_change(|change| {
        black_box(change.new);
    });
    let predicate = state.wait_until(|n| *n == u64::MAX);
    let watcher = state.watch_bounded(16, Overflow::DropOldest);
    let over = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_secs(3);
    let before = held();
    let mut most = 0;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    state.update(|n| n + 1);
                }
            });
        }
        while Instant::now() < end {
            most = most.max(held() - before);
            thread::yield_now();
        }
        over.store(true, SeqCst);
    });
    assert!(state.version() > 1_000);
    assert!(most < 1024 * 1024, "{most} bytes at most");
    drop((callback, predicate, watcher));
}
