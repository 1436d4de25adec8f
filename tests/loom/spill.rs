//! An unbounded watcher: hand, ring and spill keep one order, and nothing falls between them. (The ring has one slot
//! here.)

use super::*;

/// A state and an unbounded watcher that has its ring, and has seen 1.
fn received_once() -> (Arc<Watched<u32>>, onlooker::Watcher<u32>) {
    let state = Arc::new(Watched::new(0));
    let mut watcher = state.watch();
    state.set(1);
    assert_eq!(watcher.try_recv().unwrap().new, 1);
    (state, watcher)
}

#[test]
fn spill_goes_behind_the_ring() {
    explore("spill_order", 4, || {
        let (state, mut watcher) = received_once();
        let setter = setter(&state, &[2, 3, 4]);
        for new in 2..=4 {
            let change = block_on(watcher.recv()).unwrap();
            assert_eq!((change.old, change.new, change.missed), (new - 1, new, 0));
        }
        setter.join().unwrap();
        assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn spill_is_taken_while_more_comes() {
    explore("spill_taken", None, || {
        let (state, mut watcher) = received_once();
        state.set(2);
        state.set(3);
        let setter = setter(&state, &[4, 5]);
        let early = [(); 3].map(|()| watcher.try_recv().map(|change| change.new));
        assert_eq!(early[..2], [Ok(2), Ok(3)]);
        setter.join().unwrap();
        let late = watcher.try_iter().map(|change| change.new);
        let all = early.into_iter().flatten().chain(late);
        assert_eq!(all.collect::<Vec<_>>(), [2, 3, 4, 5]);
    });
}

#[test]
fn spill_of_a_watcher_that_first_receives() {
    explore("spill_first", None, || {
        let state = Arc::new(Watched::new(0));
        let mut watcher = state.watch();
        let setter = setter(&state, &[1, 2, 3]);
        let early = watcher.try_iter().map(|change| change.new);
        let early = early.collect::<Vec<_>>();
        setter.join().unwrap();
        let late = watcher.try_iter().map(|change| change.new);
        let all = early.into_iter().chain(late);
        assert_eq!(all.collect::<Vec<_>>(), [1, 2, 3]);
    });
}

#[test]
fn spill_is_there_for_whoever_the_setter_tells() {
    // A set that has returned is received without sleeping.
    explore("spill_told", None, || {
        let (state, mut watcher) = received_once();
        let setter = setter(&state, &[2, 3]);
        let seen = state.get();
        let received = watcher.try_iter().map(|change| change.new);
        assert!(received.max().unwrap_or(1) >= seen);
        setter.join().unwrap();
    });
}

#[test]
fn spill_is_drained_before_the_end() {
    explore("spill_end", 4, || {
        let state = Watched::new(0);
        let mut watcher = state.watch();
        state.set(1);
        assert_eq!(watcher.try_recv().unwrap().new, 1);
        let setter = thread::spawn(move || {
            state.set(2);
            state.set(3);
            drop(state);
        });
        for new in [2, 3] {
            assert_eq!(block_on(watcher.recv()).unwrap().new, new);
        }
        assert_eq!(block_on(watcher.recv()), Err(Closed));
        setter.join().unwrap();
    });
}
