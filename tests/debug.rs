//! What the types say of themselves: values, where there are any, and no panic wherever they are asked.

mod common;

use common::{leaked, pending};
use onlooker::{Overflow, Watched};
use std::fmt::{self, Debug};
use std::future::pending as never;

#[test]
fn states_views_readers_and_transitions_show_their_values() {
    let state = Watched::new("red");
    assert!(state.set("green"));
    let view = state.view();
    let mut watcher = state.watch();
    let change = state.wait_for_change();
    state.set("blue");
    for (shown, name, value) in [
        (format!("{state:?}"), "Watched", "\"blue\""),
        (format!("{view:?}"), "View", "\"blue\""),
        (format!("{:?}", state.reader()), "Reader", "\"blue\""),
        (format!("{:?}", view.reader()), "Reader", "\"blue\""),
        (format!("{watcher:?}"), "Watcher", "\"green\""),
        (
            format!("{:?}", state.set_paced("white")),
            "SetPaced",
            "\"white\"",
        ),
        (format!("{:?}", watcher.recv()), "Recv", "\"green\""),
        (
            format!("{:?}", watcher.wait_for("white")),
            "Wait",
            "\"green\"",
        ),
        (format!("{:?}", watcher.iter()), "Iter", "\"green\""),
        (format!("{:?}", watcher.try_iter()), "Iter", "\"green\""),
        (format!("{:?}", change.wait()), "Transition", "\"blue\""),
        (format!("{:?}", watcher.values()), "Values", "\"green\""),
    ] {
        assert!(shown.contains(name) && shown.contains(value), "{shown}");
    }
}

/// What holds states and derives `Debug`, printed when it hangs, says who is to blame.
#[test]
fn debug_of_what_hangs_shows_who_waits_and_for_what() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "to be printed")]
    struct Shop {
        orders: &'static Watched<u32>,
        shelf: onlooker::View<u32>,
    }

    let (orders, shelf) = (leaked(0), leaked(0));
    let forgotten = orders.watch_bounded(1, Overflow::DropOldest);
    let waiting = shelf.wait_for(5);
    orders.set(1);
    let mut set = orders.set_paced(2);
    assert!(pending(&mut set));
    let shop = Shop {
        orders,
        shelf: shelf.view(),
    };
    let shown = format!("{shop:?}");
    for row in [
        "Watched { value: 1, version: 1, views: 0, observers: [\
         watcher since version 0: 1 of 1 buffered, 0 missed, not waiting",
        "paced since version 1: waits for room",
        "View { value: 0, version: 0, views: 1, observers: [\
         wait_for since version 0: waiting, never polled",
    ] {
        assert!(shown.contains(row), "{shown}");
    }
    drop((forgotten, waiting, set));
    assert!(format!("{orders:?}").contains("observers: []"));
}

#[test]
fn what_has_no_value_says_its_name_and_needs_none() {
    /// Not even `Debug`.
    #[derive(Clone, PartialEq)]
    struct Opaque;

    let state = Watched::new(Opaque);
    let view = state.view();
    for (shown, name) in [
        (format!("{:?}", state.wait_for(Opaque)), "Wait"),
        (format!("{:?}", state.wait_for_change()), "Wait"),
        (format!("{:?}", state.wait_until(|_| false)), "Wait"),
        (format!("{:?}", state.wait_unwatched()), "Wait"),
        (format!("{:?}", view.wait_for(Opaque)), "OwnedWait"),
        (format!("{:?}", view.wait_map(|_| Some(()))), "OwnedWait"),
        (format!("{:?}", state.on_change(|_| {})), "Callback"),
        (
            format!("{:?}", state.wait_for(Opaque).unless(never::<()>())),
            "Unless",
        ),
        (format!("{:?}", state.inspect()), "Inspection"),
    ] {
        assert!(shown.contains(name), "{shown}");
    }
}

/// As std's `Mutex`: `Debug` of a state needs that of its value, and nothing else.
#[test]
fn debug_of_a_state_is_there_where_its_values_is() {
    fn shows<T: Debug>() {}

    #[derive(Debug)]
    struct Plain;

    shows::<Watched<Plain>>();
    shows::<onlooker::View<Plain>>();
    shows::<onlooker::Watcher<Plain>>();
    shows::<onlooker::Wait<'_, Plain>>();
}

#[test]
fn while_this_very_thread_holds_the_state_it_shows_locked_and_does_not_panic() {
    let state = leaked(7);
    let view = state.view();
    let mut watcher = state.watch();
    let mut wait = state.wait_for(9);
    assert!(pending(&mut wait));
    let shown = state.read(|_| {
        let shown = format!("{state:?} {view:?}");
        // These take no lock, or tell what they can.
        let others = [
            format!("{wait:?}"),
            format!("{watcher:?}"),
            format!("{:?}", state.set_paced(1)),
            format!("{:?}", watcher.recv()),
        ];
        assert!(others.iter().all(|shown| !shown.is_empty()));
        shown
    });
    assert_eq!(shown.matches("<locked>").count(), 2, "{shown}");
    assert!(!shown.contains('7'), "{shown}");
    assert!(!format!("{state:?} {view:?} {watcher:?}").contains("<locked>"));
}

#[test]
fn another_thread_that_holds_the_state_is_waited_for() {
    let state = leaked(7);
    let shown = std::thread::scope(|scope| {
        let (begun, begin) = std::sync::mpsc::channel();
        let holder = scope.spawn(move || {
            state.update(|n| {
                begun.send(()).unwrap();
                (0..100).for_each(|_| std::thread::yield_now());
                n + 1
            })
        });
        begin.recv().unwrap();
        let shown = format!("{state:?}");
        holder.join().unwrap();
        shown
    });
    assert!(shown.contains('8'), "{shown}");
}

#[test]
fn a_value_whose_debug_asks_the_state_itself_shows_it_as_locked() {
    #[derive(Clone)]
    struct Curious(Option<&'static Watched<Curious>>);

    impl Debug for Curious {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "holding {:?}", self.0)
        }
    }

    let state = leaked(Curious(None));
    state.replace(Curious(Some(state)));
    let shown = format!("{state:?} {:?}", state.view());
    assert_eq!(shown.matches("<locked>").count(), 2, "{shown}");
    state.replace(Curious(None));
}

#[test]
fn a_debug_that_panics_leaves_the_state_usable() {
    struct Broken;

    impl Debug for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("debug")
        }
    }

    let state = Watched::new(Broken);
    let watcher = state.wait_map(|_| None::<()>);
    assert_eq!(common::panics(|| format!("{state:?}")), "debug");
    assert_eq!(common::panics(|| format!("{:?}", state.view())), "debug");
    state.replace(Broken);
    assert_eq!(state.version(), 1);
    drop(watcher);
    assert!(format!("{:?}", Overflow::DropOldest).contains("DropOldest"));
}
