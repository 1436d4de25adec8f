//! Whoever leaves while others set takes nobody else along, and under the lock too.

use super::*;

#[test]
fn leave_a_predicate_while_two_watchers_and_a_wait_stay() {
    explore("leave_predicate", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watchers = [state.watch(), state.watch()];
        let going = state.wait_until(|value| *value == 1);
        let staying = state.wait_until(|value| *value == 1);
        let setter = setter(&state, &[1]);
        drop(going);
        assert_eq!(block_on(staying), 1);
        for watcher in &mut watchers {
            assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn leave_a_value_wait_while_another_stays() {
    explore("leave_value", None, || {
        let state = Arc::new(Watched::new(0));
        let going = state.wait_for(1);
        let staying = state.wait_for(1);
        let setter = setter(&state, &[1]);
        drop(going);
        assert_eq!(block_on(staying), 1);
        setter.join().unwrap();
    });
}

#[test]
fn leave_a_watcher_while_it_is_pushed_to() {
    explore("leave_watcher", None, || {
        let state = Arc::new(Watched::new(0));
        let going = state.watch();
        let setter = setter(&state, &[1, 2]);
        drop(going);
        assert_eq!(state.watcher_count(), 0);
        setter.join().unwrap();
        assert_eq!(state.get(), 2);
    });
}

#[test]
fn leave_from_under_the_lock_while_another_sets() {
    explore("leave_late", None, || {
        let state = Arc::new(Watched::new(0));
        let (watcher, view) = (state.watch(), state.view());
        let wait = state.view().wait_for(9);
        let setter = setter(&state, &[1]);
        state.update(move |value| {
            drop((watcher, view, wait));
            value + 2
        });
        assert_eq!((state.watcher_count(), state.view_count()), (0, 0));
        setter.join().unwrap();
    });
}

#[test]
fn leave_from_under_the_lock_of_two_setters() {
    explore("leave_late_two", None, || {
        let state = Arc::new(Watched::new(0));
        let watcher = state.watch();
        let other = {
            let (state, watcher) = (state.clone(), state.watch());
            thread::spawn(move || {
                state.update(move |value| {
                    drop(watcher);
                    value + 1
                });
            })
        };
        state.update(move |value| {
            drop(watcher);
            value + 1
        });
        other.join().unwrap();
        assert_eq!((state.watcher_count(), state.get()), (0, 2));
    });
}

#[test]
fn leave_a_callback_starts_no_call_afterwards() {
    explore("leave_callback", None, || {
        let state = Arc::new(Watched::new(0));
        let (calls, sink) = log();
        let callback = state.on_change(move |change| sink.lock().unwrap().push(change.new));
        let first = setter(&state, &[1]);
        drop(callback);
        // Whatever is called now was running when the drop returned.
        first.join().unwrap();
        let before = calls.lock().unwrap().len();
        state.set(2);
        assert!(before <= 1);
        assert_eq!(calls.lock().unwrap().len(), before);
    });
}

#[test]
fn leave_a_callback_from_under_the_lock() {
    explore("leave_callback_late", None, || {
        let state = Arc::new(Watched::new(0));
        let (calls, sink) = log();
        let callback = state.on_change(move |change| sink.lock().unwrap().push(change.new));
        let first = setter(&state, &[1]);
        state.read(move |_| drop(callback));
        first.join().unwrap();
        let before = calls.lock().unwrap().len();
        state.set(2);
        assert!(before <= 1);
        assert_eq!(calls.lock().unwrap().len(), before);
    });
}
