//! Several states in one: views that follow their sources, lossless like the rest.

mod common;

use common::{Barrier, Task, in_time, leaked, observers, panics, ready};
use onlooker::{Closed, TryRecvError, View, Watched};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

fn received<T: Clone>(watcher: &mut onlooker::Watcher<T>) -> Vec<T> {
    watcher.try_iter().map(|change| change.new).collect()
}

// Maps

#[test]
fn the_history_of_a_map_is_that_of_its_source_with_equal_neighbours_as_one() {
    let state = Watched::new(0);
    let tens = state.view().map(|n| n / 10);
    let mut watcher = tens.watch();
    assert_eq!((tens.get(), tens.version()), (0, 0));
    for n in [5, 9, 10, 11, 25, 20, 19, 10, 0] {
        state.set(n);
    }
    assert_eq!(received(&mut watcher), [1, 2, 1, 0]);
    assert_eq!((tens.get(), tens.version(), state.version()), (0, 4, 9));
}

#[test]
fn its_function_runs_once_for_the_present_value_and_once_for_each_transition() {
    let state = Watched::new(0);
    state.set(1);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let sink = calls.clone();
    let mapped = state.view().map(move |n| {
        sink.lock().unwrap().push(*n);
        *n
    });
    state.set(2);
    state.set(2);
    state.replace(2);
    // Looking asks nothing, and many who look cost no more than one.
    let watchers = [mapped.watch(), mapped.clone().watch()];
    let waits = [mapped.wait_for(3), mapped.wait_until(|n| *n == 3)];
    assert_eq!((mapped.get(), mapped.version()), (2, 1));
    state.set(3);
    assert_eq!(*calls.lock().unwrap(), [1, 2, 2, 3]);
    assert!(waits.into_iter().all(|wait| ready(wait) == Ok(3)));
    drop((mapped, watchers));
    state.set(4);
    assert_eq!(calls.lock().unwrap().len(), 4, "nobody looks any more");
}

#[test]
fn a_map_may_keep_a_state_of_its_own() {
    let state = Watched::new(3);
    let mut sum = 0;
    let sums = state.view().map(move |n| {
        sum += n;
        sum
    });
    let big = sums.wait_until(|sum| *sum > 10);
    (4..8).for_each(|n| _ = state.set(n));
    assert_eq!((sums.get(), ready(big)), (3 + 4 + 5 + 6 + 7, Ok(12)));
}

#[test]
fn a_derived_view_is_waited_for_watched_and_called_back_like_any_other() {
    let state = Watched::new(1_u32);
    let view = state.view().map(|n| n.checked_sub(5));
    let waits = [view.wait_for(Some(2)), view.wait_until(|n| *n > Some(1))];
    let (some, change) = (view.wait_for_some(), view.wait_for_change());
    let next = view.wait_for_next(None);
    let task = Task::new();
    let mut asleep = view.wait_for_not(None);
    assert!(task.poll(&mut asleep).is_pending());
    let called = Arc::new(Mutex::new(Vec::new()));
    let (sink, once) = (called.clone(), called.clone());
    let callbacks = [
        view.on_change(move |change| sink.lock().unwrap().push((change.old, change.new))),
        view.on_value(Some(2), move |n| once.lock().unwrap().push((*n, *n))),
    ];
    let mut reader = view.reader();
    (2..=4).for_each(|n| _ = state.set(n));
    assert_eq!(
        (task.wakes(), view.version()),
        (0, 0),
        "nothing has changed here"
    );
    (5..=7).for_each(|n| _ = state.set(n));
    state.set(0);
    assert_eq!((task.wakes(), *reader.get()), (1, None));
    assert!(waits.into_iter().all(|wait| ready(wait) == Ok(Some(2))));
    assert_eq!((ready(some), ready(next)), (Ok(0), Ok(None)));
    assert_eq!(ready(change).unwrap().new, Some(0));
    assert_eq!(task.poll(&mut asleep), Poll::Ready(Ok(Some(0))));
    let (zero, one, two) = (Some(0), Some(1), Some(2));
    let all = [
        (None, zero),
        (zero, one),
        (one, two),
        (two, two),
        (two, None),
    ];
    assert_eq!(*called.lock().unwrap(), all);
    drop(callbacks);
}

// Pairs

#[test]
fn each_transition_of_a_part_is_one_of_the_pair() {
    let (left, right) = (Watched::new(0), Watched::new('a'));
    let both = left.view().zip(&right.view());
    let mut watcher = both.watch();
    left.set(1);
    right.set('b');
    right.replace('b');
    left.set(2);
    let all = [(1, 'a'), (1, 'b'), (1, 'b'), (2, 'b')];
    assert_eq!((received(&mut watcher), both.version()), (all.to_vec(), 4));
}

#[test]
fn connected_and_authenticated_is_not_missed_however_short_it_was() {
    let (link, login) = (Watched::new("down"), Watched::new(false));
    let both = link.view().zip(&login.view());
    let wait = both.wait_until(|(link, login)| *link == "up" && *login);
    login.set(true);
    link.set("up");
    link.set("down");
    login.set(false);
    assert_eq!(ready(wait), Ok(("up", true)));
}

#[test]
fn all_follows_every_part_in_its_place() {
    let states = [0, 0, 0].map(Watched::new);
    let all = View::all(states.iter().map(Watched::view));
    let mut watcher = all.watch();
    states[2].set(1);
    states[0].set(2);
    states[1].set(3);
    let history = [[0, 0, 1], [2, 0, 1], [2, 3, 1]].map(Vec::from);
    assert_eq!(received(&mut watcher), history);
    assert_eq!(all.get(), [2, 3, 1]);
}

#[test]
fn a_pair_of_a_view_with_itself_is_never_of_two_minds_for_long() {
    let state = Watched::new(0);
    let view = state.view();
    let twice = view.zip(&view);
    let thrice = View::all([view.clone(), view.clone(), view.clone()]);
    let (mut pairs, mut triples) = (twice.watch(), thrice.watch());
    for n in 1..=3 {
        state.set(n);
        assert_eq!((twice.get(), thrice.get()), ((n, n), vec![n; 3]));
        // At most `[half, new]`, and it ends on the new one.
        let (pairs, triples) = (received(&mut pairs), received(&mut triples));
        assert!(pairs.len() <= 2 && pairs.ends_with(&[(n, n)]), "{pairs:?}");
        assert!(
            triples.len() <= 3 && triples.ends_with(&[vec![n; 3]]),
            "{triples:?}"
        );
    }
}

#[test]
fn a_diamond_shows_no_pair_that_never_was() {
    let state = Watched::new(0_i64);
    let view = state.view();
    let (double, minus) = (view.map(|n| 2 * n), view.map(|n| -n));
    let diamond = double.zip(&minus);
    let deep = diamond.map(|(double, minus)| double + minus).zip(&view);
    let (mut pairs, mut deeps) = (diamond.watch(), deep.watch());
    for n in 1..=50 {
        state.set(n);
        assert_eq!((diamond.get(), deep.get()), ((2 * n, -n), (n, n)));
        let seen = received(&mut pairs);
        assert!(
            seen.len() <= 2 && seen.ends_with(&[(2 * n, -n)]),
            "{seen:?}"
        );
        let old = 1 - n;
        let halves = [(2 * n, old), (2 * (n - 1), -n), (2 * n, -n)];
        assert!(seen.iter().all(|pair| halves.contains(pair)), "{seen:?}");
        assert!(received(&mut deeps).ends_with(&[(n, n)]));
    }
}

#[test]
fn a_pair_keeps_the_order_of_each_source_and_of_setters_that_follow_each_other() {
    in_time(|| {
        let (left, right) = (leaked(0_u32), leaked(0_u32));
        let both = left.view().zip(&right.view());
        let mut watcher = both.watch();
        thread::scope(|scope| {
            for state in [left, right] {
                scope.spawn(move || (1..=3_000).for_each(|n| _ = state.set(n)));
            }
        });
        let mut last = (0, 0);
        while let Ok(change) = watcher.try_recv() {
            assert_eq!((change.old, change.missed), (last, 0));
            let (l, r) = change.new;
            assert!((l, r) == (last.0 + 1, last.1) || (l, r) == (last.0, last.1 + 1));
            last = (l, r);
        }
        assert_eq!((last, both.version()), ((3_000, 3_000), 6_000));
        // What is set after another setter has returned comes after it.
        left.set(0);
        thread::spawn(move || right.set(0)).join().unwrap();
        assert_eq!(received(&mut watcher), [(0, 3_000), (0, 0)]);
    });
}

#[test]
fn a_diamond_beside_another_source_shows_no_triple_that_never_was() {
    in_time(|| {
        let (state, other) = (leaked(0_i64), leaked(0_i64));
        let view = state.view();
        let diamond = view.map(|n| *n).zip(&view.map(|n| -n));
        let all = diamond.zip(&other.view());
        let crossed = view.zip(&other.view()).zip(&diamond);
        let (mut triples, mut crosses) = (all.watch(), crossed.watch());
        thread::scope(|scope| {
            for state in [state, other] {
                scope.spawn(move || (1..=2_000).for_each(|n| _ = state.set(n)));
            }
        });
        let mut last = ((0, 0), 0);
        while let Ok(change) = triples.try_recv() {
            let ((plus, minus), beside) = change.new;
            assert_eq!(change.old, last);
            // Nobody goes back, and no half is more than one transition ahead of the other.
            assert!(plus >= last.0.0 && -minus >= -last.0.1 && beside >= last.1);
            assert!((plus + minus).abs() <= 1, "{:?}", change.new);
            last = change.new;
        }
        assert_eq!(last, ((2_000, -2_000), 2_000));
        let mut last = ((0, 0), (0, 0));
        while let Ok(change) = crosses.try_recv() {
            let ((one, beside), (plus, minus)) = change.new;
            assert_eq!(change.old, last);
            assert!(
                one >= last.0.0 && beside >= last.0.1 && plus >= last.1.0 && -minus >= -last.1.1
            );
            assert!(
                (one - plus).abs() <= 1 && (plus + minus).abs() <= 1,
                "{:?}",
                change.new
            );
            last = change.new;
        }
        assert_eq!(last, ((2_000, 2_000), (2_000, -2_000)));
    });
}

// In the commit of the source

#[test]
fn it_follows_in_the_commit_whatever_the_callbacks_are_doing() {
    in_time(|| {
        let (state, other, barrier) = (leaked(0), leaked(0), Barrier::new());
        let mapped = state.view().map(|n| n * 10);
        let both = mapped.zip(&other.view());
        let held = barrier.clone();
        let slow = [
            state.on_change({
                let held = held.clone();
                move |_| held.pass()
            }),
            both.on_change(move |_| held.pass()),
        ];
        let setter = thread::spawn(move || state.set(1));
        barrier.arrived();
        assert_eq!(
            (mapped.get(), both.get(), both.read(|pair| pair.0)),
            (10, (10, 0), 10)
        );
        assert_eq!(ready(mapped.wait_for(10)), Ok(10));
        let (wait, judged) = (
            both.wait_for_next((20, 0)),
            both.wait_until(|pair| pair.0 == 20),
        );
        let later = thread::spawn(move || state.set(2));
        assert_eq!((wait.wait(), judged.wait()), (Ok((20, 0)), Ok((20, 0))));
        barrier.open();
        assert!(setter.join().unwrap() && later.join().unwrap());
        drop(slow);
    });
}

#[test]
fn its_callbacks_are_a_part_of_the_sources_set() {
    in_time(|| {
        let (state, other) = (leaked(0_u32), leaked(0_u32));
        let mapped = state.view().map(|n| n + 1_000_000);
        let both = mapped.zip(&other.view()).map(|pair| pair.0 + pair.1);
        let called = Arc::new(AtomicU32::new(0));
        let sink = called.clone();
        let callback = both.on_change(move |change| sink.store(change.new, SeqCst));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let own = state.update(|n| n + 1) + 1;
                        assert!(called.load(SeqCst) >= own + 1_000_000);
                    }
                });
            }
        });
        other.set(7);
        assert_eq!(called.load(SeqCst), 1_000_000 + 900 + 7);
        drop(callback);
    });
}

#[test]
fn callbacks_of_a_derived_view_may_set_its_source() {
    in_time(|| {
        let (state, log) = (leaked(0), Arc::new(Mutex::new(Vec::new())));
        let doubled = state.view().map(|n| n * 2);
        let (sink, target) = (log.clone(), state);
        let callback = doubled.on_change(move |change| {
            sink.lock().unwrap().push(change.new);
            if change.new < 1_000 {
                target.update(|n| n + 1);
            }
        });
        state.set(1);
        assert!(
            log.lock()
                .unwrap()
                .iter()
                .copied()
                .eq((1..=500).map(|n| 2 * n))
        );
        drop(callback);
    });
}

// The rule

#[test]
fn a_function_that_panics_on_the_present_value_does_so_at_the_caller_and_nothing_stays() {
    let state = leaked(7);
    let token = Arc::new(());
    let captured = token.clone();
    let view = state.view();
    let said = panics(|| {
        view.map(move |n| {
            assert!(*n != 7 || Arc::strong_count(&captured) == 0, "on {n}");
            *n
        })
    });
    assert_eq!(said, "on 7");
    assert_eq!((observers(state), state.view_count()), (0, 1));
    assert_eq!(Arc::strong_count(&token), 1);
    let said = panics(|| view.map(move |n| *n + state.get()));
    assert!(said.contains("onlooker"), "{said}");
    assert_eq!((observers(state), state.view_count()), (0, 1));
    assert!(state.set(8));
}

#[test]
fn a_function_that_panics_later_or_calls_a_state_ends_the_derived_view_and_nobody_else() {
    type Act = fn(&'static Watched<u32>);
    let acts: [Act; 3] = [|_| panic!("broken"), |s| _ = s.get(), |s| _ = s.set(9)];
    for act in acts {
        for own in [true, false] {
            let (state, other) = (leaked(0_u32), leaked(0_u32));
            let (token, target) = (Arc::new(()), if own { state } else { other });
            let captured = token.clone();
            let broken = state.view().map(move |n| {
                let _ = &captured;
                if *n == 2 {
                    act(target);
                }
                *n * 10
            });
            let sound = state.view().map(|n| *n * 100);
            let above = broken.map(|n| *n + 1);
            let (latched, never) = (broken.wait_for(10), broken.wait_for(20));
            let (task, mut asleep) = (Task::new(), above.wait_for_next(21));
            assert!(task.poll(&mut asleep).is_pending());
            let mut watcher = broken.watch();
            assert!(state.set(1) && state.set(2), "the setter notices nothing");
            assert_eq!(Arc::strong_count(&token), 1, "its function is gone at once");
            assert!(broken.is_closed() && above.is_closed() && !sound.is_closed());
            assert_eq!((broken.get(), above.get(), sound.get()), (10, 11, 200));
            assert_eq!((ready(latched), ready(never)), (Ok(10), Err(Closed)));
            assert_eq!((task.wakes(), ready(asleep)), (1, Err(Closed)));
            assert_eq!(watcher.try_recv().unwrap().new, 10);
            assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
            assert!(state.set(3));
            assert_eq!((sound.get(), broken.get()), (300, 10));
            assert_eq!(other.version(), 0);
        }
    }
}

#[test]
fn a_comparison_that_panics_ends_the_derived_view_as_well() {
    #[derive(Debug)]
    struct Touchy(u32);

    impl PartialEq for Touchy {
        fn eq(&self, other: &Self) -> bool {
            assert!(self.0.max(other.0) != 2, "touchy");
            self.0 == other.0
        }
    }

    let state = Watched::new(0);
    let touchy = state.view().map(|n| Touchy(*n));
    assert!(state.set(1) && state.set(2) && state.set(3));
    assert!(touchy.is_closed());
    assert_eq!((touchy.read(|value| value.0), state.get()), (1, 3));
}
