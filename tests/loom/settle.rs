//! Every commit settles what it owes by itself, before it returns.

use super::*;
use loom::thread::ThreadId;

/// A value that says which thread dropped it.
struct Tracked {
    name: u32,
    dropped: Log<(u32, ThreadId)>,
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            dropped: self.dropped.clone(),
        }
    }
}

impl PartialEq for Tracked {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let entry = (self.name, thread::current().id());
        self.dropped.lock().unwrap().push(entry);
    }
}

#[test]
fn settle_two_setters_drop_what_each_of_them_evicts() {
    explore("settle_two_setters", None, || {
        let (dropped, sink) = log();
        let value = |name| Tracked {
            name,
            dropped: sink.clone(),
        };
        let state = Arc::new(Watched::new(value(0)));
        let full = [(); 2].map(|()| state.watch_bounded(1, Overflow::DropOldest));
        state.set(value(9));
        dropped.lock().unwrap().clear();
        let setters = [1, 2].map(|name| {
            let (state, value, dropped) = (state.clone(), value(name), dropped.clone());
            thread::spawn(move || {
                state.set(value);
                // The value before, and its clone in each of the two buffers.
                let here = thread::current().id();
                let mine = entries(&dropped);
                let mine = mine.iter().filter(|(_, by)| *by == here);
                let mine = mine.map(|(name, _)| *name).collect::<Vec<_>>();
                assert_eq!(mine.len(), 3);
                assert!(mine.iter().all(|name| *name == mine[0]));
            })
        });
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(dropped.lock().unwrap().len(), 6);
        drop(full);
    });
}

#[test]
fn settle_two_setters_wake_whom_each_of_them_decides() {
    // More than a commit takes along on its stack.
    const WAITS: usize = 6;
    explore("settle_two_wakes", None, || {
        let state = Arc::new(Watched::new(0));
        let (woken, _) = log::<(u32, ThreadId)>();
        let mut waits = Vec::new();
        for value in [1, 2] {
            for _ in 0..WAITS {
                let sink = woken.clone();
                let waker = Does::waker(move || {
                    sink.lock().unwrap().push((value, thread::current().id()));
                });
                let mut wait = state.wait_for(value);
                assert!(!polled_by(&mut wait, &waker));
                waits.push(wait);
            }
        }
        let setters = [1, 2].map(|value| {
            let (state, woken) = (state.clone(), woken.clone());
            thread::spawn(move || {
                state.set(value);
                let here = thread::current().id();
                let mine = entries(&woken);
                let mine = mine.iter().filter(|(_, by)| *by == here);
                let mine = mine.map(|(value, _)| *value).collect::<Vec<_>>();
                assert_eq!(mine, [value; WAITS]);
            })
        });
        for setter in setters {
            setter.join().unwrap();
        }
        assert_eq!(woken.lock().unwrap().len(), 2 * WAITS);
        drop(waits);
    });
}

#[test]
fn settle_a_waker_that_sets_leaves_nothing_behind() {
    explore("settle_waker_sets", None, || {
        let (state, other) = (Watched::new(0), Arc::new(Watched::new(0)));
        let (called, sink) = log();
        let callback = other.on_change(move |change| sink.lock().unwrap().push(change.new));
        let mut wait = state.wait_for(1);
        let waker = {
            let other = other.clone();
            Does::waker(move || {
                other.set(1);
            })
        };
        assert!(!polled_by(&mut wait, &waker));
        drop(waker);
        let setter = setter(&other, &[2]);
        state.set(1);
        // What was set inside has been called back too.
        assert!(called.lock().unwrap().contains(&1));
        setter.join().unwrap();
        let mut called = entries(&called);
        called.sort_unstable();
        assert_eq!(called, [1, 2]);
        drop((wait, callback));
    });
}

#[test]
fn settle_a_drop_that_sets_leaves_nothing_behind() {
    /// Sets another state when it goes.
    #[derive(Clone)]
    struct Sets(Option<Arc<Watched<u32>>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            if let Some(other) = self.0.take() {
                other.set(1);
            }
        }
    }
    explore("settle_drop_sets", None, || {
        let other = Arc::new(Watched::new(0));
        let (called, sink) = log();
        let callback = other.on_change(move |change| sink.lock().unwrap().push(change.new));
        let state = Watched::new(Sets(Some(other.clone())));
        // One that observes the other way round too, so that there is something to settle.
        let full = state.watch_bounded(1, Overflow::DropNewest);
        let setter = setter(&other, &[2]);
        drop(state.replace(Sets(None)));
        assert!(called.lock().unwrap().contains(&1));
        setter.join().unwrap();
        drop((full, callback));
    });
}
