//! Writing: what each setter stores, returns and counts; and the rule about calling back from inside.

mod common;

use common::{panics, pending, poll, ready};
use onlooker::{Overflow, Watched};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;

static MODE: Watched<&str> = Watched::new("idle");

const fn fixed() -> Watched<Option<u8>> {
    Watched::new(None)
}

static CONST: Watched<Option<u8>> = fixed();

#[test]
fn a_static_is_made_by_a_const_fn_and_set_by_any_thread() {
    thread::spawn(|| MODE.set("busy")).join().unwrap();
    assert_eq!((MODE.get(), MODE.version()), ("busy", 1));
    assert!(CONST.set(Some(3)));
    assert_eq!(CONST.get(), Some(3));
}

#[test]
fn set_stores_and_says_whether_that_was_a_transition() {
    let state = Watched::new(1);
    assert!(state.set(2));
    assert_eq!((state.get(), state.version()), (2, 1));
    assert!(!state.set(2));
    assert_eq!((state.get(), state.version()), (2, 1));
    assert!(state.set(1));
    assert_eq!((state.get(), state.version()), (1, 2));
}

#[test]
fn an_equal_value_is_shown_to_nobody() {
    let state = Watched::new(1);
    let mut watcher = state.watch();
    let mut change = state.wait_for_change();
    state.set(1);
    let _ = state.set_if(1, |_| true);
    state.update(|n| *n);
    let _ = state.try_update(|n| Some(*n));
    state.modify(|n| *n = 1);
    assert!(watcher.try_recv().is_err());
    assert!(poll(&mut change).is_pending());
    assert_eq!(state.version(), 0);
}

#[test]
fn replace_is_a_transition_even_to_an_equal_value() {
    /// Not comparable, not cloneable.
    struct Plain(u8);
    let state = Watched::new(Plain(1));
    assert_eq!(state.replace(Plain(1)).0, 1);
    assert_eq!(state.version(), 1);
    assert_eq!(state.replace(Plain(2)).0, 1);
    assert_eq!((state.version(), state.read(|plain| plain.0)), (2, 2));

    let state = Watched::new(1);
    let mut watcher = state.watch();
    state.replace(1);
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.old, change.new, change.seq), (1, 1, 1));
}

#[test]
fn replace_with_is_a_transition_from_the_present_value_and_gives_it_back() {
    /// Not comparable, not cloneable.
    struct Plain(u8);
    let state = Watched::new(Plain(1));
    assert_eq!(state.replace_with(|plain| Plain(plain.0 * 10)).0, 1);
    assert_eq!(state.replace_with(|plain| Plain(plain.0)).0, 10);
    assert_eq!((state.version(), state.read(|plain| plain.0)), (2, 10));

    let state = Watched::new(1);
    let mut watcher = state.watch();
    assert_eq!(state.replace_with(|n| *n), 1);
    let change = watcher.try_recv().unwrap();
    assert_eq!((change.old, change.new, change.seq), (1, 1, 1));
}

#[test]
fn set_if_stores_only_where_the_condition_holds_and_gives_the_value_back_elsewhere() {
    let state = Watched::new(String::from("open"));
    assert_eq!(
        state.set_if(String::from("closing"), |now| now == "open"),
        Ok(())
    );
    assert_eq!((state.get(), state.version()), ("closing".into(), 1));
    let refused = state.set_if(String::from("open"), |now| now == "closed");
    assert_eq!(refused, Err(String::from("open")));
    assert_eq!((state.get(), state.version()), ("closing".into(), 1));
}

#[test]
fn set_if_of_an_equal_value_is_ok_and_no_transition() {
    let state = Watched::new(1);
    assert_eq!(state.set_if(1, |_| true), Ok(()));
    assert_eq!(state.version(), 0);
    assert_eq!(state.set_if(1, |_| false), Err(1));
}

#[test]
fn update_returns_the_previous_value() {
    let state = Watched::new(1);
    assert_eq!(state.update(|n| n + 1), 1);
    assert_eq!((state.get(), state.version()), (2, 1));
    assert_eq!(state.update(|n| *n), 2);
    assert_eq!(state.version(), 1);
}

#[test]
fn try_update_returns_the_previous_value_or_the_present_one() {
    let state = Watched::new(1_u32);
    assert_eq!(state.try_update(|n| n.checked_sub(1)), Ok(1));
    assert_eq!((state.get(), state.version()), (0, 1));
    assert_eq!(state.try_update(|n| n.checked_sub(1)), Err(0));
    assert_eq!(state.try_update(|n| Some(*n)), Ok(0));
    assert_eq!((state.get(), state.version()), (0, 1));
}

#[test]
fn modify_publishes_only_what_differs() {
    let state = Watched::new(vec![1]);
    assert!(state.modify(|list| list.push(2)));
    assert!(!state.modify(ReverseTwice::reverse_twice));
    assert_eq!((state.get(), state.version()), (vec![1, 2], 1));
}

trait ReverseTwice {
    fn reverse_twice(&mut self);
}

impl ReverseTwice for Vec<i32> {
    fn reverse_twice(&mut self) {
        self.reverse();
        self.reverse();
    }
}

#[test]
fn a_panic_in_modify_leaves_nothing_half_changed() {
    let state = Watched::new(vec![1, 2, 3]);
    let mut watcher = state.watch();
    let said = panics(|| {
        state.modify(|list| {
            list.clear();
            list.push(9);
            panic!("half way");
        })
    });
    assert_eq!(said, "half way");
    assert_eq!((state.get(), state.version()), (vec![1, 2, 3], 0));
    assert!(watcher.try_recv().is_err());
    assert!(state.modify(|list| list.push(4)));
    assert_eq!(watcher.try_recv().unwrap().new, [1, 2, 3, 4]);
}

#[test]
fn a_panic_in_any_closure_changes_nothing_and_the_state_goes_on() {
    type Act = fn(&Watched<i32>);
    let acts: [(&str, Act); 6] = [
        ("read", |s| s.read(|_| panic!("oh"))),
        ("replace_with", |s| _ = s.replace_with(|_| panic!("oh"))),
        ("set_if", |s| _ = s.set_if(5, |_| panic!("oh"))),
        ("update", |s| _ = s.update(|_| panic!("oh"))),
        ("try_update", |s| _ = s.try_update(|_| panic!("oh"))),
        ("modify", |s| _ = s.modify(|_| panic!("oh"))),
    ];
    for (name, act) in acts {
        for watched in [false, true] {
            let state = Watched::new(1);
            let watcher = watched.then(|| state.watch());
            assert_eq!(panics(|| act(&state)), "oh", "{name}");
            assert_eq!((state.get(), state.version()), (1, 0), "{name}");
            assert!(state.set(2), "{name}");
            if let Some(mut watcher) = watcher {
                let change = watcher.try_recv().unwrap();
                assert_eq!((change.old, change.new, change.seq), (1, 2, 1), "{name}");
            }
        }
    }
}

#[test]
fn every_way_to_write_reaches_those_who_watch() {
    let state = Watched::new(0);
    let mut watcher = state.watch();
    state.set(1);
    state.replace(2);
    state.set_if(3, |_| true).unwrap();
    state.update(|n| n + 1);
    state.try_update(|n| Some(n + 1)).unwrap();
    state.modify(|n| *n += 1);
    assert!(ready(state.set_paced(7)));
    assert_eq!(state.try_set_paced(8), Ok(true));
    assert_eq!(state.replace_with(|n| n + 1), 8);
    let seen: Vec<_> = std::iter::from_fn(|| watcher.try_recv().ok())
        .map(|change| (change.old, change.new, change.seq))
        .collect();
    let all: Vec<_> = (0..9).map(|n| (n, n + 1, n as u64 + 1)).collect();
    assert_eq!(seen, all);
}

#[test]
fn threads_that_update_lose_no_step() {
    let state = Watched::new(0_u64);
    let mut watcher = state.watch();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    state.update(|n| n + 1);
                    state.modify(|n| *n += 1);
                    state.try_update(|n| Some(n + 1)).unwrap();
                    state.replace_with(|n| n + 1);
                }
            });
        }
    });
    assert_eq!((state.get(), state.version()), (16_000, 16_000));
    for n in 0..16_000 {
        let change = watcher.try_recv().unwrap();
        assert_eq!((change.old, change.new, change.seq), (n, n + 1, n + 1));
    }
}

#[test]
fn of_many_threads_one_wins_the_condition() {
    for _ in 0..50 {
        let state = Watched::new(0);
        let winners = AtomicUsize::new(0);
        thread::scope(|scope| {
            for me in 1..=4 {
                let (state, winners) = (&state, &winners);
                scope.spawn(move || {
                    if state.set_if(me, |now| *now == 0).is_ok() {
                        winners.fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!((winners.load(SeqCst), state.version()), (1, 1));
    }
}

#[test]
fn a_ticket_is_never_sold_twice() {
    let tickets = Watched::new(100_u32);
    let sold = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while tickets.try_update(|n| n.checked_sub(1)).is_ok() {
                    sold.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!((sold.load(SeqCst), tickets.get()), (100, 0));
}

#[test]
fn values_that_were_not_stored_are_dropped_exactly_once() {
    let token = Arc::new(());
    let state = Watched::new(token.clone());
    let watcher = state.watch_bounded(1, Overflow::DropNewest);
    // Equal: the stored one stays, the new one goes.
    state.set(token.clone());
    let _ = state.set_if(token.clone(), |_| true);
    assert_eq!(Arc::strong_count(&token), 3); // ours, the state's, the watcher's snapshot
    drop(state);
    // The watcher could still give a view of the last one.
    drop(watcher);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn nothing_is_cloned_or_kept_for_nobody() {
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    #[derive(PartialEq)]
    struct Counted(i32);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            CLONES.fetch_add(1, SeqCst);
            Counted(self.0)
        }
    }
    let state = Watched::new(Counted(0));
    drop(state.watch()); // one clone: its snapshot
    drop(state.wait_for(Counted(9)));
    let before = CLONES.load(SeqCst);
    for n in 1..100 {
        state.set(Counted(n));
        state.replace(Counted(n));
    }
    assert_eq!(CLONES.load(SeqCst), before);
}

#[test]
fn a_set_that_is_stored_is_seen_by_a_wait_made_afterwards() {
    let state = Watched::new(0);
    state.set(3);
    assert_eq!(ready(state.wait_for(3)), 3);
    assert_eq!(poll(&mut state.wait_for_next(3)), Poll::Pending);
}

thread_local! {
    static COMPARED: RefCell<Vec<(u32, u32)>> = const { RefCell::new(Vec::new()) };
}

/// Notes who was compared with whom.
#[derive(Clone, Debug)]
struct Noted(u32);

impl PartialEq for Noted {
    fn eq(&self, other: &Self) -> bool {
        COMPARED.with_borrow_mut(|compared| compared.push((self.0, other.0)));
        self.0 == other.0
    }
}

#[test]
fn the_state_is_compared_with_what_is_waited_for_and_the_new_value_with_the_one_before() {
    fn compared<R>(act: impl FnOnce() -> R) -> (R, Vec<(u32, u32)>) {
        let result = act();
        (result, COMPARED.take())
    }
    type Write = fn(&Watched<Noted>);
    let writers: [(&str, Write); 7] = [
        ("set", |s| _ = s.set(Noted(2))),
        ("set_if", |s| s.set_if(Noted(2), |_| true).unwrap()),
        ("update", |s| _ = s.update(|_| Noted(2))),
        ("try_update", |s| _ = s.try_update(|_| Some(Noted(2)))),
        ("modify", |s| _ = s.modify(|value| value.0 = 2)),
        ("set_paced", |s| _ = s.set_paced(Noted(2)).wait()),
        ("try_set_paced", |s| _ = s.try_set_paced(Noted(2))),
    ];
    for (name, write) in writers {
        let state = Watched::new(Noted(1));
        let mapped = state.view().map(|value| Noted(10 * value.0));
        let (_, pairs) = compared(|| write(&state));
        assert_eq!(pairs, [(2, 1), (20, 10)], "{name}");
        drop(mapped);
    }

    let state = Watched::new(Noted(1));
    let view = state.view();
    let (wait, pairs) = compared(|| state.wait_for(Noted(9)));
    assert_eq!(pairs, [(1, 9)]);
    let (_, pairs) = compared(|| state.replace(Noted(2)));
    assert_eq!(pairs, [(2, 9)]);
    drop(wait);
    let (wait, pairs) = compared(|| view.wait_for_not(Noted(2)));
    assert_eq!(pairs, [(2, 2)]);
    let (_, pairs) = compared(|| state.replace(Noted(3)));
    assert_eq!(pairs, [(3, 2)]);
    drop(wait);
    let (wait, pairs) = compared(|| view.wait_for_next(Noted(9)));
    assert_eq!(pairs, []);
    let (_, pairs) = compared(|| state.replace(Noted(4)));
    assert_eq!(pairs, [(4, 9)]);
    drop(wait);
    let (callback, pairs) = compared(|| state.on_value(Noted(9), |_| ()));
    assert_eq!(pairs, [(4, 9)]);
    let (_, pairs) = compared(|| state.replace(Noted(5)));
    assert_eq!(pairs, [(5, 9)]);
    drop(callback);
    let mut watcher = view.watch();
    state.replace(Noted(6));
    let (_, pairs) = compared(|| pending(&mut watcher.wait_for(Noted(9))));
    assert_eq!(pairs, [(5, 9), (6, 9)]);
}
