//! The end, and who looks meanwhile.

use super::*;

#[test]
fn end_comes_after_the_last_value() {
    explore("end_last_value", None, || {
        let state = Watched::new(0);
        let mut watcher = state.watch_bounded(1, Overflow::DropOldest);
        let setter = thread::spawn(move || {
            state.set(1);
            drop(state);
        });
        assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        assert_eq!(block_on(watcher.recv()), Err(Closed));
        setter.join().unwrap();
    });
}

#[test]
fn end_closes_an_owned_wait_or_leaves_its_match() {
    explore("end_owned", None, || {
        let state = Watched::new(0);
        let view = state.view();
        let latched = view.wait_for(1);
        let setter = thread::spawn(move || {
            state.set(1);
            state.set(2);
            drop(state);
        });
        // Registered at any moment: what was before it does not count, the last value does.
        let (late, next) = (view.wait_until(|value| *value == 1), view.wait_for_next(2));
        assert_eq!(block_on(latched), Ok(1));
        assert!(matches!(block_on(late), Ok(1) | Err(Closed)));
        assert!(matches!(block_on(next), Ok(2) | Err(Closed)));
        assert_eq!(block_on(view.wait_for(2)), Ok(2));
        setter.join().unwrap();
    });
}

#[test]
fn end_wakes_who_waits_for_what_never_comes() {
    explore("end_never", None, || {
        let state = Watched::new(0);
        let view = state.view();
        let ending = thread::spawn(move || drop(state));
        assert_eq!(block_on(view.wait_for(1)), Err(Closed));
        assert_eq!(view.get(), 0);
        ending.join().unwrap();
        assert!(view.is_closed());
    });
}

#[test]
fn end_of_the_last_view_frees_the_value() {
    explore("end_view", None, || {
        let value = std::sync::Arc::new(());
        let state = Watched::new(value.clone());
        let view = state.view();
        let ending = thread::spawn(move || drop(state));
        let second = view.clone();
        drop(view);
        assert!(std::sync::Arc::ptr_eq(&second.get(), &value));
        ending.join().unwrap();
        let mut watcher = second.watch();
        assert_eq!(watcher.try_recv().unwrap_err(), TryRecvError::Closed);
        drop(second);
        // In the watcher's snapshot, and, since it looks, in the state.
        assert_eq!(std::sync::Arc::strong_count(&value), 3);
        drop(watcher);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    });
}

#[test]
fn end_while_the_last_view_goes() {
    explore("end_both", None, || {
        let value = std::sync::Arc::new(());
        let state = Watched::with_history(value.clone(), 1);
        let view = state.view();
        state.replace(value.clone());
        let ending = thread::spawn(move || drop(state));
        drop(view);
        ending.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    });
}

#[test]
fn end_while_the_last_wait_goes() {
    explore("end_wait", None, || {
        let (value, last) = (std::sync::Arc::new(1), std::sync::Arc::new(3));
        let state = Watched::new(value.clone());
        // Sees nothing, and keeps what is left of the state.
        let guard = state.on_change(|_| ());
        let (pending, found) = {
            let view = state.view();
            (view.wait_for(2.into()), view.wait_for(3.into()))
        };
        let set = last.clone();
        let ending = thread::spawn(move || {
            state.set(set);
            drop(state);
        });
        drop(pending);
        assert_eq!(block_on(found), Ok(3.into()));
        ending.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
        assert_eq!(std::sync::Arc::strong_count(&last), 1);
        drop(guard);
    });
}

#[test]
fn end_while_somebody_registers() {
    explore("end_register", 5, || {
        let freed = std::sync::Arc::new(());
        let state = Watched::new(0);
        let view = state.view();
        let ending = thread::spawn(move || {
            state.set(1);
            drop(state);
        });
        let (watcher, token) = (view.watch(), freed.clone());
        view.on_change(move |_| drop(token.clone())).detach();
        let mut watcher = watcher;
        let seen = *watcher.seen();
        if seen == 0 {
            assert_eq!(block_on(watcher.recv()).unwrap().new, 1);
        }
        assert_eq!(block_on(watcher.recv()), Err(Closed));
        ending.join().unwrap();
        drop((view, watcher));
        assert_eq!(std::sync::Arc::strong_count(&freed), 1);
    });
}

#[test]
fn end_is_told_to_who_waits_for_nobody() {
    explore("end_unwatched", None, || {
        let state = Watched::new(0);
        let view = state.view();
        let wait = view.wait_for(1);
        let looker = thread::spawn(move || {
            drop(view);
            drop(wait);
        });
        block_on(state.wait_unwatched());
        looker.join().unwrap();
        assert_eq!(state.view_count(), 0);
    });
}

#[test]
fn end_of_two_lookers_is_told_once_both_are_gone() {
    explore("end_unwatched_two", None, || {
        let state = Watched::new(0);
        let (view, watcher) = (state.view(), state.watch());
        let wait = state.wait_unwatched();
        let lookers = [
            thread::spawn(move || drop(view)),
            thread::spawn(move || drop(watcher)),
        ];
        block_on(wait);
        for looker in lookers {
            looker.join().unwrap();
        }
    });
}

#[test]
fn end_of_being_alone_is_told() {
    explore("end_watched", None, || {
        let state = Arc::new(Watched::new(0));
        // Of one who comes and goes.
        let wait = state.wait_watched();
        let looker = {
            let state = state.clone();
            thread::spawn(move || drop(state.view()))
        };
        block_on(wait);
        looker.join().unwrap();
    });
}

#[test]
fn end_counts_are_exact() {
    explore("end_counts", None, || {
        let state = Watched::new(0);
        let view = state.view();
        let other = view.clone();
        let clones = thread::spawn(move || {
            let wait = other.wait_for(1);
            drop(other);
            wait
        });
        let more = [view.clone(), view];
        drop(more);
        let wait = clones.join().unwrap();
        assert_eq!(state.view_count(), 1);
        drop(wait);
        assert_eq!(state.view_count(), 0);
    });
}
