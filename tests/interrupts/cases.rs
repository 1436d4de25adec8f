//! Which calls an interrupt may cut in two, which calls it may make there, and what must hold afterwards.
//!
//! No std: the host's simulation of interrupts and the firmware that is preempted at every instruction share it.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use futures_core::Stream;
use onlooker::{Callback, Overflow, OwnedWait, View, Wait, Watched, Watcher};

pub(crate) type State = Watched<u32>;

/// What the interrupt has in hand.
pub(crate) struct Hand {
    state: &'static State,
    wait: Option<Wait<'static, u32>>,
    owned: Option<OwnedWait<u32>>,
    watcher: Option<Watcher<u32>>,
}

/// What the interrupt sets; the interrupted calls set small numbers.
const INTERRUPT: u32 = 1000;

/// A call that an interrupt makes.
pub(crate) type Interrupt = fn(&mut Hand);

pub(crate) const INTERRUPTS: [(&str, Interrupt); 12] = [
    ("set", |hand| assert!(hand.state.set(INTERRUPT))),
    ("replace", |hand| {
        hand.state.replace(INTERRUPT);
    }),
    ("set_if", |hand| {
        assert_eq!(
            hand.state.set_if(INTERRUPT, |value| *value < INTERRUPT),
            Ok(())
        );
    }),
    ("update", |hand| {
        assert!(hand.state.update(|value| value + INTERRUPT) < INTERRUPT);
    }),
    ("drop wait", |hand| drop(hand.wait.take())),
    ("drop owned wait", |hand| drop(hand.owned.take())),
    ("drop watcher", |hand| drop(hand.watcher.take())),
    ("view, owned wait, poll", |hand| {
        let mut wait = hand.state.view().wait_until(|value| *value == 79);
        assert!(poll(&mut wait).is_pending());
    }),
    ("map, get", |hand| {
        assert!(hand.state.view().map(|value| value + 1).get() > 0);
    }),
    ("watch twice, set", |hand| {
        // Callbacks of what was interrupted may have set more.
        let mut watchers = [hand.state.watch(), hand.state.view().watch()];
        assert!(hand.state.set(INTERRUPT));
        for watcher in &mut watchers {
            assert_eq!(watcher.try_recv().unwrap().new, INTERRUPT);
        }
    }),
    ("try_recv", |hand| {
        if let Some(watcher) = &mut hand.watcher {
            assert!(watcher.try_recv().is_ok());
        }
    }),
    ("get, version", |hand| {
        assert!(u64::from(hand.state.get()) <= hand.state.version() * u64::from(INTERRUPT));
    }),
];

/// What a call works on. Its watchers were there before, with room and without.
pub(crate) struct Subject {
    state: &'static State,
    /// Nobody's, but for what a call's callbacks do with it.
    other: &'static State,
    unbounded: Watcher<u32>,
    oldest: Watcher<u32>,
    newest: Watcher<u32>,
    wait: Option<Wait<'static, u32>>,
    judged: Option<Wait<'static, u32>>,
    owned: Option<OwnedWait<u32>>,
    callback: Option<Callback>,
    derived: Option<Derived>,
    /// The unbounded watcher, the wait, the owned wait: found nothing and went to sleep.
    asleep: [bool; 3],
}

/// What is derived from the state, in the runs that have it.
struct Derived {
    /// One more.
    more: View<u32>,
    /// Both.
    pair: View<(u32, u32)>,
    mores: Watcher<u32>,
    pairs: Watcher<(u32, u32)>,
    met: OwnedWait<(u32, u32)>,
}

impl Derived {
    fn new(state: &State) -> Self {
        let more = state.view().map(|value| value + 1);
        let pair = state.view().zip(&more);
        Self {
            mores: more.watch(),
            pairs: pair.watch(),
            met: pair.wait_until(|pair| pair.1 == INTERRUPT + 1),
            more,
            pair,
        }
    }
}

/// Whether the unbounded watcher, the wait, the owned wait was woken.
static WOKEN: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
/// The last transition that the callback was called for.
static CALLED: AtomicU32 = AtomicU32::new(0);
/// The callback runs.
static CALLING: AtomicBool = AtomicBool::new(false);

/// The callback: **whoever interrupts it and sets leaves its transition to the one who has the turn.**
fn called(seq: u64) {
    assert!(!CALLING.load(Ordering::Relaxed));
    CALLING.store(true, Ordering::Relaxed);
    assert_eq!(seq, u64::from(CALLED.load(Ordering::Relaxed)) + 1);
    // A place for an interrupt, on the host too.
    critical_section::with(|_| CALLED.store(seq as u32, Ordering::Relaxed));
    CALLING.store(false, Ordering::Relaxed);
}

fn waker(woken: &'static AtomicBool) -> Waker {
    const TABLE: RawWakerVTable =
        RawWakerVTable::new(|woken| RawWaker::new(woken, &TABLE), wake, wake, |_| {});

    unsafe fn wake(woken: *const ()) {
        // SAFETY: made from a `&'static AtomicBool` below.
        unsafe { &*woken.cast::<AtomicBool>() }.store(true, Ordering::Relaxed);
    }

    let woken = core::ptr::from_ref(woken).cast();
    // SAFETY: it is static, and the table's functions only store to it.
    unsafe { Waker::from_raw(RawWaker::new(woken, &TABLE)) }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A call that is interrupted. It says how many transitions it made.
pub(crate) type Call = fn(&mut Subject) -> u64;

pub(crate) const CALLS: [(&str, Call); 35] = [
    ("get", |subject| {
        subject.state.get();
        0
    }),
    ("version", |subject| {
        subject.state.version();
        0
    }),
    ("reader", |subject| {
        subject.state.reader().get();
        0
    }),
    ("set", |subject| u64::from(subject.state.set(7))),
    ("replace", |subject| {
        subject.state.replace(7);
        1
    }),
    ("set_if", |subject| {
        u64::from(subject.state.set_if(7, |_| true).is_ok())
    }),
    ("update", |subject| {
        subject.state.update(|value| value + 1);
        1
    }),
    ("modify", |subject| {
        u64::from(subject.state.modify(|value| *value += 1))
    }),
    ("watch and drop", |subject| {
        drop(subject.state.watch());
        0
    }),
    ("watch_bounded and drop", |subject| {
        drop(subject.state.watch_bounded(2, Overflow::DropOldest));
        0
    }),
    ("wait_for, poll, drop", |subject| {
        let mut wait = subject.state.wait_for(77);
        assert!(poll(&mut wait).is_pending());
        0
    }),
    ("wait_until, poll, drop", |subject| {
        let mut wait = subject.state.wait_until(|value| *value == 77);
        assert!(poll(&mut wait).is_pending());
        0
    }),
    ("wait_for_change, poll", |subject| {
        let _ = poll(&mut subject.state.wait_for_change());
        0
    }),
    ("poll a wait", |subject| {
        let waker = waker(&WOKEN[1]);
        if let Some(wait) = &mut subject.wait {
            let polled = Pin::new(wait).poll(&mut Context::from_waker(&waker));
            subject.asleep[1] = polled.is_pending();
        }
        0
    }),
    ("drop a wait", |subject| {
        subject.wait = None;
        0
    }),
    ("drop a judged wait", |subject| {
        subject.judged = None;
        0
    }),
    ("try_recv, unbounded", |subject| {
        let before = *subject.unbounded.seen();
        assert_eq!(subject.unbounded.try_recv().unwrap().old, before);
        0
    }),
    ("try_recv, full, DropOldest", |subject| {
        let before = *subject.oldest.seen();
        assert_eq!(subject.oldest.try_recv().unwrap().old, before);
        0
    }),
    ("try_recv, full, DropNewest", |subject| {
        let before = *subject.newest.seen();
        assert_eq!(subject.newest.try_recv().unwrap().old, before);
        0
    }),
    ("recv, and its drop", |subject| {
        while subject.unbounded.try_recv().is_ok() {}
        let _ = poll(&mut subject.unbounded.recv());
        0
    }),
    ("receive to sleep", |subject| {
        let waker = waker(&WOKEN[0]);
        let mut context = Context::from_waker(&waker);
        while let Poll::Ready(change) = Pin::new(&mut subject.unbounded).poll_next(&mut context) {
            assert!(change.is_some());
        }
        subject.asleep[0] = true;
        0
    }),
    ("set_paced, polled and dropped", |subject| {
        // The full watchers are in its way.
        assert!(poll(&mut subject.state.set_paced(7)).is_pending());
        0
    }),
    ("view and drop", |subject| {
        assert!(!subject.state.view().is_closed());
        0
    }),
    ("view, wait_for, poll, drop", |subject| {
        assert!(poll(&mut subject.state.view().wait_for(77)).is_pending());
        0
    }),
    ("poll an owned wait", |subject| {
        let waker = waker(&WOKEN[2]);
        if let Some(wait) = &mut subject.owned {
            let polled = Pin::new(wait).poll(&mut Context::from_waker(&waker));
            subject.asleep[2] = polled.is_pending();
            if polled.is_ready() {
                subject.owned = None;
            }
        }
        0
    }),
    ("drop an owned wait", |subject| {
        subject.owned = None;
        0
    }),
    ("wait_unwatched, poll, drop", |subject| {
        assert!(poll(&mut subject.state.wait_unwatched()).is_pending());
        0
    }),
    ("map and drop", |subject| {
        drop(subject.state.view().map(|value| value + 1));
        0
    }),
    ("zip and drop", |subject| {
        let view = subject.state.view();
        drop(view.zip(&view.map(|value| value + 1)));
        0
    }),
    ("set, whose callback sets this state", |subject| {
        let state = subject.state;
        let _callback = state.on_change(move |change| {
            if change.new == 7 {
                assert!(state.set(8));
            }
        });
        2 * u64::from(state.set(7))
    }),
    (
        "set, whose callback sets another, whose callback sets this",
        |subject| {
            let (state, other) = (subject.state, subject.other);
            let _callback = state.on_change(move |change| {
                if change.new == 7 {
                    assert!(other.set(1));
                }
            });
            let _back = other.on_change(move |_| assert!(state.set(8)));
            2 * u64::from(state.set(7))
        },
    ),
    ("on_value of what is there", |subject| {
        static RAN: AtomicU32 = AtomicU32::new(0);
        RAN.store(0, Ordering::Relaxed);
        let _callback = subject.state.on_value(2, |_| {
            RAN.store(RAN.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        });
        // Unless an interrupt came first.
        let ran = RAN.load(Ordering::Relaxed);
        assert!(ran == 1 || ran == 0 && subject.state.get() != 2);
        0
    }),
    ("inspect", |subject| {
        assert!(subject.state.inspect().observers.len() >= 5);
        0
    }),
    ("on_change and drop", |subject| {
        drop(subject.state.on_change(|_| ()));
        0
    }),
    ("drop a callback", |subject| {
        subject.callback = None;
        0
    }),
];

/// Calls on a state from which others are derived.
pub(crate) const DERIVED: [(&str, Call); 7] = [
    ("derived: set", |subject| u64::from(subject.state.set(7))),
    ("derived: update", |subject| {
        subject.state.update(|value| value + 1);
        1
    }),
    ("derived: get", |subject| {
        if let Some(Derived { more, pair, .. }) = &subject.derived {
            let (value, one_more) = pair.get();
            assert!(one_more == value + 1 && more.get() >= one_more);
        }
        0
    }),
    ("derived: try_recv", |subject| {
        if let Some(Derived { mores, pairs, .. }) = &mut subject.derived {
            assert_eq!(mores.try_recv().unwrap().new, 2);
            assert_eq!(pairs.try_recv().unwrap().new, (1, 2));
        }
        0
    }),
    ("derived: poll a wait", |subject| {
        if let Some(Derived { met, .. }) = &mut subject.derived {
            // An interrupt may have brought it.
            let _ = Pin::new(met).poll(&mut Context::from_waker(Waker::noop()));
        }
        0
    }),
    ("derived: map further and drop", |subject| {
        if let Some(Derived { pair, .. }) = &subject.derived {
            drop(pair.map(|pair| pair.0));
        }
        0
    }),
    ("derived: drop it all", |subject| {
        subject.derived = None;
        0
    }),
];

/// One run: the call, the interrupt somewhere in it, and whoever watched.
pub(crate) struct Run {
    states: [*mut State; 2],
    pub subject: Subject,
    witness: Watcher<u32>,
    met: Wait<'static, u32>,
}

pub(crate) fn prepare(derived: bool) -> (Run, Hand) {
    let states = [(); 2].map(|()| Box::into_raw(Box::new(Watched::new(0))));
    // SAFETY: they live until `finish`, which drops everything that borrows them first.
    let [state, other]: [&'static State; 2] = states.map(|state| unsafe { &*state });
    CALLED.store(0, Ordering::Relaxed);
    WOKEN
        .iter()
        .for_each(|woken| woken.store(false, Ordering::Relaxed));
    let run = Run {
        states,
        witness: state.watch(),
        met: state.wait_for(INTERRUPT),
        subject: Subject {
            state,
            other,
            unbounded: state.watch(),
            oldest: state.watch_bounded(2, Overflow::DropOldest),
            newest: state.watch_bounded(1, Overflow::DropNewest),
            wait: Some(state.wait_for(INTERRUPT)),
            judged: Some(state.wait_until(|value| *value == INTERRUPT)),
            owned: Some(state.view().wait_for(INTERRUPT)),
            callback: Some(state.on_change(|change| called(change.seq))),
            derived: derived.then(|| Derived::new(state)),
            asleep: [false; 3],
        },
    };
    let hand = Hand {
        state,
        wait: Some(state.wait_for(78)),
        owned: Some(state.view().wait_until(|value| *value == 78)),
        watcher: Some(state.watch_bounded(2, Overflow::DropOldest)),
    };
    for value in 1..=2 {
        state.set(value);
    }
    (run, hand)
}

/// What must hold when the call, which made so many transitions, and the interrupt are over.
pub(crate) fn finish(run: Run, hand: Hand, made: u64) {
    let Run {
        states,
        mut subject,
        mut witness,
        mut met,
    } = run;
    let state = subject.state;
    // The witness has everything once, in order, up to the present value.
    let (mut before, mut seq, mut interrupted, mut was) = (0, 0, 0, false);
    while let Ok(change) = witness.try_recv() {
        assert_eq!(
            (change.old, change.seq, change.missed),
            (before, seq + 1, 0)
        );
        (before, seq) = (change.new, change.seq);
        interrupted += u64::from(change.old < INTERRUPT && change.new >= INTERRUPT);
        was |= change.new == INTERRUPT;
    }
    assert_eq!((before, seq), (state.get(), state.version()));
    assert_eq!(seq, 2 + made + interrupted);
    // Who slept was woken if there was anything to wake for.
    let [received, waited, owned] = subject.asleep;
    let woken = [0, 1, 2].map(|sleeper: usize| WOKEN[sleeper].load(Ordering::Relaxed));
    assert!(!received || woken[0] || subject.unbounded.is_empty());
    assert!(!waited || woken[1] || !was);
    assert!(!owned || woken[2] || !was);
    // The others have an unbroken chain that ends where it should, and losses that add up.
    for (watcher, latest) in [
        (&mut subject.unbounded, true),
        (&mut subject.oldest, true),
        (&mut subject.newest, false),
    ] {
        let (mut last, mut received) = (*watcher.seen(), 0);
        while let Ok(change) = watcher.try_recv() {
            assert_eq!(change.old, last);
            (last, received) = (change.new, received + 1);
        }
        assert!(!latest || last == before);
        assert!(received + watcher.missed() <= seq);
    }
    // The callback: called by the time the setters returned.
    if subject.callback.is_some() {
        assert_eq!(u64::from(CALLED.load(Ordering::Relaxed)), seq);
    }
    // What is derived has each transition once, both halves together, up to the present value.
    if let Some(mut derived) = subject.derived.take() {
        assert_eq!(derived.pair.get(), (before, before + 1));
        assert_eq!((derived.more.version(), derived.pair.version()), (seq, seq));
        let (mut one_more, mut pair) = (*derived.mores.seen(), *derived.pairs.seen());
        while let Ok(change) = derived.mores.try_recv() {
            assert_eq!((change.old, change.missed), (one_more, 0));
            one_more = change.new;
        }
        while let Ok(change) = derived.pairs.try_recv() {
            assert_eq!((change.old, change.missed), (pair, 0));
            assert_eq!(change.new.0 + 1, change.new.1);
            pair = change.new;
        }
        assert_eq!((one_more, pair), (before + 1, (before, before + 1)));
    }
    // Latched exactly if it ever was.
    assert_eq!(poll(&mut met).is_ready(), was);
    if let Some(mut owned) = subject.owned.take() {
        assert_eq!(poll(&mut owned).is_ready(), was);
    }
    if let Some(mut judged) = subject.judged.take() {
        assert_eq!(poll(&mut judged).is_ready(), was);
    }

    drop((met, subject, witness, hand));
    assert_eq!((state.watcher_count(), state.view_count()), (0, 0));
    // SAFETY: everything that borrowed them was dropped above.
    drop(states.map(|state| unsafe { Box::from_raw(state) }));
}
