//! The user's code: values, wakers, closures and payloads that count their calls, and panic where they are told to.

use super::ops::Number;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::panic::{panic_any, set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::task::{RawWaker, RawWakerVTable, Waker};

thread_local! {
    /// Calls of the user's code so far, and the ones that panic.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static PANICS_AT: Cell<[usize; 2]> = const { Cell::new([usize::MAX; 2]) };
    static PANICKED: RefCell<Vec<Point>> = const { RefCell::new(Vec::new()) };
    static HUSHED: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static SERIAL: Cell<u32> = const { Cell::new(0) };
    static MAPS: Cell<(isize, usize)> = const { Cell::new((0, 0)) };
    static SEEN: RefCell<BTreeMap<(usize, u64), (u32, Number)>> = const { RefCell::new(BTreeMap::new()) };
    static FAULT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What the user's code panics with. Dropping it is a call of the user's code, too.
pub struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        call(Point::Drop);
    }
}

/// What a closure panics with when the program says so.
pub struct OnPurpose;

/// A piece of the user's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Eq,
    Clone,
    Drop,
    Waker,
    Closure,
    Predicate,
    Map,
    Callback,
}

/// Every piece of the user's code begins with this.
pub fn call(point: Point) {
    if HUSHED.get() > 0 {
        return;
    }
    CALLS.set(CALLS.get() + 1);
    if PANICS_AT.get().contains(&CALLS.get()) {
        hushed(|| PANICKED.with_borrow_mut(|panicked| panicked.push(point)));
        panic_any(Payload);
    }
}

/// Keeps panics that are meant from printing a message each.
pub fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |info| {
            let meant = info.payload().is::<Payload>() || info.payload().is::<OnPurpose>();
            if !meant {
                loud(info);
            }
        }));
    });
}

/// Begins a run in which these calls panic.
pub fn begin(panics_at: [usize; 2]) {
    CALLS.set(0);
    PANICS_AT.set(panics_at);
    PANICKED.take();
    MAPS.set((MAPS.get().0, 0));
    SEEN.take();
    FAULT.take();
}

pub fn calls() -> usize {
    CALLS.get()
}

/// The calls that panicked.
pub fn panicked() -> Vec<Point> {
    PANICKED.with_borrow(Vec::clone)
}

/// From here on none panics.
pub fn calm_down() {
    PANICS_AT.set([usize::MAX; 2]);
}

/// What the tests do themselves is none of the user's code: it neither counts nor panics.
pub fn hushed<R>(f: impl FnOnce() -> R) -> R {
    struct Hush;
    impl Drop for Hush {
        fn drop(&mut self) {
            HUSHED.set(HUSHED.get() - 1);
        }
    }
    HUSHED.set(HUSHED.get() + 1);
    let _hush = Hush;
    f()
}

/// Values that are alive.
pub fn live() -> isize {
    LIVE.get()
}

/// Functions of maps that are alive, and how often any was called.
pub fn maps() -> (isize, usize) {
    MAPS.get()
}

/// The first thing that was wrong where a panic would have gone astray.
pub fn fault() -> Option<String> {
    FAULT.take()
}

pub fn wrong(what: impl FnOnce() -> String) {
    FAULT.with_borrow_mut(|fault| {
        fault.get_or_insert_with(what);
    });
}

/// A value with drop glue that owns memory. Equal are values of one number; the serial says which one it is.
pub struct Value {
    number: Box<Number>,
    /// The state it was made for.
    pub of: usize,
    pub serial: u32,
}

impl Value {
    pub fn new(of: usize, number: Number) -> Self {
        SERIAL.set(SERIAL.get() + 1);
        Self::with(of, number, SERIAL.get())
    }

    fn with(of: usize, number: Number, serial: u32) -> Self {
        LIVE.set(LIVE.get() + 1);
        let number = Box::new(number);
        Self { number, of, serial }
    }

    pub fn number(&self) -> Number {
        *self.number
    }

    pub fn change(&mut self, number: Number) {
        let Self { of, .. } = *self;
        hushed(|| *self = Self::new(of, number));
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        call(Point::Clone);
        Self::with(self.of, self.number(), self.serial)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        call(Point::Eq);
        self.number == other.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
        call(Point::Drop);
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.number)
    }
}

/// Somebody was shown the value of a version. All who are shown it have to be shown the same one.
pub fn saw(of: usize, seq: u64, value: &Value) {
    if value.of != of {
        wrong(|| {
            format!(
                "a value of state {} came to one who looks at {of}",
                value.of
            )
        });
    }
    SEEN.with_borrow_mut(|seen| {
        let told = (value.serial, value.number());
        if *seen.entry((of, seq)).or_insert(told) != told {
            wrong(|| format!("two values for version {seq} of state {of}"));
        }
    });
}

/// What is known of the values of a state after a version: in order, and without a gap.
pub fn known_since(of: usize, version: u64) -> Vec<Number> {
    SEEN.with_borrow(|seen| {
        let after = seen.range((of, version + 1)..(of + 1, 0));
        let next = (version + 1..).zip(after);
        let next = next.take_while(|(seq, ((_, known), _))| seq == known);
        next.map(|(_, (_, (_, number)))| *number).collect()
    })
}

/// Held by the function of a map, which counts as long as it is alive.
pub struct MapAlive;

impl MapAlive {
    pub fn new() -> Self {
        MAPS.set((MAPS.get().0 + 1, MAPS.get().1));
        Self
    }

    pub fn called(&self) {
        MAPS.set((MAPS.get().0, MAPS.get().1 + 1));
        call(Point::Map);
    }
}

impl Drop for MapAlive {
    fn drop(&mut self) {
        MAPS.set((MAPS.get().0 - 1, MAPS.get().1));
        call(Point::Drop);
    }
}

/// Held by a predicate, a function or a callback: that these are dropped is a call of the user's code.
pub struct Glue;

impl Drop for Glue {
    fn drop(&mut self) {
        call(Point::Drop);
    }
}

/// A task that counts how often it was woken. Its waker's clone, wake and drop are the user's code.
#[derive(Default)]
pub struct Task(AtomicUsize);

impl Task {
    pub fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// How many wakers of it are kept somewhere.
    pub fn kept(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    /// Runs `f` with its waker; making and dropping that one is not counted.
    pub fn with<R>(self: &Arc<Self>, f: impl FnOnce(&Waker) -> R) -> R {
        struct Ours(ManuallyDrop<Waker>);
        impl Drop for Ours {
            fn drop(&mut self) {
                // SAFETY: this is the only drop, and nobody uses it afterwards.
                hushed(|| unsafe { ManuallyDrop::drop(&mut self.0) });
            }
        }
        let raw = RawWaker::new(Arc::into_raw(self.clone()).cast(), &VTABLE);
        // SAFETY: the pointer is an `Arc`'s, and the functions below treat it as one.
        let ours = Ours(ManuallyDrop::new(unsafe { Waker::from_raw(raw) }));
        f(&ours.0)
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn clone(task: *const ()) -> RawWaker {
    call(Point::Waker);
    // SAFETY: it came from `Arc::into_raw`, and the waker that is cloned holds one count.
    unsafe { Arc::increment_strong_count(task.cast::<Task>()) };
    RawWaker::new(task, &VTABLE)
}

fn wake(task: *const ()) {
    // SAFETY: it came from `Arc::into_raw`, and this waker's count is given up here.
    let task = unsafe { Arc::from_raw(task.cast::<Task>()) };
    task.0.fetch_add(1, Ordering::Relaxed);
    drop(task);
    call(Point::Waker);
}

fn wake_by_ref(task: *const ()) {
    // SAFETY: it came from `Arc::into_raw`, and the waker outlives this call.
    let task = ManuallyDrop::new(unsafe { Arc::from_raw(task.cast::<Task>()) });
    task.0.fetch_add(1, Ordering::Relaxed);
    call(Point::Waker);
}

fn drop_waker(task: *const ()) {
    // SAFETY: it came from `Arc::into_raw`, and this waker's count is given up here.
    drop(unsafe { Arc::from_raw(task.cast::<Task>()) });
    call(Point::Waker);
}
