//! Which types may go to another thread, be shared between threads, move after they were polled, and be looked at after
//! a panic. One table, for every set of features: `.ci/no-std` runs it without std too.

#![allow(clippy::needless_borrow)]

mod common;

use common::{leaked, ready};
use onlooker::{
    Callback, Closed, Details, Forgotten, Inspection, Observer, Overflow, OwnedWait, Reader, Recv,
    SetPaced, TimedOut, Timeout, Transition, TryIter, TryRecvError, Unless, Values, View, Wait,
    WaitError, Watched, Watcher, WatcherWait,
};
use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::future::Ready;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};
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
    is_unwind_safe, FallbackUnwindSafe: UnwindSafe;
    is_ref_unwind_safe, FallbackRefUnwindSafe: RefUnwindSafe;
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
/// A closure of a watcher's wait, and the same that stays on its thread.
type Seek = fn(&u32) -> Option<u32>;
type LocalSeek = (Seek, Local);

#[test]
fn the_probes_tell_the_difference() {
    table! {
        u32: true true true;
        Unshared: true false true;
        Local: false false true;
        Guard: false true true;
        PhantomPinned: true true false;
    }
    assert!(probe(&0_u32).is_unwind_safe() && probe(&0_u32).is_ref_unwind_safe());
    assert!(!probe(&Cell::new(0)).is_ref_unwind_safe());
    assert!(!probe(&&mut 0).is_unwind_safe());
}

#[test]
fn a_state_and_its_views_are_shared_between_threads_whenever_the_value_may_be_sent() {
    table! {
        Watched<u32>: true true true;
        Watched<Unshared>: true true true;
        Watched<Local>: false false true;
        Watched<Guard>: false false true;
        Watched<PhantomPinned>: true true _;
        View<u32>: true true true;
        View<Unshared>: true true true;
        View<Local>: false false true;
        View<Guard>: false false true;
        View<PhantomPinned>: true true true;
    }
}

#[test]
fn a_state_and_its_views_may_be_looked_at_after_a_panic_as_a_mutex_may() {
    macro_rules! safe {
        ($($type:ty),*) => {$(
            assert!(Probe::<$type>(PhantomData).is_unwind_safe(), "{}", stringify!($type));
            assert!(Probe::<$type>(PhantomData).is_ref_unwind_safe(), "{}", stringify!($type));
            assert!(Probe::<&$type>(PhantomData).is_unwind_safe(), "&{}", stringify!($type));
        )*};
    }
    safe!(Mutex<Unshared>, Mutex<&'static mut u32>); // the measure
    safe!(
        Watched<u32>,
        Watched<Unshared>,
        Watched<Local>,
        Watched<&'static mut u32>
    );
    safe!(
        View<u32>,
        View<Unshared>,
        View<Local>,
        View<&'static mut u32>
    );
}

#[test]
fn every_watcher_and_its_futures_are_send_and_sync_when_the_value_is() {
    table! {
        Watcher<u32>: true true true;
        Watcher<Unshared>: true false true;
        Watcher<Local>: false false true;
        Watcher<Guard>: false _ true;
        Recv<'static, u32>: true true true;
        Recv<'static, Unshared>: true _ true;
        Recv<'static, Local>: false false true;
        WatcherWait<'static, u32, u32, Seek>: true true true;
        WatcherWait<'static, u32, u32, LocalSeek>: false false true;
        WatcherWait<'static, u32, Local, Seek>: true true true;
        Values<u32>: true true true;
        Values<Unshared>: true _ true;
        Values<Local>: false false true;
        TryIter<'static, u32>: true true true;
        TryIter<'static, Local>: false false true;
    }
    #[cfg(feature = "std")]
    table! {
        onlooker::Iter<'static, u32>: true true true;
        onlooker::Iter<'static, Local>: false false true;
    }
}

#[test]
fn every_wait_goes_to_any_thread_and_is_shared_between_them() {
    table! {
        Wait<'static, u32>: true true true;
        Wait<'static, ()>: true true true;
        Wait<'static, Unshared>: true _ true;
        Wait<'static, Transition<u32>>: true true true;
        Wait<'static, Transition<Unshared>>: true _ true;
        Wait<'static, PhantomPinned>: true true true;
        OwnedWait<u32>: true true true;
        OwnedWait<Unshared>: true _ true;
        OwnedWait<Transition<u32>>: true true true;
        OwnedWait<PhantomPinned>: true true true;
        SetPaced<'static, u32>: true true true;
        SetPaced<'static, Unshared>: true _ true;
        SetPaced<'static, Local>: false false true;
    }
}

#[test]
fn a_deadline_keeps_what_it_is_made_of() {
    table! {
        Unless<Wait<'static, u32>, Ready<u32>>: true true true;
        Unless<Wait<'static, u32>, Ready<Local>>: false false true;
        Unless<OwnedWait<u32>, Ready<Unshared>>: true false true;
        Unless<Wait<'static, u32>, PhantomPinned>: true true false;
        Timeout<OwnedWait<u32>, Ready<()>>: true true true;
        Timeout<Recv<'static, u32>, Ready<()>>: true true true;
        Timeout<Recv<'static, u32>, PhantomPinned>: true true false;
        Timeout<SetPaced<'static, u32>, Ready<Local>>: false false true;
    }
}

#[test]
fn a_transition_is_no_more_and_no_less_than_its_values() {
    table! {
        Transition<u32>: true true true;
        Transition<Unshared>: true false true;
        Transition<Local>: false false true;
        Transition<Guard>: false true true;
        Transition<PhantomPinned>: true true false;
    }
}

#[test]
fn a_reader_goes_where_its_value_may_go() {
    table! {
        Reader<'static, u32>: true true true;
        Reader<'static, Unshared>: true false true;
        Reader<'static, Local>: false false true;
    }
}

#[test]
fn the_small_types_go_everywhere() {
    table! {
        Callback: true true true;
        Overflow: true true true;
        Inspection: true true true;
        Observer: true true true;
        Details: true true true;
        Closed: true true true;
        TryRecvError: true true true;
        TimedOut: true true true;
        WaitError: true true true;
        Forgotten: true true true;
    }
    fn error<E: std::error::Error + Display + Debug + Copy + Eq + Send + Sync + 'static>() {}
    error::<Closed>();
    error::<TryRecvError>();
    error::<TimedOut>();
    error::<WaitError>();
    error::<Forgotten>();
}

macro_rules! sendable {
    ($($future:expr),* $(,)?) => {$(
        assert!(probe(&$future).is_send(), "Send: {}", stringify!($future));
        assert!(probe(&$future).is_unpin(), "Unpin: {}", stringify!($future));
    )*};
}

macro_rules! sharable {
    ($($future:expr),* $(,)?) => {$(
        sendable!($future);
        assert!(probe(&$future).is_sync(), "Sync: {}", stringify!($future));
    )*};
}

/// A sleep that is over at once.
fn no_time(_: Duration) -> Ready<()> {
    std::future::ready(())
}

#[test]
fn every_future_of_a_state_may_be_spawned() {
    let state = leaked(Some(Cell::new(0_u32)));
    let view = state.view();
    let none = || None::<Unshared>;
    let done = || std::future::ready(());
    sendable! {
        state.wait_for(none()),
        state.wait_for_not(none()),
        state.wait_until(|_| true),
        state.wait_map(|_| Some(Cell::new(0))),
        state.wait_for_some(),
        state.wait_for_change(),
        state.wait_for_next(none()),
        state.wait_until_next(|_| true),
        state.wait_unwatched(),
        state.wait_watched(),
        state.set_paced(none()),
        state.wait_for(none()).unless(done()),
        state.wait_for(none()).timeout(no_time, Duration::ZERO),
        view.wait_for(none()),
        view.wait_until(|_| true),
        view.wait_map(|_| Some(Cell::new(0))),
        view.wait_for_some(),
        view.wait_for_change(),
        view.wait_for_next(none()).unless(done()),
        view.wait_until_next(|_| true).timeout(no_time, Duration::ZERO),
    }
}

#[test]
fn every_future_of_a_state_whose_value_is_shared_is_shared() {
    let state = leaked(Some(0_u32));
    let view = state.view();
    // What a predicate catches need not be `Sync`.
    let of_a_cell = |cell: Unshared| state.wait_until(move |_| cell.get() == 0);
    sharable! {
        state.wait_for(None),
        of_a_cell(Cell::new(0)),
        state.wait_map(|n| *n),
        state.wait_for_some(),
        state.wait_for_change(),
        state.wait_unwatched(),
        state.set_paced(None),
        view.wait_for(None),
        view.wait_until_next(|_| true),
        view.wait_for_some(),
        view.wait_for_change().unless(std::future::ready(())),
        state.watch().recv(),
        state.watch().wait_for_some(),
        state.watch().wait_for_next(None).timeout(no_time, Duration::ZERO),
        state.watch().values(),
        state.on_change(|_| ()),
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
        watcher.recv().unless(std::future::ready(())),
        watcher.wait_for_some().timeout(no_time, Duration::ZERO),
        state.watch().values(),
    }
    // A closure that stays on its thread is welcome, too.
    let local = Rc::new(true);
    assert!(ready(watcher.wait_until(|_| *local)).is_ok());
}

/// What is taken along lives as long as it likes.
#[test]
fn owned_things_borrow_nothing() {
    fn owned<T: 'static>(_: T) {}
    let state = Watched::new(Some(0));
    let view = state.view();
    owned(view.clone());
    owned(view.wait_for(None));
    owned(view.wait_until(|_| true).unless(view.wait_for_some()));
    owned(state.watch());
    owned(state.watch().values());
    owned(state.on_change(|_| ()));
    owned(view.map(Option::is_some));
}

/// The lock that a program brings along.
#[cfg(feature = "critical-section")]
mod lock {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    static TAKEN: AtomicBool = AtomicBool::new(false);

    thread_local! {
        static HERE: Cell<bool> = const { Cell::new(false) };
    }

    struct One;

    critical_section::set_impl!(One);

    // SAFETY: one thread is inside at a time, and on that thread it nests.
    unsafe impl critical_section::Impl for One {
        unsafe fn acquire() -> bool {
            let outermost = !HERE.replace(true);
            while outermost && TAKEN.swap(true, SeqCst) {
                std::thread::yield_now();
            }
            outermost
        }

        unsafe fn release(outermost: bool) {
            if outermost {
                HERE.set(false);
                TAKEN.store(false, SeqCst);
            }
        }
    }
}
