//! Views: the value without the right to set it, for as long as one likes.

mod common;

use common::{Task, in_time, leaked, observers, panics, pending, poll, ready};
use onlooker::{Closed, Overflow, Reader, TryRecvError, View, Watched};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

#[test]
fn a_view_reads_what_the_state_is() {
    let state = Watched::new(1);
    let view = state.view();
    assert_eq!(
        (view.get(), view.version(), view.read(|n| n + 1)),
        (1, 0, 2)
    );
    state.set(2);
    let mut reader: Reader<'_, i32> = view.reader();
    assert_eq!((view.get(), view.version(), *reader.get()), (2, 1, 2));
    state.set(3);
    assert_eq!(*reader.get(), 3);
    assert!(!view.is_closed());
}

#[test]
fn a_view_costs_no_clone_of_the_value() {
    /// No `Clone` at all.
    struct Plain(u32);
    let state = Watched::new(Plain(7));
    let view = state.view();
    let other = view.clone();
    assert_eq!(other.read(|plain| plain.0), 7);
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Clone for Counted {
        fn clone(&self) -> Self {
            CLONES.fetch_add(1, SeqCst);
            Counted
        }
    }
    let state = Watched::new(Counted);
    let views: Vec<_> = (0..10).map(|_| state.view()).collect();
    state.replace(Counted);
    drop(views.clone());
    assert_eq!(CLONES.load(SeqCst), 0);
    let watcher = state.watch();
    let before = CLONES.load(SeqCst);
    drop(watcher.view());
    assert_eq!(CLONES.load(SeqCst), before);
}

#[test]
fn views_of_one_state_are_told_from_those_of_another() {
    let (one, other) = (Watched::new(0), Watched::new(0));
    let watcher = one.watch();
    assert!(one.view().same_state(&one.view()));
    assert!(one.view().same_state(&watcher.view().clone()));
    assert!(!one.view().same_state(&other.view()));
    let mapped = one.view().map(|n| *n);
    assert!(mapped.same_state(&mapped.clone()) && !mapped.same_state(&one.view()));
}

#[test]
fn a_view_watches_and_calls_back_as_its_state_does() {
    let state = Watched::new(0);
    let view = state.view();
    let (mut all, mut some) = (view.watch(), view.watch_bounded(1, Overflow::DropOldest));
    let called = Arc::new(Mutex::new(Vec::new()));
    let (sink, once) = (called.clone(), called.clone());
    let callbacks = [
        view.on_change(move |change| sink.lock().unwrap().push(change.new)),
        view.on_value(2, move |n| once.lock().unwrap().push(100 * n)),
    ];
    (1..=3).for_each(|n| _ = state.set(n));
    assert!(all.try_iter().map(|change| change.new).eq([1, 2, 3]));
    assert!(
        some.try_iter()
            .map(|change| (change.new, change.missed))
            .eq([(3, 2)])
    );
    assert_eq!(*called.lock().unwrap(), [1, 2, 200, 3]);
    assert_eq!(view.watcher_count(), 2);
    drop(callbacks);
    // What a view registered is not the view's.
    drop(view);
    state.set(4);
    assert_eq!(all.try_recv().unwrap().new, 4);
}

#[test]
fn a_view_goes_to_any_thread_and_outlives_where_it_came_from() {
    in_time(|| {
        let state = Watched::new(0_u32);
        let views: Vec<_> = (0..4).map(|_| state.view()).collect();
        let readers: Vec<_> = views
            .into_iter()
            .map(|view| {
                let wait = view.wait_for(1_000);
                thread::spawn(move || {
                    let last = wait.wait();
                    while !view.is_closed() {
                        thread::yield_now();
                    }
                    (last, view.get(), view.clone().read(|n| *n))
                })
            })
            .collect();
        (1..=1_001).for_each(|n| _ = state.set(n));
        drop(state);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), (Ok(1_000), 1_001, 1_001));
        }
    });
}

// The end

#[test]
fn after_the_end_the_last_value_stays_to_be_seen() {
    let state = Watched::new(String::from("first"));
    let view = state.view();
    let mut reader = view.reader();
    assert_eq!(reader.get(), "first");
    state.set("last".to_owned());
    drop(state);
    assert!(view.is_closed() && view.clone().is_closed());
    assert_eq!(
        (view.get(), view.version(), view.read(String::len)),
        ("last".into(), 1, 4)
    );
    assert_eq!(reader.get(), "last");
    assert_eq!(format!("{view:?}").matches("last").count(), 1);
}

#[test]
fn after_the_end_a_view_still_watches_waits_and_calls_back_what_there_is() {
    let state = Watched::new(0);
    let view = state.view();
    state.set(7);
    drop(state);
    let mut watcher = view.watch();
    assert_eq!((*watcher.seen(), watcher.seen_version()), (7, 1));
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(ready(watcher.wait_for(7)), Ok(7));
    assert_eq!(ready(watcher.wait_for(8)), Err(Closed));
    // The last value counts as the present one; there are no next ones.
    assert_eq!(ready(view.wait_for(7)), Ok(7));
    assert_eq!(ready(view.wait_until(|n| *n > 6)), Ok(7));
    assert_eq!(ready(view.wait_for_not(0)), Ok(7));
    assert_eq!(ready(view.wait_map(|n| Some(n + 1))), Ok(8));
    assert_eq!(ready(view.wait_for(8)), Err(Closed));
    assert_eq!(ready(view.wait_for_not(7)), Err(Closed));
    assert_eq!(ready(view.wait_for_next(7)), Err(Closed));
    assert_eq!(ready(view.wait_until_next(|_| true)), Err(Closed));
    assert_eq!(ready(view.wait_for_change()).map(drop), Err(Closed));
    let called = Arc::new(AtomicU32::new(0));
    let (sink, never) = (called.clone(), called.clone());
    let here = view.on_value(7, move |n| sink.store(*n, SeqCst));
    let change = view.on_change(move |_| never.store(99, SeqCst));
    assert_eq!(called.load(SeqCst), 7);
    drop((here, change));
}

#[test]
fn the_last_value_goes_with_whoever_could_see_it_last() {
    let value = Arc::new(());
    let kept = || Arc::strong_count(&value) - 1;
    let state = Watched::new(Arc::new(()));
    let view = state.view();
    let wait = view.wait_for(Arc::new(()));
    drop(state.replace(value.clone()));
    drop(state);
    assert_eq!(kept(), 1);
    drop(view);
    drop(wait);
    assert_eq!(kept(), 0);
    // Without a view there is nobody to see it.
    let state = Watched::new(value.clone());
    let watcher = state.watch();
    drop(watcher);
    drop(state);
    assert_eq!(kept(), 0);
}

// The count

#[test]
fn view_count_is_exact_whatever_comes_and_goes() {
    let state = Watched::new(0_u32);
    let (mut views, mut waits) = (Vec::<View<u32>>::new(), Vec::new());
    let mut random = 0x9e37_79b9_u32;
    for step in 0..10_000 {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let at = random as usize / 16;
        match random % 8 {
            0 => views.push(state.view()),
            1 => views.extend(views.last().cloned()),
            2 => views.extend(waits.is_empty().then(|| state.watch().view())),
            3 if !views.is_empty() => waits.push(views[at % views.len()].wait_for(step % 16)),
            4 if !views.is_empty() => {
                waits.push(views[at % views.len()].wait_until_next(move |n| *n == step % 16));
            }
            5 if !views.is_empty() => drop(views.swap_remove(at % views.len())),
            6 if !waits.is_empty() => drop(waits.swap_remove(at % waits.len())),
            _ => {
                state.set(step % 16);
                // Decided or not, collected or not.
                let _ = waits.last_mut().map(poll);
                if waits
                    .last_mut()
                    .is_some_and(|wait| futures_core::FusedFuture::is_terminated(wait))
                {
                    waits.pop();
                }
            }
        }
        assert_eq!(state.view_count(), views.len() + waits.len());
        if let Some(view) = views.first() {
            assert_eq!(view.view_count(), state.view_count());
        }
    }
    drop((views, waits));
    assert_eq!((state.view_count(), state.watcher_count()), (0, 0));
}

#[test]
fn a_forgotten_view_still_counts_and_harms_nobody() {
    let state = Watched::new(0);
    std::mem::forget(state.view());
    std::mem::forget(state.view().wait_for(9));
    let mut alone = state.wait_unwatched();
    assert_eq!(state.view_count(), 2);
    assert!(pending(&mut alone));
    assert!(state.set(1));
}

// Who looks

#[test]
fn wait_unwatched_resolves_once_nobody_looks_now_or_at_any_moment_since() {
    let state = Watched::new(0);
    assert_eq!(ready(state.wait_unwatched()), (), "now");
    let task = Task::new();
    let view = state.view();
    let (watcher, owned) = (state.watch(), view.wait_for(9));
    let mut alone = state.wait_unwatched();
    assert!(task.poll(&mut alone).is_pending());
    drop(view);
    drop(watcher);
    assert!(task.poll(&mut alone).is_pending());
    assert_eq!(task.wakes(), 0, "one is left");
    drop(owned);
    assert_eq!(task.wakes(), 1);
    // It was so: who comes afterwards is too late.
    let _view = state.view();
    assert_eq!(task.poll(&mut alone), Poll::Ready(()));
    assert!(pending(&mut state.wait_unwatched()));
}

#[test]
fn wait_watched_resolves_once_somebody_looks_now_or_at_any_moment_since() {
    type Look = fn(&Watched<u32>);
    let looks: [(&str, Look); 4] = [
        ("a view", |s| drop(s.view())),
        ("a watcher", |s| drop(s.watch())),
        ("a bounded watcher", |s| {
            drop(s.watch_bounded(1, Overflow::DropOldest));
        }),
        ("a resumed watcher", |s| drop(s.watch_since(0))),
    ];
    for (name, look) in looks {
        let (state, task) = (Watched::new(0), Task::new());
        let mut somebody = state.wait_watched();
        assert!(task.poll(&mut somebody).is_pending(), "{name}");
        look(&state);
        assert_eq!(task.wakes(), 1, "{name}");
        assert_eq!(task.poll(&mut somebody), Poll::Ready(()), "{name}");
        assert!(pending(&mut state.wait_watched()), "{name}");
        let _view = state.view();
        assert_eq!(ready(state.wait_watched()), (), "{name}: now");
    }
}

#[test]
fn transitions_waits_and_callbacks_are_nobody_who_looks() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut somebody = state.wait_watched();
    assert!(task.poll(&mut somebody).is_pending());
    let wait = state.wait_for(9);
    let callback = state.on_change(|_| ());
    (1..5).for_each(|n| _ = state.set(n));
    assert!(task.poll(&mut somebody).is_pending());
    assert_eq!(ready(state.wait_unwatched()), ());
    assert_eq!(task.wakes(), 0);
    drop((wait, callback));
}

#[test]
fn a_graceful_end_waits_for_every_connection() {
    in_time(|| {
        let shutdown = leaked(false);
        let done = Arc::new(AtomicU32::new(0));
        let connections: Vec<_> = (0..8)
            .map(|_| {
                let (view, done) = (shutdown.view(), done.clone());
                thread::spawn(move || {
                    assert_eq!(view.wait_for(true).wait(), Ok(true));
                    done.fetch_add(1, SeqCst);
                    drop(view);
                })
            })
            .collect();
        let idle = shutdown.wait_unwatched();
        shutdown.set(true);
        idle.wait();
        assert_eq!(done.load(SeqCst), 8);
        for connection in connections {
            connection.join().unwrap();
        }
    });
}

#[test]
fn a_watcher_gives_views_and_they_keep_its_state_in_sight_when_it_is_gone() {
    let state = Watched::new(1);
    let mut watcher = state.watch();
    let view = watcher.view();
    state.set(2);
    assert_eq!((watcher.try_recv().unwrap().new, view.get()), (2, 2));
    drop(watcher);
    assert_eq!((state.watcher_count(), state.view_count()), (0, 1));
    let wait = view.wait_for(3);
    state.set(3);
    assert_eq!(ready(wait), Ok(3));
}

// A state that ends while a view of it is in use

#[test]
fn a_state_that_ends_while_its_view_is_read_ends_when_it_has_been_read() {
    in_time(|| {
        let slot = Mutex::new(Some(Watched::new(1)));
        let view = slot.lock().unwrap().as_ref().map(Watched::view).unwrap();
        let mut wait = view.wait_for(9);
        assert!(pending(&mut wait));
        let read = view.read(|n| {
            let state = slot.lock().unwrap().take();
            drop(state);
            *n
        });
        assert_eq!((read, view.get(), view.is_closed()), (1, 1, true));
        assert_eq!(ready(wait), Err(Closed));
    });
}

#[test]
fn a_reader_of_a_view_panics_inside_a_closure_when_it_has_to_look_and_reads_on_afterwards() {
    let state = leaked(0);
    let view = state.view();
    let mut reader = view.reader();
    state.set(1);
    let said = view.read(|_| panics(|| *reader.get()));
    assert!(said.contains("onlooker"), "{said}");
    assert_eq!(*reader.get(), 1);
    assert_eq!(observers(state), 0);
}
