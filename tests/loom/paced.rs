//! Paced setters: whoever makes room calls the first in line, and a first that leaves calls the next.

use super::*;

fn paced(state: &Arc<Watched<u32>>, value: u32) -> JoinHandle<()> {
    let state = state.clone();
    thread::spawn(move || assert!(block_on(state.set_paced(value))))
}

#[test]
fn paced_a_receive_makes_room() {
    explore("paced", 5, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = paced(&state, 2);
        for new in [1, 2] {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.new, change.missed), (new, 0));
        }
        paced.join().unwrap();
    });
}

#[test]
fn paced_a_pop_makes_room() {
    explore("paced_pop", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = paced(&state, 2);
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        paced.join().unwrap();
        assert_eq!(watcher.try_recv().unwrap().missed, 0);
    });
}

#[test]
fn paced_a_larger_ring_loses_nothing() {
    explore("paced_ring", 4, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(2, Overflow::DropOldest);
        state.set(1);
        state.set(2);
        let paced = paced(&state, 3);
        for new in 1..=3 {
            assert_eq!(block_on(watcher.recv()).unwrap().new, new);
        }
        paced.join().unwrap();
    });
}

#[test]
fn paced_a_dropped_watcher_frees_its_room() {
    explore("paced_drop", None, || {
        let state = Arc::new(Watched::new(0));
        let watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = paced(&state, 2);
        drop(watcher);
        paced.join().unwrap();
    });
}

#[test]
fn paced_two_setters_share_the_room_that_two_pops_make() {
    explore("paced_line", 2, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(2, Overflow::DropNewest);
        state.set(1);
        state.set(2);
        let paced = [3, 4].map(|value| paced(&state, value));
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        assert_eq!(watcher.try_recv().unwrap().new, 2);
        for setter in paced {
            setter.join().unwrap();
        }
        assert_eq!(watcher.try_recv().unwrap().missed, 0);
        assert_eq!(watcher.try_recv().unwrap().missed, 0);
    });
}

#[test]
fn paced_a_first_that_has_set_calls_the_next() {
    explore("paced_next", 4, || {
        let state = Arc::new(Watched::new(0));
        let watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = [2, 3].map(|value| paced(&state, value));
        drop(watcher);
        for setter in paced {
            setter.join().unwrap();
        }
        assert_eq!(state.version(), 3);
    });
}

#[test]
fn paced_a_first_that_gives_up_calls_the_next() {
    explore("paced_gives_up", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let mut first = state.set_paced(2);
        assert!(!polled_early(&mut first));
        let second = paced(&state, 3);
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        // It was called, and goes instead.
        drop(first);
        second.join().unwrap();
        assert_eq!(watcher.try_recv().unwrap().new, 3);
    });
}

#[test]
fn paced_a_try_jumps_no_queue() {
    explore("paced_try", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let mut first = state.set_paced(2);
        assert!(!polled_early(&mut first));
        let tries = {
            let state = state.clone();
            thread::spawn(move || assert_eq!(state.try_set_paced(3), Err(3)))
        };
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        tries.join().unwrap();
        assert!(block_on(first));
        assert_eq!(watcher.try_recv().unwrap().new, 2);
    });
}

#[test]
fn paced_a_try_leaves_the_line_as_it_was() {
    explore("paced_try_late", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch_bounded(1, Overflow::DropNewest);
        state.set(1);
        let paced = paced(&state, 2);
        let _ = state.try_set_paced(1);
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        paced.join().unwrap();
        assert_eq!(watcher.try_recv().unwrap().new, 2);
    });
}
