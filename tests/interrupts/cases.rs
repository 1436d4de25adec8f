//! Which calls an interrupt may cut in two, which calls it may make there, and what must hold afterwards.
//!
//! No std: the host's simulation of interrupts and the firmware that is preempted at every instruction share it.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use futures_core::Stream;
use onlooker::{Callback, Overflow, Wait, Watched, Watcher};

pub(crate) type State = Watched<u32>;

/// What the interrupt has in hand.
pub(crate) struct Hand {
    state: &'static State,
    wait: Option<Wait<'static, u32>>,
    watcher: Option<Watcher<u32>>,
}

/// What the interrupt sets; the interrupted calls set small numbers.
const INTERRUPT: u32 = 1000;

/// A call that an interrupt makes.
pub(crate) type Interrupt = fn(&mut Hand);

pub(crate) const INTERRUPTS: [(&str, Interrupt); 8] = [
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
    ("drop watcher", |hand| drop(hand.watcher.take())),
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
    unbounded: Watcher<u32>,
    oldest: Watcher<u32>,
    newest: Watcher<u32>,
    wait: Option<Wait<'static, u32>>,
    judged: Option<Wait<'static, u32>>,
    callback: Option<Callback>,
    /// The unbounded watcher, the wait: found nothing and went to sleep.
    asleep: [bool; 2],
}

/// Whether the unbounded watcher, the wait was woken.
static WOKEN: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
/// The last transition that the callback was called for.
static CALLED: AtomicU32 = AtomicU32::new(0);

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

pub(crate) const CALLS: [(&str, Call); 24] = [
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
    ("on_change and drop", |subject| {
        drop(subject.state.on_change(|_| ()));
        0
    }),
    ("drop a callback", |subject| {
        subject.callback = None;
        0
    }),
];

/// One run: the call, the interrupt somewhere in it, and whoever watched.
pub(crate) struct Run {
    state: *mut State,
    pub subject: Subject,
    witness: Watcher<u32>,
    met: Wait<'static, u32>,
}

pub(crate) fn prepare() -> (Run, Hand) {
    let raw: *mut State = Box::into_raw(Box::new(Watched::new(0)));
    // SAFETY: it lives until `finish`, which drops everything that borrows it first.
    let state: &'static State = unsafe { &*raw };
    CALLED.store(0, Ordering::Relaxed);
    WOKEN
        .iter()
        .for_each(|woken| woken.store(false, Ordering::Relaxed));
    let run = Run {
        state: raw,
        witness: state.watch(),
        met: state.wait_for(INTERRUPT),
        subject: Subject {
            state,
            unbounded: state.watch(),
            oldest: state.watch_bounded(2, Overflow::DropOldest),
            newest: state.watch_bounded(1, Overflow::DropNewest),
            wait: Some(state.wait_for(INTERRUPT)),
            judged: Some(state.wait_until(|value| *value == INTERRUPT)),
            callback: Some(state.on_change(|change| {
                assert_eq!(change.seq, u64::from(CALLED.load(Ordering::Relaxed)) + 1);
                CALLED.store(change.seq as u32, Ordering::Relaxed);
            })),
            asleep: [false; 2],
        },
    };
    let hand = Hand {
        state,
        wait: Some(state.wait_for(78)),
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
        state: raw,
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
    let [received, waited] = subject.asleep;
    let [told, answered] = [0, 1].map(|sleeper: usize| WOKEN[sleeper].load(Ordering::Relaxed));
    assert!(!received || told || subject.unbounded.is_empty());
    assert!(!waited || answered || !was);
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
    // Latched exactly if it ever was.
    assert_eq!(poll(&mut met).is_ready(), was);
    if let Some(mut judged) = subject.judged.take() {
        assert_eq!(poll(&mut judged).is_ready(), was);
    }

    drop((met, subject, witness, hand));
    assert_eq!(state.watcher_count(), 0);
    // SAFETY: everything that borrowed it was dropped above.
    drop(unsafe { Box::from_raw(raw) });
}
