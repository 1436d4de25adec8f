//! A watcher falls asleep under the lock, where a push happens too: no push is missed.

use super::*;

#[test]
fn sleep_while_two_sets_come() {
    explore("sleep_two_sets", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1, 2]);
        for new in [1, 2] {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.old, change.new, change.missed), (new - 1, new, 0));
        }
        setter.join().unwrap();
    });
}

#[test]
fn sleep_bounded_ends_on_the_present_value() {
    explore("sleep_bounded", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
        let setter = setter(&state, &[1, 2]);
        assert_eq!(block_on(watcher.wait_for(2)), Ok(2));
        setter.join().unwrap();
        assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn sleep_bounded_keeps_the_first_and_counts_the_rest() {
    explore("sleep_newest", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        let setter = setter(&state, &[1, 2]);
        assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        setter.join().unwrap();
        let second = watcher.try_recv().is_ok_and(|change| change.new == 2);
        assert_eq!(u64::from(second) + watcher.missed(), 1);
    });
}

#[test]
fn sleep_two_watchers_are_both_woken() {
    explore("sleep_two_watchers", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut here = state.watch();
        let mut there = state.watch();
        let setter = setter(&state, &[1]);
        let other = thread::spawn(move || block_on(there.recv()).unwrap().new);
        assert_eq!(block_on(here.recv()).unwrap().new, 1);
        assert_eq!(other.join().unwrap(), 1);
        setter.join().unwrap();
    });
}

#[test]
fn sleep_two_setters_wake_one_watcher() {
    explore("sleep_two_setters", 3, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setters = [setter(&state, &[1]), setter(&state, &[2])];
        let first = block_on(watcher.recv()).unwrap();
        let second = block_on(watcher.recv()).unwrap();
        assert_eq!((first.old, first.new), (0, second.old));
        assert_eq!(first.new + second.new, 3);
        for setter in setters {
            setter.join().unwrap();
        }
    });
}

#[test]
fn sleep_again_after_a_future_was_given_up() {
    explore("sleep_again", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1]);
        if !polled_early(&mut watcher.recv()) {
            assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn sleep_repolled_with_another_waker() {
    explore("sleep_repolled", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1]);
        let mut receive = watcher.recv();
        if !polled_early(&mut receive) {
            assert_eq!(block_on(receive).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}

#[test]
fn sleep_beside_a_future_dropped_under_the_lock() {
    explore("sleep_dropped_inside", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1]);
        let mut receive = watcher.recv();
        if !polled_early(&mut receive) {
            let mut receive = Some(receive);
            state.read(|_| drop(receive.take()));
            drop(receive);
            assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        }
        setter.join().unwrap();
    });
}
