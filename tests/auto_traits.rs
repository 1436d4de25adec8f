//! Which types may go to another thread, be shared between threads, and move after they were polled.

#![allow(clippy::needless_borrow)]

mod common;

use common::{leaked, ready};
use onlooker::{
    Callback, Closed, Overflow, Reader, Recv, RecvTimeoutError, TimedOut, Transition, TryRecvError,
    Wait, Watched, Watcher,
};
use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::future::Ready;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// An inherent method goes before a trait's of the same name, where its bounds hold.
struct Probe<T: ?Sized>(PhantomData<T>);

fn probe<T>(_: &T) -> Probe<T> {
    Probe(PhantomData)
}

macro_rules! probes {
    ($($method:ident, $fallback:ident: $trait:ident;)*) => {$(
        trait $fallback {
            fn $method(&self) -> bool {
                false
            }
        }
        impl<T: ?Sized> $fallback for Probe<T> {}
        impl<T: ?Sized + $trait> Probe<T> {
            fn $method(&self) -> bool {
                true
            }
        }
    )*};
}

probes! {
    is_send, FallbackSend: Send;
    is_sync, FallbackSync: Sync;
    is_unpin, FallbackUnpin: Unpin;
}

/// `type: Send, Sync, Unpin`; an underscore leaves it open.
macro_rules! table {
    ($($type:ty: $send:tt $sync:tt $unpin:tt;)*) => {$(
        table!(@ is_send, $type, $send);
        table!(@ is_sync, $type, $sync);
        table!(@ is_unpin, $type, $unpin);
    )*};
    (@ $method:ident, $type:ty, _) => {};
    (@ $method:ident, $type:ty, $expected:tt) => {
        assert_eq!(
            Probe::<$type>(PhantomData).$method(),
            $expected,
            "{} of {}",
            stringify!($method),
            stringify!($type)
        );
    };
}

/// `Send`, not `Sync`.
type Unshared = Cell<u32>;
/// Neither.
type Local = Rc<u32>;
/// `Sync`, not `Send`.
type Guard = MutexGuard<'static, u32>;

#[test]
fn the_probes_tell_the_difference() {
    table! {
        u32: true true true;
        Unshared: true false true;
        Local: false false true;
        Guard: false true true;
        std::marker::PhantomPinned: true true false;
    }
}

#[test]
fn a_state_is_shared_between_threads_whenever_its_value_may_be_sent() {
    table! {
        Watched<u32>: true true true;
        Watched<Unshared>: true true true;
        Watched<Local>: false false true;
        Watched<Guard>: false false true;
        Watched<String>: true true true;
    }
}

#[test]
fn a_watcher_goes_where_its_values_may_go() {
    table! {
        Watcher<u32>: true _ true;
        Watcher<Unshared>: true false true;
        Watcher<Local>: false false true;
        Watcher<Guard>: false _ true;
        Recv<'static, u32>: true _ true;
        Recv<'static, Unshared>: true _ true;
        Recv<'static, Local>: false false true;
    }
}

#[test]
fn a_wait_goes_to_any_thread() {
    table! {
        Wait<'static, u32>: true _ true;
        Wait<'static, Unshared>: true _ true;
        Wait<'static, Transition<u32>>: true _ true;
        Wait<'static, Transition<Unshared>>: true _ true;
    }
}

#[test]
fn a_transition_is_no_more_and_no_less_than_its_values() {
    table! {
        Transition<u32>: true true true;
        Transition<Unshared>: true false true;
        Transition<Local>: false false true;
        Transition<Guard>: false true true;
    }
}

#[test]
fn a_reader_goes_where_its_value_may_go() {
    table! {
        Reader<'static, u32>: true _ true;
        Reader<'static, Unshared>: true false true;
        Reader<'static, Local>: false false true;
    }
}

#[test]
fn the_small_types_go_everywhere() {
    table! {
        Callback: true true true;
        Overflow: true true true;
        Closed: true true true;
        TryRecvError: true true true;
        TimedOut: true true true;
        RecvTimeoutError: true true true;
    }
    fn error<E: std::error::Error + Display + Debug + Copy + Eq + Send + Sync + 'static>() {}
    error::<Closed>();
    error::<TryRecvError>();
    error::<TimedOut>();
    error::<RecvTimeoutError>();
}

macro_rules! sendable {
    ($($future:expr),* $(,)?) => {$(
        assert!(probe(&$future).is_send(), "Send: {}", stringify!($future));
        assert!(probe(&$future).is_unpin(), "Unpin: {}", stringify!($future));
    )*};
}

#[test]
fn every_future_of_a_state_may_be_spawned() {
    let state = leaked(Some(Cell::new(0_u32)));
    let none = || None::<Unshared>;
    sendable! {
        state.wait_for(none()),
        state.wait_for_not(none()),
        state.wait_until(|_| true),
        state.wait_map(|_| Some(Cell::new(0))),
        state.wait_for_some(),
        state.wait_for_change(),
        state.wait_for_next(none()),
        state.wait_until_next(|_| true),
        state.set_paced(none()),
        state.wait_for(none()).until(std::future::ready(())),
        state.wait_for(none()).timeout(|_: Duration| std::future::ready(()), Duration::ZERO),
    }
}

#[test]
fn every_future_of_a_watcher_may_be_spawned_where_its_closure_may() {
    let state = leaked(Some(Cell::new(0_u32)));
    let mut watcher = state.watch();
    let none = || None::<Unshared>;
    sendable! {
        watcher.recv(),
        watcher.wait_for(none()),
        watcher.wait_for_not(none()),
        watcher.wait_until(|_| true),
        watcher.wait_map(|_| Some(Cell::new(0))),
        watcher.wait_for_some(),
        watcher.wait_for_next(none()),
        watcher.wait_until_next(|_| true),
        watcher.recv().until(std::future::ready(())),
        watcher.wait_for_some().timeout(|_: Duration| std::future::ready(()), Duration::ZERO),
    }
    // A closure that stays on its thread is welcome, too.
    let local = Rc::new(true);
    assert!(ready(watcher.wait_until(|_| *local)).is_ok());
}

#[test]
fn values_that_stay_on_their_thread_can_be_watched_there() {
    let state = Watched::new(Rc::new(1));
    let mut watcher = state.watch();
    assert!(state.set(Rc::new(2)));
    assert!(ready(state.set_paced(Rc::new(3))));
    assert_eq!(*watcher.try_recv().unwrap().new, 2);
    assert_eq!(ready(watcher.wait_for(Rc::new(3))), Ok(Rc::new(3)));
}

#[test]
fn a_deadline_keeps_what_it_is_made_of() {
    let state = leaked(0);
    let local = Rc::new(());
    let here = state.wait_for(1).until(std::future::ready(local));
    assert!(!probe(&here).is_send());
    let there: Ready<()> = std::future::ready(());
    assert!(probe(&state.wait_for(1).until(there)).is_send());
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
    table! { Alone: true false true; }
    let state = leaked(Alone::new(0));
    let end = 300;
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut watcher = state.watch();
            let last = state.wait_for(Alone::new(end));
            let also = state.wait_until(move |now| now.n == end);
            thread::spawn(move || {
                let mut reader = state.reader();
                while watcher.recv_blocking().unwrap().new.n != end {
                    reader.get();
                    state.get();
                }
                assert_eq!((last.wait().n, also.wait().n), (end, end));
            })
        })
        .collect();
    let calls = state.on_change(|change| {
        let _ = change.clone();
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
}
