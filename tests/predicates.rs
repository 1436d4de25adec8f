//! Predicates: judged inside the commit, in order, once each; and pure, or their own wait is over.

mod common;

use common::{
    Barrier, Task, eventually, in_time, leaked, message, observers, panics, pending, poll, ready,
};
use onlooker::{Overflow, Wait, Watched};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

#[test]
fn a_predicate_sees_the_present_value_and_then_every_transition_once_until_it_holds() {
    let (state, log) = (Watched::new(0), Arc::new(Mutex::new(Vec::new())));
    let sink = log.clone();
    let mut wait = state.wait_until(move |n| {
        sink.lock().unwrap().push(*n);
        *n == 4
    });
    for n in 1..10 {
        // Polling asks no predicate.
        assert_eq!(poll(&mut wait), Poll::Pending);
        state.set(n);
        if n == 4 {
            break;
        }
    }
    state.set(20);
    assert_eq!(*log.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(ready(wait), 4);

    log.lock().unwrap().clear();
    let sink = log.clone();
    let wait = state.wait_until_next(move |n| {
        sink.lock().unwrap().push(*n);
        *n == 22
    });
    state.set(21);
    state.set(22);
    state.set(23);
    assert_eq!(ready(wait), 22);
    assert_eq!(*log.lock().unwrap(), [21, 22]);
}

#[test]
fn a_predicate_runs_in_the_commit_on_the_setters_thread_before_the_setter_returns() {
    let (state, seen) = (leaked(0), Arc::new(Mutex::new(Vec::new())));
    let sink = seen.clone();
    let wait = state.wait_until_next(move |n| {
        sink.lock().unwrap().push((*n, thread::current().id()));
        *n == 2
    });
    let setters = [1, 2].map(|n| {
        let setter = thread::spawn(move || {
            state.set(n);
        });
        let id = setter.thread().id();
        setter.join().unwrap();
        (n, id)
    });
    assert_eq!(*seen.lock().unwrap(), setters);
    assert_eq!(ready(wait), 2);
}

// What any thread sees after a commit includes the decision: here a thread sees it although the setter is still held up
// by a callback of an earlier transition, and so was every other setter.
#[test]
fn a_predicate_is_judged_while_callbacks_of_earlier_transitions_are_under_way() {
    let state = leaked(0);
    let barrier = Barrier::new();
    let held = barrier.clone();
    let callback = state.on_change(move |change| {
        if change.new == 1 {
            held.pass();
        }
    });
    let (task, mut wait) = (Task::new(), state.wait_until(|n| *n == 3));
    let mut mapped = state.view().wait_map(|n| (*n == 3).then_some("three"));
    assert!(task.poll(&mut wait).is_pending() && task.poll(&mut mapped).is_pending());
    let mut setters = vec![thread::spawn(move || state.set(1))];
    barrier.arrived();
    for n in 2..5 {
        setters.push(thread::spawn(move || state.set(n)));
        eventually(|| state.get() == n);
    }
    // The decision is there once the value is; the wake comes from the setter's thread at its leisure.
    assert_eq!(ready(wait), 3);
    assert_eq!(ready(mapped), Ok("three"));
    eventually(|| task.wakes() == 2);
    barrier.open();
    for setter in setters {
        assert!(setter.join().unwrap());
    }
    drop(callback);
}

#[test]
fn whoever_saw_the_value_finds_the_predicate_decided() {
    let state = leaked(0_u32);
    let setter = thread::spawn(move || (1..=2_000).for_each(|n| _ = state.set(n)));
    for n in (1..=2_000).step_by(40) {
        let mut wait = state.wait_until(move |now| *now >= n);
        while state.get() < n {
            thread::yield_now();
        }
        // Without being woken, without waiting: it is so already.
        assert!(poll(&mut wait).is_ready());
    }
    setter.join().unwrap();
}

#[test]
fn wait_map_needs_no_clone_of_the_value() {
    struct Plain(u32);
    let state = Watched::new(Plain(0));
    let wait = state.wait_map(|plain| (plain.0 > 1).then(|| plain.0.to_string()));
    let owned = state
        .view()
        .wait_map(|plain| (plain.0 > 1).then_some(plain.0));
    let counted = (state.view_count(), state.version());
    for n in 1..4 {
        state.replace(Plain(n));
    }
    assert_eq!((ready(wait), ready(owned)), ("2".to_owned(), Ok(2)));
    assert_eq!(counted, (1, 0));
    let now = state.wait_map(|plain| Some(plain.0));
    assert_eq!(ready(now), 3);
}

// The rule

type Call = fn(&'static Watched<i32>);

/// Everything that asks a state. (`version` takes no lock and need not notice.)
const CALLS: [(&str, Call); 22] = [
    ("get", |s| _ = s.get()),
    ("read", |s| s.read(|_| ())),
    ("a new reader", |s| _ = *s.reader().get()),
    ("watcher_count", |s| _ = s.watcher_count()),
    ("view_count", |s| _ = s.view_count()),
    ("inspect", |s| _ = s.inspect()),
    ("set", |s| _ = s.set(9)),
    ("replace", |s| _ = s.replace(9)),
    ("replace_with", |s| _ = s.replace_with(|_| 9)),
    ("set_if", |s| _ = s.set_if(9, |_| true)),
    ("update", |s| _ = s.update(|_| 9)),
    ("try_update", |s| _ = s.try_update(|_| Some(9))),
    ("modify", |s| _ = s.modify(|n| *n = 9)),
    ("set_paced", |s| _ = ready(s.set_paced(9))),
    ("try_set_paced", |s| _ = s.try_set_paced(9)),
    ("view", |s| drop(s.view())),
    ("watch", |s| drop(s.watch())),
    ("watch_bounded", |s| {
        drop(s.watch_bounded(1, Overflow::DropOldest));
    }),
    ("wait_for", |s| drop(s.wait_for(9))),
    ("wait_until", |s| drop(s.wait_until(|_| false))),
    ("on_change", |s| drop(s.on_change(|_| ()))),
    ("on_value", |s| drop(s.on_value(0, |_| ()))),
];

/// The message names the rule, and the ways out of it.
fn names_the_ways_out(said: &str) -> bool {
    let words = ["onlooker", "predicate", "watcher", "zip"];
    words.iter().all(|word| said.contains(word))
}

#[test]
fn a_predicate_that_calls_any_state_ends_its_own_wait_with_the_rule_and_nobody_else_notices() {
    for (name, call) in CALLS {
        for (own, late, owned) in (0..8).map(|n| (n & 1 > 0, n & 2 > 0, n & 4 > 0)) {
            let what = format!("{name}, own {own}, late {late}, owned {owned}");
            let (state, other) = (leaked(0), leaked(0));
            let target = if own { state } else { other };
            let witness = state.wait_until(|n| *n == 1);
            let mut watcher = state.watch();
            let pred = move |n: &i32| {
                if *n == i32::from(late) {
                    call(target);
                }
                false
            };
            // The call itself notices nothing, and neither does the setter.
            let asked: Box<dyn FnOnce() -> String> = if owned {
                let wait = state.view().wait_until(pred);
                Box::new(|| panics(|| ready(wait)))
            } else {
                let wait = state.wait_until(pred);
                Box::new(|| panics(|| ready(wait)))
            };
            assert!(state.set(1), "{what}");
            let said = asked();
            assert!(names_the_ways_out(&said), "{what}: {said}");
            assert_eq!(ready(witness), 1, "{what}");
            assert_eq!(watcher.try_recv().unwrap().new, 1, "{what}");
            assert_eq!((other.get(), other.version()), (0, 0), "{what}");
            drop(watcher);
            assert_eq!((observers(state), observers(other)), (0, 0), "{what}");
            assert!(state.set(2) && other.set(2), "{what}");
        }
    }
}

#[test]
fn debug_inside_a_predicate_does_not_panic() {
    let (state, other) = (leaked(0), leaked(7));
    let view = state.view();
    let watcher = state.watch();
    let wait = state
        .wait_map(move |n| (*n > 0).then(|| format!("{state:?} {view:?} {other:?} {watcher:?}")));
    state.set(1);
    let shown = ready(wait);
    assert!(shown.contains("<locked>"), "{shown}");
}

/// Its comparison calls a state, or panics, when the test says so.
#[derive(Clone, Debug)]
struct Touchy(i32, Option<fn()>);

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        // Only a wait's target has something to do; whose side it is on is up to the crate.
        if let (1, Some(act)) = (self.0 * other.0, self.1.or(other.1)) {
            act();
        }
        self.0 == other.0
    }
}

#[test]
fn a_comparison_that_panics_or_sets_a_state_ends_that_value_wait_alone() {
    static OTHER: Watched<i32> = Watched::new(0);
    // Reading another state in a comparison is allowed, as in any closure.
    let acts: [(fn(), &str); 2] = [
        (|| panic!("touchy"), "touchy"),
        (|| _ = OTHER.set(1), "onlooker: a state was set from inside"),
    ];
    for (act, reason) in acts {
        let state = Watched::new(Touchy(0, None));
        let before = state.wait_for(Touchy(1, None));
        let broken = state.wait_for(Touchy(1, Some(act)));
        let not = state.wait_for_not(Touchy(0, None));
        let owned = state.view().wait_for_next(Touchy(1, Some(act)));
        let after = state.wait_for(Touchy(1, None));
        let mut watcher = state.watch();
        let set = catch_unwind(AssertUnwindSafe(|| state.set(Touchy(1, None))));
        assert!(set.is_ok(), "the setter has nothing to do with it");
        for said in [panics(|| ready(broken)), panics(|| ready(owned))] {
            assert!(said.starts_with(reason), "{said}");
        }
        assert_eq!((ready(before).0, ready(after).0, ready(not).0), (1, 1, 1));
        assert_eq!(watcher.try_recv().unwrap().new.0, 1);
        assert!(state.set(Touchy(4, None)));
    }
    assert_eq!(OTHER.version(), 0);
}

// Panics

#[test]
fn a_predicate_that_panics_at_the_call_ends_its_own_wait_with_that_panic() {
    type Make = fn(&'static Watched<u32>) -> Wait<'static, u32>;
    let makes: [Make; 2] = [
        |s| s.wait_until(|_| panic!("broken predicate")),
        |s| s.wait_map(|_| panic!("broken predicate")),
    ];
    for make in makes {
        let state = leaked(0);
        let mut wait = make(state);
        assert!(state.set(1));
        assert_eq!(panics(|| poll(&mut wait)), "broken predicate");
        drop(wait);
        assert!(state.set(2));
    }
}

#[test]
fn a_predicate_that_panics_later_ends_its_own_wait_and_reaches_nobody_else() {
    let (state, task) = (Watched::new(0), Task::new());
    let mut before = state.wait_until(|n| *n == 2);
    let mut broken = state.wait_until(|n| {
        assert!(*n != 1, "broken predicate");
        false
    });
    let mut mapped = state.wait_map(|n| -> Option<()> {
        assert!(*n != 1, "broken closure");
        None
    });
    let mut next = state.wait_until_next(|_| panic!("broken at once"));
    let mut after = state.wait_until(|n| *n == 2);
    let mut watcher = state.watch();
    assert!(task.poll(&mut broken).is_pending());
    assert!(state.set(1)); // the setter notices nothing
    assert_eq!(task.wakes(), 1);
    assert!(state.set(2));
    let said = panics(|| task.poll(&mut broken));
    assert_eq!(said, "broken predicate", "the waiter gets the panic");
    assert_eq!(panics(|| poll(&mut mapped)), "broken closure");
    assert_eq!(panics(|| poll(&mut next)), "broken at once");
    assert_eq!(poll(&mut before), Poll::Ready(2));
    assert_eq!(poll(&mut after), Poll::Ready(2));
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    assert_eq!(watcher.try_recv().unwrap().new, 2);
}

#[test]
fn a_broken_predicate_reaches_a_thread_that_waits() {
    let state = leaked(0);
    let wait = state.wait_until(|n| {
        assert!(*n != 1, "broken predicate");
        false
    });
    let waiter = thread::spawn(move || wait.wait());
    state.set(1);
    assert_eq!(message(&*waiter.join().unwrap_err()), "broken predicate");
}

// Dropping from inside

#[test]
fn a_predicate_may_drop_its_own_wait_and_any_other() {
    in_time(|| {
        let (state, other) = (leaked(0), leaked(0));
        let kept: Arc<Mutex<Vec<Wait<'static, i32>>>> = Arc::default();
        let token = Arc::new(());
        for which in [state, other] {
            let (captured, sink) = (token.clone(), kept.clone());
            let wait = which.wait_until_next(move |_| {
                let _ = &captured;
                let gone = std::mem::take(&mut *sink.lock().unwrap());
                drop(gone);
                true
            });
            kept.lock().unwrap().push(wait);
        }
        let witness = state.wait_for(1);
        assert!(state.set(1));
        assert!(kept.lock().unwrap().is_empty());
        // What they held is gone when the setter has returned.
        assert_eq!(Arc::strong_count(&token), 1);
        assert_eq!((observers(state), observers(other)), (1, 0));
        assert_eq!(ready(witness), 1);
        assert!(state.set(2) && other.set(2));
    });
}

#[test]
fn a_predicates_closure_is_never_dropped_under_the_lock() {
    /// Calls the state when it is dropped: a panic, were the lock held here.
    struct Sets(&'static Watched<u32>);

    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.update(|n| n + 100);
        }
    }

    let state = leaked(0);
    let matched = |wait: fn(u32) -> bool| {
        let sets = Sets(state);
        state.wait_until_next(move |n| {
            let _ = &sets;
            wait(*n)
        })
    };
    // Dropped pending, dropped decided, asked for, and broken.
    drop(matched(|_| false));
    assert_eq!(state.get(), 100);
    let wait = matched(|n| n == 1);
    state.set(1);
    drop(wait);
    assert_eq!(state.get(), 101);
    let wait = matched(|n| n == 2);
    state.set(2);
    assert_eq!(ready(wait), 2);
    assert_eq!(state.get(), 102);
    let wait = matched(|n| panic!("broken at {n}"));
    state.set(3);
    assert_eq!(panics(|| ready(wait)), "broken at 3");
    assert_eq!(state.get(), 103);
}

// Threads

#[test]
fn a_predicate_that_joins_while_others_set_sees_every_transition_once_from_the_present_one_on() {
    let state = leaked(0_u64);
    let setter = thread::spawn(move || {
        for n in 1..=20_000 {
            state.set(n);
        }
    });
    let mut last = 0;
    while last < 20_000 {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        let wait = state.wait_until(move |n| {
            let mut log = sink.lock().unwrap();
            log.push(*n);
            log.len() == 10 || *n == 20_000
        });
        last = wait.wait_timeout(Duration::from_secs(30)).unwrap();
        let log = log.lock().unwrap();
        assert_eq!(log.last(), Some(&last));
        let whole = log.windows(2).all(|two| two[1] == two[0] + 1);
        assert!(whole, "a gap or a repetition in {log:?}");
    }
    setter.join().unwrap();
}

#[test]
fn a_thousand_predicates_cost_one_call_each_per_set() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let state = Watched::new(0);
    let waits: Vec<_> = (0..1_000)
        .map(|_| {
            state.wait_until_next(|_| {
                CALLS.fetch_add(1, SeqCst);
                false
            })
        })
        .collect();
    for n in 1..=5 {
        state.set(n);
        assert_eq!(CALLS.swap(0, SeqCst), 1_000);
    }
    assert!(waits.into_iter().all(|mut wait| pending(&mut wait)));
}
