//! Who waits, and for what: one moment, to print when something hangs.

mod common;

use common::{Barrier, Task, in_time, leaked, panics, pending, poll};
use onlooker::{Details, Inspection, Observer, Overflow, Watched};
use std::sync::{Arc, Mutex};
use std::thread;

fn whats(inspection: &Inspection) -> Vec<&'static str> {
    let mut whats: Vec<_> = inspection
        .observers
        .iter()
        .map(|observer| observer.what)
        .collect();
    whats.sort_unstable();
    whats
}

fn the(inspection: &Inspection) -> &Observer {
    assert_eq!(inspection.observers.len(), 1, "{inspection}");
    &inspection.observers[0]
}

#[test]
fn nobody_is_listed_where_nobody_is() {
    let state = Watched::new(0);
    state.set(1);
    for inspection in [state.inspect(), state.view().inspect()] {
        assert_eq!((inspection.version, inspection.observers.len()), (1, 0));
    }
    assert_eq!(
        (state.inspect().views, state.view().inspect().views),
        (0, 1)
    );
    assert_eq!(state.inspect().to_string().lines().count(), 1);
}

#[test]
fn every_observer_is_listed_by_what_it_is_and_views_are_counted() {
    let state = leaked(None::<u32>);
    let view = state.view();
    let waits = (
        [
            state.wait_for(Some(1)),
            state.wait_for_not(None),
            state.wait_for_next(None),
        ],
        [
            state.wait_until(|_| false),
            state.wait_until_next(|_| false),
        ],
        state.wait_map(|_| None::<()>),
        state.wait_for_some(),
        state.wait_for_change(),
        [state.wait_unwatched(), state.wait_watched()],
        [view.wait_for(Some(1)), view.wait_until(|_| false)],
    );
    let watchers = (state.watch(), view.watch_bounded(1, Overflow::DropNewest));
    state.set(Some(9));
    let mut paced = state.set_paced(None);
    assert!(pending(&mut paced));
    let callbacks = [state.on_change(|_| ()), state.on_value(None, |_| ())];
    let derived = (
        view.map(|n| *n),
        view.zip(&view),
        onlooker::View::all([view.clone()]),
    );
    let who = state.inspect();
    let expected = [
        ("all", 1),
        ("callback", 2),
        ("map", 1),
        ("paced", 1),
        ("wait_for", 2),
        ("wait_for_change", 1),
        ("wait_for_next", 1),
        ("wait_for_not", 1),
        ("wait_for_some", 1),
        ("wait_map", 1),
        ("wait_until", 2),
        ("wait_until_next", 1),
        ("wait_unwatched", 1),
        ("wait_watched", 1),
        ("watcher", 2),
        // A pair of a view with itself follows it twice.
        ("zip", 2),
    ];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|(what, times)| std::iter::repeat_n(*what, *times))
        .collect();
    assert_eq!(whats(&who), expected, "{who}");
    assert_eq!(
        (who.version, who.views, state.view_count()),
        (1, state.view_count(), who.views)
    );
    // A line, then a row each.
    assert_eq!(who.to_string().lines().count(), 1 + who.observers.len());
    assert_eq!(whats(&view.inspect()), expected, "a view shows the same");
    drop((waits, watchers, paced, callbacks, derived));
    assert!(state.inspect().observers.is_empty());
    assert_eq!(state.inspect().views, 1);
    drop(view);
    assert_eq!(
        who.observers.len(),
        expected.len(),
        "it was a moment, and stays as it was"
    );
}

#[test]
fn since_is_the_version_at_which_it_joined_or_from_which_it_resumed() {
    let state = Watched::with_history(0, 16);
    (1..=3).for_each(|n| _ = state.set(n));
    let watcher = state.watch();
    assert_eq!(the(&state.inspect()).since, 3);
    drop(watcher);
    let resumed = state.watch_since(1).unwrap();
    state.set(4);
    assert_eq!(the(&state.inspect()).since, 1);
    drop(resumed);
    let wait = state.wait_for(9);
    state.set(5);
    assert_eq!(the(&state.inspect()).since, 4);
    drop(wait);
    let callback = state.on_change(|_| ());
    state.set(6);
    assert_eq!(the(&state.inspect()).since, 5);
    drop(callback);
    let mapped = state.view().map(|n| *n);
    state.set(7);
    assert_eq!(the(&state.inspect()).since, 6);
    drop(mapped);
}

#[test]
fn a_watcher_is_shown_with_its_backlog_its_losses_and_whether_it_sleeps() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut watcher = state.watch_bounded(2, Overflow::DropOldest);
    let look = |expected: (usize, Option<usize>, u64, bool)| {
        let who = state.inspect();
        let Details::Watcher {
            len,
            capacity,
            missed,
            asleep,
            ..
        } = &the(&who).details
        else {
            panic!("not a watcher: {who}");
        };
        assert_eq!((*len, *capacity, *missed, *asleep), expected);
    };
    look((0, Some(2), 0, false));
    (1..=5).for_each(|n| _ = state.set(n));
    look((2, Some(2), 3, false));
    assert_eq!(watcher.try_iter().count(), 2);
    let mut recv = watcher.recv();
    assert!(task.poll(&mut recv).is_pending());
    look((0, Some(2), 3, true));
    state.set(6);
    look((1, Some(2), 3, false));
    drop(recv);
    drop(watcher);
    let watcher = state.watch();
    (0..3).for_each(|n| _ = state.set(n));
    look((3, None, 0, false));
    drop(watcher);
}

#[test]
fn a_wait_is_shown_polled_or_not_and_decided_until_it_was_collected() {
    let state = Watched::new(0);
    for owned in [false, true] {
        state.set(0);
        let (mut wait, mut owned_wait) = match owned {
            false => (Some(state.wait_until(|n| *n == 1)), None),
            true => (None, Some(state.view().wait_until(|n| *n == 1))),
        };
        let look = |expected: (bool, bool)| {
            let who = state.inspect();
            let Details::Wait {
                polled, decided, ..
            } = the(&who).details
            else {
                panic!("not a wait: {who}");
            };
            assert_eq!((polled, decided), expected, "owned {owned}");
        };
        look((false, false));
        assert!(wait.as_mut().is_none_or(pending));
        assert!(owned_wait.as_mut().is_none_or(pending));
        look((true, false));
        state.set(1);
        state.set(2);
        look((true, true));
        assert!(wait.as_mut().is_none_or(|wait| poll(wait).is_ready()));
        assert!(owned_wait.as_mut().is_none_or(|wait| poll(wait).is_ready()));
        assert!(state.inspect().observers.is_empty(), "it was collected");
    }
}

#[test]
fn a_callback_is_shown_with_its_finished_calls_panicked_ones_among_them() {
    in_time(|| {
        let (state, barrier) = (leaked(0), Barrier::new());
        let held = barrier.clone();
        let callback = state.on_change(move |change| match change.new {
            1 => (),
            2 => panic!("on purpose"),
            _ => held.pass(),
        });
        let look = |expected: (u64, u64, bool)| {
            let who = state.inspect();
            let Details::Callback {
                runs,
                panics,
                longest,
                running,
                ..
            } = the(&who).details
            else {
                panic!("not a callback: {who}");
            };
            assert_eq!((runs, panics, running), expected);
            assert_eq!(longest.is_some(), runs > 0 && cfg!(feature = "std"));
        };
        look((0, 0, false));
        state.set(1);
        look((1, 0, false));
        state.set(2);
        look((2, 1, false));
        let setter = thread::spawn(move || state.set(3));
        barrier.arrived();
        look((2, 1, true));
        barrier.open();
        assert!(setter.join().unwrap());
        look((3, 1, false));
        drop(callback);
    });
}

#[test]
fn a_derived_view_and_a_paced_setter_are_shown_as_what_they_are() {
    let state = Watched::new(0);
    let mapped = state.view().map(|n| n + 1);
    assert_eq!(the(&state.inspect()).details, Details::Derived);
    let wait = mapped.wait_for(9);
    assert_eq!(
        (the(&mapped.inspect()).what, mapped.inspect().version),
        ("wait_for", 0)
    );
    drop((mapped, wait));
    let full = state.watch_bounded(1, Overflow::DropNewest);
    state.set(1);
    let mut paced = state.set_paced(2);
    assert!(pending(&mut paced));
    let who = state.inspect();
    assert!(
        who.observers
            .iter()
            .any(|observer| observer.details == Details::Paced)
    );
    drop((paced, full));
}

#[test]
fn it_speaks_of_one_as_of_one_and_of_others_as_of_several() {
    let state = Watched::new(0);
    assert_eq!(
        state.inspect().to_string(),
        "version 0, 0 views, 0 observers"
    );
    let mut views = vec![state.view()];
    let callback = state.on_change(|change| assert_ne!(change.new, 1));
    let said = state.inspect().to_string();
    assert!(
        said.starts_with("version 0, 1 view, 1 observer\n"),
        "{said}"
    );
    assert!(said.contains(": 0 runs, 0 panics"), "{said}");
    state.set(1);
    let said = state.inspect().to_string();
    assert!(said.contains(": 1 run, 1 panic, the longest "), "{said}");
    state.set(2);
    views.push(state.view());
    let wait = state.wait_for(9);
    let said = state.inspect().to_string();
    assert!(
        said.starts_with("version 2, 2 views, 2 observers\n"),
        "{said}"
    );
    assert!(said.contains(": 2 runs, 1 panic, "), "{said}");
    drop((wait, callback));
}

#[test]
fn it_can_be_asked_inside_a_callback_and_inside_another_states_closure() {
    let (state, other) = (leaked(0), Watched::new(0));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let sink = shown.clone();
    let callback = state.on_change(move |_| sink.lock().unwrap().push(state.inspect()));
    state.set(1);
    let inside = &shown.lock().unwrap()[0];
    assert_eq!((inside.version, the(inside).what), (1, "callback"));
    assert!(format!("{inside:?}").contains("running: true"));
    let beside = other.read(|_| state.inspect());
    assert_eq!(the(&beside).what, "callback");
    drop(callback);
}

#[test]
fn it_cannot_be_asked_inside_a_closure_of_the_same_state() {
    let state = Watched::new(0);
    let said = panics(|| state.read(|_| state.inspect()));
    assert!(said.contains("onlooker"), "{said}");
    assert!(state.set(1));
}

#[test]
fn it_lasts_after_the_end() {
    let state = Watched::new(0);
    let view = state.view();
    let wait = view.wait_for(9);
    let watcher = view.watch();
    state.set(1);
    drop(state);
    let who = view.inspect();
    assert_eq!((who.version, who.views), (1, 2));
    assert_eq!(whats(&who), ["wait_for", "watcher"]);
    drop((wait, watcher));
    assert!(view.inspect().observers.is_empty());
}

#[test]
fn with_the_feature_inspect_it_says_where_each_was_made_and_without_it_nothing() {
    let state = leaked(0);
    let view = state.view();
    let made = line!();
    let kept = (
        state.watch(),                                // +2
        state.wait_for(9),                            // +3
        state.wait_until(|_| false),                  // +4
        view.wait_for_change(),                       // +5
        state.on_change(|_| ()),                      // +6
        view.map(|n| *n),                             // +7
        state.watch_bounded(1, Overflow::DropNewest), // +8
    );
    let who = state.inspect();
    assert_eq!(who.observers.len(), 7, "{who}");
    let mut lines: Vec<_> = who
        .observers
        .iter()
        .filter_map(|observer| observer.location)
        .inspect(|location| assert_eq!(location.file(), file!()))
        .map(std::panic::Location::line)
        .collect();
    lines.sort_unstable();
    if cfg!(feature = "inspect") {
        assert!(lines.iter().copied().eq(made + 2..=made + 8), "{who}");
        assert!(who.to_string().contains("inspect.rs"), "{who}");
    } else {
        assert!(lines.is_empty(), "{who}");
    }
    drop(kept);
}
