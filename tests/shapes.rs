//! Values of every shape: large, empty, aligned like nothing else, and not to be shared.

mod common;

use common::{Task, leaked, on_stack, ready};
use onlooker::{Overflow, View, Watched};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

/// 64 KiB.
#[derive(Clone, PartialEq)]
struct Large([u64; 8 * 1024]);

fn large(n: u64) -> Large {
    Large([n; 8 * 1024])
}

/// Half a megabyte will do; code that is not optimised copies a value at every step.
const STACK: usize = if cfg!(debug_assertions) { 5 } else { 1 } * 512 * 1024;

// PITFALLS: `[Option<T>; 8]` on the stack of a `set`: overflow at 64 KiB values.
#[test]
fn a_setter_of_values_of_64_kib_needs_no_more_than_half_a_megabyte_of_stack() {
    // Whoever makes all those observers here has room.
    on_stack(64 * 1024 * 1024, set_large_values);
}

fn set_large_values() {
    let state = leaked(large(0));
    // Full rings, a sleeper, waits of each kind, callbacks: all that a set has to do.
    let rings = [0; 12].map(|_| state.watch_bounded(1, Overflow::DropOldest));
    let mut watcher = Box::new(state.watch());
    let (value, judged) = (
        state.wait_for(large(3)),
        state.wait_until(|value| value.0[1] == 3),
    );
    let callback = state.on_change(|change| assert!(change.new.0[9] > change.old.0[9]));
    for n in 1..=4 {
        on_stack(STACK, move || _ = state.set(large(n)));
    }
    on_stack(STACK, move || {
        state.replace(large(5));
    });
    assert!(rings.iter().all(|ring| ring.missed() == 4));
    assert_eq!((ready(value).0[0], ready(judged).0[0]), (3, 3));
    assert!(watcher.try_iter().map(|change| change.new.0[0]).eq(1..=5));
    drop(callback);
}

#[test]
fn who_reads_or_receives_values_of_64_kib_needs_no_more_than_half_a_megabyte_of_stack() {
    let state = leaked(large(0));
    let mut watcher = state.watch();
    on_stack(STACK, move || {
        _ = state.replace_with(|value| large(value.0[0] + 1));
    });
    on_stack(STACK, move || assert_eq!(state.get().0[7], 1));
    on_stack(STACK, move || {
        // Every move of one's own takes its room too.
        let change = watcher.try_recv();
        assert!(change.is_ok_and(|change| change.new.0[0] == 1));
    });
}

#[test]
fn a_value_that_takes_no_room_is_watched_like_any_other() {
    let state = Watched::new(());
    let task = Task::new();
    let (mut all, mut some) = (state.watch(), state.watch_bounded(2, Overflow::DropOldest));
    let mut change = state.wait_for_change();
    let next = state.view().wait_for_next(());
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let callback = state.on_change(move |_| _ = count.fetch_add(1, SeqCst));
    assert!(task.poll(&mut change).is_pending());
    assert!(!state.set(()), "equal");
    for _ in 0..5 {
        state.replace(());
    }
    assert_eq!(
        (state.version(), task.wakes(), calls.load(SeqCst)),
        (5, 1, 5)
    );
    assert_eq!(
        task.poll(&mut change).map(|change| change.seq),
        Poll::Ready(1)
    );
    assert_eq!(ready(next), Ok(()));
    assert!(all.try_iter().map(|change| change.seq).eq(1..=5));
    assert!(
        some.try_iter()
            .map(|change| (change.seq, change.missed))
            .eq([(4, 3), (5, 0)])
    );
    drop(callback);
}

#[derive(Clone, Debug, PartialEq)]
#[repr(align(4096))]
struct Aligned(u8);

impl Aligned {
    fn is_aligned(&self) -> bool {
        std::ptr::from_ref(self).addr() % 4096 == 0
    }
}

#[test]
fn a_value_aligned_to_a_page_is_so_wherever_it_is_shown() {
    // Frames of such values are large.
    on_stack(2 * 1024 * 1024, || {
        let state = Watched::new(Aligned(0));
        let mut watchers = [state.watch(), state.watch_bounded(2, Overflow::DropOldest)];
        let wait = state.wait_map(|value| (value.0 == 2).then(|| value.is_aligned()));
        let callback = state.on_change(|change| {
            assert!(change.old.is_aligned() && change.new.is_aligned());
        });
        let target = state.wait_for(Aligned(3));
        let mapped = state.view().map(|value| Aligned(value.0 + 100));
        for n in 1..=3 {
            state.set(Aligned(n));
        }
        assert!(state.read(Aligned::is_aligned) && state.reader().get().is_aligned());
        assert!(mapped.read(|value| value.is_aligned() && value.0 == 103));
        assert!(ready(wait) && ready(target).is_aligned());
        for watcher in &mut watchers {
            while let Ok(change) = watcher.try_recv() {
                assert!(change.old.is_aligned() && change.new.is_aligned());
                assert!(watcher.seen().is_aligned());
            }
            assert_eq!(watcher.seen(), &Aligned(3));
        }
        let panics = format!("{:?}", state.inspect());
        assert!(panics.contains("panics: 0"), "{panics}");
        drop(callback);
    });
}

/// Not `Sync`; notices when two threads clone or compare the same one at the same time.
#[derive(Debug)]
struct Alone {
    n: u32,
    busy: AtomicBool,
    _not_sync: PhantomData<Cell<()>>,
}

impl Alone {
    fn new(n: u32) -> Self {
        Self {
            n,
            busy: AtomicBool::new(false),
            _not_sync: PhantomData,
        }
    }

    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        assert!(!self.busy.swap(true, SeqCst), "two threads at one value");
        let result = f();
        thread::yield_now();
        self.busy.store(false, SeqCst);
        result
    }
}

impl Clone for Alone {
    fn clone(&self) -> Self {
        self.alone(|| Self::new(self.n))
    }
}

impl PartialEq for Alone {
    fn eq(&self, other: &Self) -> bool {
        self.alone(|| other.alone(|| self.n == other.n))
    }
}

// RUSTSEC-2025-0023
#[test]
fn a_value_that_is_not_sync_is_never_touched_by_two_threads_at_once() {
    let state = leaked(Alone::new(0));
    let end = 300;
    let broken: Arc<Mutex<Vec<String>>> = Arc::default();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let view: View<Alone> = state.view();
            let mut watcher = view.watch();
            let last = state.wait_for(Alone::new(end));
            let also = view.wait_until(move |now| now.alone(|| now.n == end));
            let mapped = view.map(|now| Alone::new(now.alone(|| now.n / 100)));
            thread::spawn(move || {
                let mut reader = state.reader();
                while watcher.recv_blocking().unwrap().new.n != end {
                    reader.get();
                    view.get();
                    mapped.get();
                }
                assert_eq!((last.wait().n, also.wait().unwrap().n), (end, end));
                assert_eq!(mapped.wait_for(Alone::new(3)).wait().unwrap().n, 3);
            })
        })
        .collect();
    // A panic of a callback reaches nobody: so it is told here.
    let told = broken.clone();
    let calls = state.on_change(move |change| {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(change.clone()))).is_err()
        {
            told.lock().unwrap().push(format!("{change:?}"));
        }
    });
    let setter = thread::spawn(move || {
        for n in 1..=end {
            state.set(Alone::new(n));
        }
    });
    setter.join().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
    drop(calls);
    assert!(broken.lock().unwrap().is_empty());
}

#[test]
fn a_value_that_is_not_send_stays_on_its_thread_and_is_watched_there() {
    let state = Watched::new(std::rc::Rc::new(1));
    let view = state.view();
    let (mut watcher, mut looking) = (state.watch(), view.watch());
    assert!(state.set(std::rc::Rc::new(2)));
    assert!(ready(state.set_paced(std::rc::Rc::new(3))));
    assert_eq!(state.try_set_paced(std::rc::Rc::new(4)), Ok(true));
    assert_eq!(*watcher.try_recv().unwrap().new, 2);
    assert_eq!(
        ready(watcher.wait_for(std::rc::Rc::new(3))),
        Ok(std::rc::Rc::new(3))
    );
    assert_eq!((looking.try_iter().count(), *view.get()), (3, 4));
    drop(state);
    assert!(view.is_closed());
}

#[test]
fn values_that_are_neither_clone_nor_comparable_can_be_set_viewed_and_mapped() {
    struct Plain(u8);
    let state = Watched::new(Plain(1));
    let view = state.view();
    let mapped = view.map(|plain| plain.0 / 10);
    assert_eq!(state.replace(Plain(11)).0, 1);
    assert_eq!(state.replace_with(|plain| Plain(plain.0 + 10)).0, 11);
    let wait = view.wait_map(|plain| (plain.0 == 31).then_some("31"));
    state.replace(Plain(31));
    assert_eq!((view.read(|plain| plain.0), mapped.get()), (31, 3));
    assert_eq!((ready(wait), mapped.version()), (Ok("31"), 3));
    let debug = format!("{:?}", state.inspect());
    assert!(debug.contains("map"), "{debug}");
}
