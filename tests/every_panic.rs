//! A panic at every call of the user's code in a program, one run for each: whatever panics, and whenever, nobody gets
//! what belongs to another, what was committed is delivered, counts and memory come back, and a further set reaches
//! everybody.
//!
//! A first run of each program counts the calls: comparisons, clones, drops, predicates, closures, functions of maps,
//! callbacks, wakers, payloads. Then it runs again with the first call panicking, the second, and so on. Each of these
//! once as it is, and once more in one of three harder ways: the next call panics too; the operation runs in a drop of
//! a thread that unwinds; both. `PANIC_PROGRAMS=10000` asks for more than the default.

mod reference;

use reference::contract::{Answer, Found, Rule, begins_now, judge};
use reference::ops::{Ask, CALLS, Face, Hear, PACED, ROOTS, VIEWS, WAITS, WATCHERS};
use reference::user::{self, Point, Value};
use reference::world::{Owned, States, World, plain, states};
use reference::{Op, decode, heap, shrink};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind, set_hook, take_hook};
use std::sync::PoisonError;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// How the calls of a run panic.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The call that panics, and maybe another.
    at: [usize; 2],
    /// The operation that runs while the thread unwinds.
    unwinding: Option<usize>,
}

const CALM: Way = Way {
    at: [usize::MAX; 2],
    unwinding: None,
};

/// A wait in its slot, and what it may find.
#[derive(Clone, Copy)]
struct Waiting {
    of: usize,
    ask: Ask,
    since: u64,
    present: Option<u8>,
}

/// What is known beside the world.
#[derive(Default)]
struct Notes {
    waits: [Option<Waiting>; WAITS],
    /// Watchers that may lose: bounded ones.
    bounded: [bool; WATCHERS],
    /// Every callback: whose it is, what it hears, the version at which it came.
    callbacks: Vec<(usize, Hear, u64)>,
    slots: [Option<usize>; CALLS],
    detached: usize,
    /// Where each operation began, in calls of the user's code.
    begins: Vec<usize>,
}

/// Runs `f`, maybe in a drop of a thread that unwinds. Gives back what it panicked with.
fn run_in<R>(unwinding: bool, f: impl FnOnce() -> R) -> Result<R, ()> {
    struct Late<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Late<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let mut f = Some(f);
    let mut result = None;
    let run = || {
        let f = f.take().expect("it runs once");
        result = Some(catch_unwind(AssertUnwindSafe(f)));
    };
    if unwinding {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _late = Late(run);
            panic_any(user::OnPurpose);
        }));
        drop(unwound);
    } else {
        let mut run = run;
        run();
    }
    let result = result.expect("it ran");
    result.map_err(|payload| {
        if payload.is::<user::Payload>() {
            user::hushed(|| drop(payload));
        } else {
            // None of the user's: something is wrong.
            resume_unwind(payload);
        }
    })
}

/// What everybody can be shown now, is noted.
fn look(states: &States, owned: &Owned) {
    user::hushed(|| {
        for (root, state) in states.iter().enumerate() {
            if let Some(state) = state {
                state.read(|value| user::saw(root, state.version(), value));
            }
        }
        for (of, view) in owned.views.iter().flatten() {
            view.read(|value| user::saw(*of, view.version(), value));
        }
    });
}

/// The state behind a face: which one, its version, its value.
fn behind(world: &World<'_>, face: Face) -> Option<(usize, u64, u8, bool)> {
    user::hushed(|| match face {
        Face::Root(root) => {
            let state = world.states[root].as_ref()?;
            Some((root, state.version(), state.read(Value::number), true))
        }
        Face::View(at) => {
            let (of, view) = world.owned.views[at].as_ref()?;
            let open = !view.is_closed();
            Some((*of, view.version(), view.read(Value::number), open))
        }
    })
}

/// Whether a panic of this piece of the user's code may come out of this operation.
fn may_escape(op: Op, point: Point) -> bool {
    match point {
        Point::Callback => false,
        Point::Predicate => matches!(
            op,
            Op::PollWait(..) | Op::WaitNow(..) | Op::Seek(..) | Op::SeekLate(..)
        ),
        Point::Map => matches!(op, Op::Map(..) | Op::Zip(..) | Op::All(..)),
        _ => true,
    }
}

fn step(world: &mut World<'_>, notes: &mut Notes, op: Op, unwinding: bool) {
    let panicked = user::panicked().len();
    let face = match op {
        Op::Wait(_, face, ..) | Op::Call(_, face, _) => behind(world, face),
        _ => None,
    };
    let before = world.owned.calls_made();
    let result = run_in(unwinding, || world.step(op));
    let panics = user::panicked();
    if let (Err(()), [point]) = (&result, &panics[panicked..]) {
        assert!(may_escape(op, *point), "{point:?} came out of {op:?}");
    }
    if result.is_ok() && panics.len() == panicked + 1 && !unwinding {
        let kept = matches!(
            panics[panicked],
            Point::Callback
                | Point::Predicate
                | Point::Map
                | Point::Eq
                | Point::Clone
                | Point::Drop
                | Point::Waker
        );
        assert!(kept, "a closure's panic is its caller's: {op:?}");
    }
    match op {
        Op::Wait(at, _, ask, _) => {
            let there = world.borrowed.waits[at].is_some() || world.owned.owned_waits[at].is_some();
            notes.waits[at] = match (there, face) {
                (true, Some((of, since, value, _))) => Some(Waiting {
                    of,
                    ask,
                    since,
                    present: begins_now(ask).then_some(value),
                }),
                _ => None,
            };
        }
        Op::PollWait(at, _) => match result {
            Ok(Answer::Found(found)) => found_rightly(notes.waits[at].take(), &found),
            Ok(_) => {}
            Err(()) => {
                let goes_on = world.wait_goes_on(at);
                if !goes_on {
                    user::hushed(|| world.drop_wait(at));
                    notes.waits[at] = None;
                }
            }
        },
        Op::Watch(at, _, bound) => notes.bounded[at] = bound.is_some(),
        Op::Resume(at, ..) => notes.bounded[at] = false,
        Op::Call(at, _, hear) => {
            // One that panicked as it came is dropped again, and has had its number nevertheless.
            if let (true, Some((of, since, ..))) = (world.owned.calls_made() > before, face) {
                let hear = match hear {
                    Hear::Chain(..) if of >= ROOTS => Hear::All,
                    hear => hear,
                };
                notes.callbacks.push((of, hear, since));
            }
            let there = world.owned.callbacks[at].is_some();
            notes.slots[at] = there.then(|| notes.callbacks.len() - 1);
        }
        Op::Detach(_) => notes.detached += 1,
        _ => {}
    }
    for at in 0..WAITS {
        let there = world.borrowed.waits[at].is_some() || world.owned.owned_waits[at].is_some();
        if !there {
            notes.waits[at] = None;
        }
    }
    for at in 0..CALLS {
        if world.owned.callbacks[at].is_none() {
            notes.slots[at] = None;
        }
    }
    look(world.states, world.owned);
}

/// The values a wait was shown, in order; whether that is all of them up to now.
fn shown(wait: Waiting) -> Vec<u8> {
    let known = user::known_since(wait.of, wait.since);
    wait.present.into_iter().chain(known).collect()
}

/// What a wait found is the first match of what it was shown, as far as that is known.
fn found_rightly(wait: Option<Waiting>, found: &Found) {
    let Some(wait) = wait else { return };
    let first = |value: u8| judge(wait.ask, (0, value, value, 0));
    let right = match found {
        Found::Value(value) => first(*value).is_some(),
        Found::Mapped(mapped) => first((mapped - 100) as u8) == Some(found.clone()),
        Found::Change(_) => wait.ask == Ask::Change,
        Found::Counted => matches!(wait.ask, Ask::Unwatched | Ask::Watched),
        Found::Closed | Found::GaveUp => true,
    };
    assert!(right, "{:?} found {found:?}", wait.ask);
    if let (Found::Value(_) | Found::Mapped(_), Some(expected)) =
        (found, shown(wait).into_iter().find_map(first))
    {
        assert_eq!(*found, expected, "the first match of {:?}", wait.ask);
    }
}

/// Runs the program once. Gives back where its operations begin, in calls of the user's code, and how many there were.
fn run(program: &[Op], way: Way) -> Vec<usize> {
    user::quiet();
    user::begin(way.at);
    let before = (user::live(), user::maps().0, heap::here());
    let begins = whole(program, way);
    assert_eq!(user::fault(), None);
    user::begin(CALM.at);
    let after = (user::live(), user::maps().0, heap::here());
    let kept = begins.capacity() as isize * size_of::<usize>() as isize;
    let after = (after.0, after.1, after.2 - kept);
    assert_eq!(after, before, "values, functions, bytes that are left");
    begins
}

fn whole(program: &[Op], way: Way) -> Vec<usize> {
    let mut states = user::hushed(states);
    let mut owned = Owned::default();
    let mut notes = Notes::default();
    look(&states, &owned);
    let mut from = 0;
    loop {
        let is_end = |op: &Op| matches!(op, Op::End(_));
        let end = program[from..].iter().position(is_end);
        let until = end.map_or(program.len(), |end| from + end);
        let mut world = World::new(&states, &mut owned);
        for (at, &op) in (from..).zip(&program[from..until]) {
            notes.begins.push(user::calls());
            step(&mut world, &mut notes, op, way.unwinding == Some(at));
        }
        notes.begins.push(user::calls());
        let Some(&Op::End(root)) = program.get(until) else {
            user::calm_down();
            further_sets(&mut world, &mut notes);
            break;
        };
        let unwinding = way.unwinding == Some(until);
        // One by one, as a panic of one keeps no other from going.
        for at in 0..WAITS {
            let _ = run_in(unwinding, || drop(world.borrowed.waits[at].take()));
        }
        for at in 0..PACED {
            let _ = run_in(unwinding, || drop(world.borrowed.paced[at].take()));
        }
        drop(world);
        let state = states[root].take();
        let _ = run_in(unwinding, || drop(state));
        look(&states, &owned);
        for at in 0..WAITS {
            if owned.owned_waits[at].is_none() {
                notes.waits[at] = None;
            }
        }
        from = until + 1;
    }
    everything_goes(&mut states, &mut owned, &notes);
    notes.begins.push(user::calls());
    std::mem::take(&mut notes.begins)
}

/// All values come by once more: whoever is still there has to have them.
fn further_sets(world: &mut World<'_>, notes: &mut Notes) {
    for n in [1, 2, 3, 0, 1] {
        for root in 0..ROOTS {
            let set = run_in(false, || world.step(Op::Replace(root, n)));
            assert!(set.is_ok(), "nothing panics any more");
            look(world.states, world.owned);
        }
    }
    let lost_most = user::panicked().len() as u64;
    for at in 0..WATCHERS {
        received_all(world, notes, at, lost_most);
    }
    for at in 0..WAITS {
        has_decided(world, notes, at);
    }
    heard_all(world, notes, lost_most as usize);
    for (of, view) in world.owned.views.iter().flatten() {
        shows_its_sources(world, *of, view);
    }
    fresh_ones_are_served(world);
}

fn received_all(world: &mut World<'_>, notes: &Notes, at: usize, lost_most: u64) {
    let Some((of, watcher)) = &mut world.owned.watchers[at] else {
        return;
    };
    let version = watcher.view().version();
    let (mut seen, start) = (watcher.seen_version(), watcher.seen_version());
    let mut missed = 0;
    while let Ok(change) = user::hushed(|| watcher.try_recv()) {
        let (seq, ..) = plain(*of, seen, change);
        assert_eq!(seq, watcher.seen_version());
        missed += seq - seen - 1;
        seen = seq;
    }
    let _ = start;
    assert!(missed <= watcher.missed(), "a loss that is not counted");
    if !notes.bounded[at] {
        assert!(watcher.missed() <= lost_most, "lost without a panic");
        assert!(version - seen <= lost_most, "the last ones are there");
        if lost_most == 0 {
            assert_eq!(version, seen);
        }
    }
}

fn has_decided(world: &mut World<'_>, notes: &mut Notes, at: usize) {
    let Some(wait) = notes.waits[at] else { return };
    let polled = run_in(false, || world.step(Op::PollWait(at, 0)));
    match polled {
        Ok(Answer::Found(found)) => found_rightly(Some(wait), &found),
        // Its own panic, which it kept until now.
        Err(()) => assert!(!user::panicked().is_empty()),
        Ok(_) => {
            let matches = |value| judge(wait.ask, (0, value, value, 0)).is_some();
            let missed = shown(wait).into_iter().any(matches);
            assert!(!missed, "{:?} on {} missed its match", wait.ask, wait.of);
        }
    }
    notes.waits[at] = None;
}

fn heard_all(world: &World<'_>, notes: &Notes, lost_most: usize) {
    let heard = world
        .owned
        .heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut by_callback = BTreeMap::<usize, Vec<u64>>::new();
    for (id, change) in heard.iter() {
        by_callback.entry(*id).or_default().push(change.0);
    }
    for (id, (of, hear, since)) in notes.callbacks.iter().enumerate() {
        let seqs = by_callback.get(&id).map_or(&[][..], |seqs| seqs);
        let there = notes.slots.contains(&Some(id));
        if let Hear::Value(_) = hear {
            assert!(seqs.len() <= 1, "a callback for a value is called once");
            // All values came by, of a root that can still be set.
            let open = *of < ROOTS && world.states[*of].is_some();
            assert!(
                !there || !open || seqs.len() + lost_most >= 1,
                "never called"
            );
            continue;
        }
        assert!(
            seqs.is_sorted_by(|one, next| one < next),
            "in order, and once"
        );
        let (Some(last), true) = (seqs.last(), there) else {
            continue;
        };
        let lost = (last - since) as usize - seqs.len();
        assert!(lost <= lost_most, "callback {id} on {of} lost {lost}");
        if let Some(Some(state)) = world.states.get(*of) {
            assert_eq!(*last, state.version(), "the last one is called back");
        }
    }
}

fn shows_its_sources(world: &World<'_>, of: usize, view: &onlooker::View<Value>) {
    let Some((rule, sources)) = world.owned.rules.get(of.wrapping_sub(ROOTS)) else {
        return;
    };
    let roots: Option<Vec<u8>> = sources
        .iter()
        .map(|source| Some(world.states.get(*source)?.as_ref()?.read(Value::number)))
        .collect();
    let Some(roots) = roots else { return };
    if view.is_closed() {
        let ended_by_a_panic = !user::panicked().is_empty() || roots.is_empty();
        assert!(ended_by_a_panic, "a derived state ended before its sources");
    } else if user::panicked().is_empty() || *rule != Rule::All && *rule != Rule::Zip {
        assert_eq!(
            view.read(Value::number),
            rule.of(&roots),
            "state {of} follows"
        );
    }
}

fn fresh_ones_are_served(world: &World<'_>) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    for (root, state) in world.states.iter().enumerate() {
        let Some(state) = state else { continue };
        let n = (state.read(Value::number) + 1) & 3;
        let mut watcher = state.watch();
        let wait = state.wait_for_next(Value::new(root, n));
        let view = state.view();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let callback = state.on_change(move |_| {
            counted.fetch_add(1, Relaxed);
        });
        assert!(state.set(Value::new(root, n)));
        assert_eq!(watcher.try_recv().map(|change| change.new.number()), Ok(n));
        assert_eq!(wait.wait().number(), n);
        assert!(view.version() > 0 && calls.load(Relaxed) > 0);
        drop(callback);
    }
}

/// Everything is dropped, and counts go with it.
fn everything_goes(states: &mut States, owned: &mut Owned, notes: &Notes) {
    for at in 0..WATCHERS {
        owned.watchers[at] = None;
    }
    for at in 0..WAITS {
        owned.owned_waits[at] = None;
    }
    for at in 0..CALLS {
        owned.callbacks[at] = None;
    }
    for at in 0..VIEWS {
        owned.views[at] = None;
    }
    for state in states.iter_mut() {
        let Some(there) = state else { continue };
        assert_eq!(there.watcher_count(), 0);
        let inspection = there.inspect();
        // What a detached callback keeps looks on until the state ends.
        if notes.detached == 0 {
            assert_eq!(there.view_count(), 0, "{inspection}");
            assert!(inspection.observers.is_empty(), "{inspection}");
        }
    }
    for state in states.iter_mut() {
        *state = None;
    }
}

thread_local! {
    /// What this thread runs at the moment.
    static NOW: Cell<(usize, Way)> = const { Cell::new((0, CALM)) };
}

/// What ends the process should at least say where.
fn name_what_aborts() {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<&str>();
        if text.is_some_and(|text| text.contains("destructor during cleanup")) {
            eprintln!("aborts: seed and way {:?}", NOW.get());
        }
        before(info);
    }));
}

fn asked(variable: &str, default: usize) -> usize {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

fn fails(program: &[Op], way: Way) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(program, way))).is_err()
}

/// The ways in which a program is run for this call.
///
/// Values with several parts of the user's, the pair of a `zip` and the vector of an `all`, are dropped by their own
/// glue, where nobody can come between two panics: there is only one for those.
fn ways(program: &[Op], call: usize, begins: &[usize], turn: usize) -> [Way; 2] {
    let glued = |op: &Op| matches!(op, Op::Zip(..) | Op::All(..));
    let operation = begins.iter().rposition(|begin| *begin < call);
    let once = Way {
        at: [call, usize::MAX],
        unwinding: None,
    };
    let turn = if program.iter().any(glued) {
        1
    } else {
        turn % 3
    };
    let harder = match turn {
        0 => Way {
            at: [call, call + 1],
            ..once
        },
        1 => Way {
            unwinding: operation,
            ..once
        },
        _ => Way {
            at: [call, call + 1],
            unwinding: operation,
        },
    };
    [once, harder]
}

/// The smallest program that fails in some way, and that way.
fn smallest(program: Vec<Op>) -> (Vec<Op>, Option<Way>) {
    let failing = |program: &[Op]| -> Option<Way> {
        let Ok(begins) = catch_unwind(|| run(program, CALM)) else {
            return Some(CALM);
        };
        let calls = begins.last().copied().unwrap_or(0);
        let each = (1..=calls).flat_map(|call| (0..3).map(move |turn| (call, turn)));
        let mut each = each.flat_map(|(call, turn)| ways(program, call, &begins, turn));
        each.find(|way| fails(program, *way))
    };
    let program = shrink(program, |program| failing(program).is_some());
    let way = failing(&program);
    (program, way)
}

/// Runs programs with a panic at every call. Gives back how many runs that took.
fn panic_everywhere(seeds: impl Iterator<Item = usize>) -> (usize, usize) {
    let (mut programs, mut panics) = (0, 0);
    // What a thread keeps for good it allocates at first.
    let first = decode(&(0..=255).rev().collect::<Vec<u8>>());
    let _ = catch_unwind(|| run(&first, CALM));
    for seed in seeds {
        let mut random = seed as u64 ^ 0x5eed;
        let mut next = || {
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = random;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        let length = 4 + next() as usize % 20;
        let bytes: Vec<u8> = (0..2 * length).map(|_| next() as u8).collect();
        let program = decode(&bytes);
        let begins = run(&program, CALM);
        let calls = begins.last().copied().unwrap_or(0);
        'calls: for call in 1..=calls {
            for way in ways(&program, call, &begins, seed + call) {
                NOW.set((seed, way));
                if fails(&program, way) {
                    if std::env::var("TRIAGE").is_ok() {
                        let (program, smallest) = smallest(program.clone());
                        let why =
                            catch_unwind(AssertUnwindSafe(|| run(&program, smallest.unwrap())));
                        let why = why
                            .err()
                            .and_then(|why| why.downcast_ref::<String>().cloned());
                        let why = why.unwrap_or_default().replace('\n', " ");
                        println!("TRIAGE {why} | {program:?} {smallest:?}");
                        break 'calls;
                    }
                    let (program, smallest) = smallest(program);
                    panic!("seed {seed}, {way:?} fails; the smallest: {program:?}, {smallest:?}");
                }
                panics += 1;
            }
        }
        programs += 1;
    }
    (programs, panics)
}

#[test]
fn a_panic_at_any_call_of_the_users_code_leaves_all_states_whole() {
    let programs = asked("PANIC_PROGRAMS", 300);
    user::quiet();
    name_what_aborts();
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let ran: Vec<_> = std::thread::scope(|scope| {
        let run =
            |thread| scope.spawn(move || panic_everywhere((thread..programs).step_by(threads)));
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut sums = (0, 0);
    for ran in ran {
        match ran {
            Ok((programs, panics)) => sums = (sums.0 + programs, sums.1 + panics),
            Err(panic) => resume_unwind(panic),
        }
    }
    println!("{} programs, run {} times with a panic", sums.0, sums.1);
}
