//! Registration is one step: whoever joins while others set has neither a gap nor a duplicate, and a wait is decided in
//! the commit that matches it.

use super::*;

#[test]
fn join_a_value_wait_races_two_sets() {
    explore("join_value", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let value = block_on(state.wait_for_not(0));
        assert!(value == 1 || value == 2);
        setter.join().unwrap();
    });
}

#[test]
fn join_a_predicate_races_two_sets() {
    explore("join_predicate", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        assert_eq!(block_on(state.wait_until(|value| *value == 2)), 2);
        setter.join().unwrap();
    });
}

#[test]
fn join_a_wait_for_the_next_change_gets_a_true_one() {
    explore("join_change", None, || {
        let state = Arc::new(Watched::new(0));
        let before = state.wait_for_change();
        let setter = setter(&state, &[1, 2]);
        let seen = state.version();
        let mut meanwhile = state.wait_for_change();
        let change = block_on(before);
        assert_eq!((change.old, change.new, change.seq), (0, 1, 1));
        setter.join().unwrap();
        if polled_early(&mut meanwhile) {
            assert!(seen < 2);
        }
    });
}

#[test]
fn join_an_owned_wait_in_another_thread() {
    explore("join_owned", None, || {
        let state = Arc::new(Watched::new(0));
        let view = state.view();
        let setter = setter(&state, &[1, 2]);
        assert_eq!(
            block_on(view.wait_map(|value| (*value == 2).then_some("two"))),
            Ok("two")
        );
        setter.join().unwrap();
        drop(view);
        assert_eq!(state.view_count(), 0);
    });
}

#[test]
fn join_is_decided_in_the_commit() {
    explore("join_decided", None, || {
        let state = Arc::new(Watched::new(0));
        let mut value = state.wait_for(1);
        let mut predicate = state.wait_until(|value| *value == 1);
        let setter = setter(&state, &[1]);
        if state.get() == 1 {
            assert!(polled_early(&mut value) && polled_early(&mut predicate));
        }
        setter.join().unwrap();
    });
}

#[test]
fn join_a_wait_repolled_with_another_waker() {
    explore("join_repolled", None, || {
        let state = Arc::new(Watched::new(0));
        let mut wait = state.wait_for(1);
        let setter = setter(&state, &[1]);
        if !polled_early(&mut wait) {
            assert_eq!(block_on(wait), 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn join_two_waits_of_two_threads() {
    explore("join_two_waits", 3, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let view = state.view();
        let other = thread::spawn(move || block_on(view.wait_for(2)));
        assert_eq!(block_on(state.wait_until(|value| *value == 2)), 2);
        assert_eq!(other.join().unwrap(), Ok(2));
        setter.join().unwrap();
    });
}

#[test]
fn join_a_wait_woken_by_one_of_two_setters() {
    explore("join_two_setters", None, || {
        let state = Arc::new(Watched::new(0));
        let wait = state.wait_until(|value| *value == 2);
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        assert_eq!(block_on(wait), 2);
        for setter in setters {
            setter.join().unwrap();
        }
    });
}

#[test]
fn join_a_watcher_has_neither_gap_nor_duplicate() {
    explore("join_watcher", 5, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1, 2]);
        let mut watcher = state.watch();
        let mut last = *watcher.seen();
        while last != 2 {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.old, change.new), (last, last + 1));
            last = change.new;
        }
        setter.join().unwrap();
        assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn join_since_an_earlier_version_has_no_gap() {
    explore("join_since", None, || {
        let state = Arc::new(Watched::with_history(0, 1));
        let setter = setter(&state, &[1, 2]);
        let mut last = state.version();
        let resumed = state.watch_since(last);
        setter.join().unwrap();
        match resumed {
            Ok(mut watcher) => {
                assert_eq!(u64::from(*watcher.seen()), last);
                for change in watcher.try_iter() {
                    assert_eq!((change.seq, u64::from(change.old)), (last + 1, last));
                    last += 1;
                }
                assert_eq!(last, 2);
            }
            // Two have come meanwhile, and one is kept.
            Err(forgotten) => assert_eq!((last, forgotten.oldest), (0, Some(1))),
        }
    });
}

#[test]
fn join_the_first_observer_moves_the_state_under_a_setter() {
    explore("join_first", None, || {
        let state = Arc::new(Watched::new(0));
        let setter = setter(&state, &[1]);
        let watcher = state.watch();
        let seen = *watcher.seen() as usize;
        setter.join().unwrap();
        assert_eq!(seen + watcher.len(), 1);
        assert_eq!((state.get(), state.version()), (1, 1));
    });
}

#[test]
fn join_the_first_observer_moves_the_state_under_two_setters() {
    explore("join_first_two", 4, || {
        let state = Arc::new(Watched::new(0));
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        let watcher = state.watch();
        let seen = watcher.seen_version();
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!((seen + watcher.len() as u64, state.version()), (2, 2));
    });
}

#[test]
fn join_a_callback_is_not_called_for_what_was_before() {
    explore("join_callback", None, || {
        let state = Arc::new(Watched::new(0));
        let first = state.on_change(|_| {});
        let setter = setter(&state, &[1, 2]);
        let before = state.version();
        let (called, sink) = log();
        let second = state.on_change(move |change| sink.lock().unwrap().push(change.seq));
        setter.join().unwrap();
        let called = entries(&called);
        assert!(called.iter().all(|seq| *seq > before));
        // Whatever came after the registration is there, up to the last one.
        assert!(called.is_empty() || called == [1, 2] || called == [2]);
        drop((first, second));
    });
}

#[test]
fn join_on_value_is_called_once() {
    explore("join_on_value", None, || {
        let state = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let setter = setter(&state, &[1]);
        let callback = state.on_value(1, move |value| sink.lock().unwrap().push(*value));
        setter.join().unwrap();
        assert_eq!(entries(&called), [1]);
        drop(callback);
    });
}
