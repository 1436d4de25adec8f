//! Runs a program on both sides, and compares all that anybody can see after every step.

use super::contract::{Contract, Heard, Node, Rule, Watching};
use super::heap;
use super::ops::{Ask, CALLS, Face, Guard, Hear, Op, ROOTS};
use super::user::{self, Task, Value};
use super::world::{Owned, States, World, plain, states};
use futures_lite::Stream;
use onlooker::{Details, Inspection, TryRecvError, View, Watcher};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

thread_local!(static WARM: Cell<bool> = const { Cell::new(false) });

/// What a thread keeps for good it allocates at first: what parks it, for one.
fn warm_up() {
    let program = [
        Op::WaitNow(Face::Root(0), Ask::For(1)),
        Op::Call(0, Face::Root(0), Hear::Chain(1, 1)),
        Op::Set(0, 1),
    ];
    if !WARM.replace(true) {
        user::begin([usize::MAX; 2]);
        both(&program);
    }
}

/// Gives back how many steps were compared.
pub fn run(program: &[Op]) -> usize {
    user::quiet();
    warm_up();
    user::begin([usize::MAX; 2]);
    let before = (user::live(), user::maps().0, heap::here());
    both(program);
    assert_eq!(user::fault(), None);
    // What the tests themselves keep on the heap.
    user::begin([usize::MAX; 2]);
    let after = (user::live(), user::maps().0, heap::here());
    assert_eq!(after, before, "values, functions, bytes that are left");
    program.len()
}

fn both(program: &[Op]) {
    let mut states = states();
    let mut owned = Owned::default();
    let mut contract = Contract::new();
    let mut rest = program;
    loop {
        let is_end = |op: &Op| matches!(op, Op::End(_));
        let until = rest.iter().position(is_end).unwrap_or(rest.len());
        until_an_end(&states, &mut owned, &mut contract, &rest[..until]);
        contract.drop_borrowed();
        let Some(&Op::End(root)) = rest.get(until) else {
            break;
        };
        contract.step(Op::End(root));
        states[root] = None;
        compare(&World::new(&states, &mut owned), &mut contract);
        rest = &rest[until + 1..];
    }
    reaches_everybody(&states, &mut owned, &mut contract);
    finish(states, owned, contract);
}

fn until_an_end(states: &States, owned: &mut Owned, contract: &mut Contract, program: &[Op]) {
    let mut world = World::new(states, owned);
    let mut readers: Vec<_> = states
        .iter()
        .map(|state| state.as_ref().map(|state| state.reader()))
        .collect();
    for &op in program {
        step(&mut world, contract, op);
        for (reader, node) in readers.iter_mut().zip(&contract.nodes) {
            if let Some(reader) = reader {
                assert_eq!(reader.get().number(), node.value, "reader");
            }
        }
        compare(&world, contract);
    }
}

fn step(world: &mut World<'_>, contract: &mut Contract, op: Op) {
    let (live, functions) = (user::live(), user::maps().1);
    let held = match op {
        Op::DropWatcher(at) => world.owned.watchers[at].as_ref().map(|w| w.1.len() + 1),
        _ => None,
    };
    let expected = contract.step(op);
    assert_eq!(world.step(op), expected, "{op:?}");
    if let Some(held) = held {
        let freed = live - user::live();
        assert!(
            freed >= held as isize,
            "a dropped watcher frees what it held"
        );
    }
    if let Op::Inside(..) = op {
        // A view that goes in a closure may still be computed for in its commit.
        assert!(user::maps().1 >= contract.mapped);
        contract.mapped = user::maps().1.max(functions);
    }
    if let Op::Inside(_, _, Guard::Wait(at), false) = op {
        // Nor need that commit know of a wait that went in its closure: it may wake its task once more.
        for (task, wakes) in world.owned.wait_tasks[at]
            .iter()
            .zip(&mut contract.wakes[at])
        {
            *wakes = task.wakes().clamp(*wakes, *wakes + 1);
        }
    }
}

fn compare(world: &World<'_>, contract: &mut Contract) {
    let owned = &*world.owned;
    for (state, node) in world.states.iter().zip(&contract.nodes) {
        let Some(state) = state else { continue };
        assert_eq!(state.read(Value::number), node.value, "value");
        assert_eq!(state.version(), node.seq, "version");
    }
    for (at, state) in world.states.iter().enumerate() {
        let Some(state) = state else { continue };
        assert_eq!(
            state.watcher_count(),
            contract.watcher_count(at),
            "watcher_count"
        );
        assert_eq!(
            state.view_count(),
            contract.view_count(at),
            "view_count of {at}"
        );
        inspected(contract, at, &state.inspect());
    }
    for (view, at) in owned.views.iter().zip(&contract.views) {
        assert_eq!(view.as_ref().map(|(of, _)| *of), *at, "which view");
        if let (Some((_, view)), Some(at)) = (view, *at) {
            compare_view(contract, at, view);
        }
    }
    let mut shown = owned.views.iter().flatten();
    if let (Some(one), Some(other)) = (shown.next(), shown.next()) {
        assert_eq!(one.1.same_state(&other.1), one.0 == other.0, "same_state");
    }
    for (at, watching) in contract.watchers.iter().enumerate() {
        let watcher = owned.watchers[at].as_ref();
        assert_eq!(
            watcher.map(|(of, _)| *of),
            watching.as_ref().map(|w| w.node)
        );
        if let (Some((_, watcher)), Some(watching)) = (watcher, watching) {
            let open = contract.nodes[watching.node].open;
            compare_watcher(watcher, watching, &owned.tasks[at], open);
        }
    }
    for (at, tasks) in owned.wait_tasks.iter().enumerate() {
        let wait = contract.waits[at].as_ref();
        for (which, task) in tasks.iter().enumerate() {
            assert_eq!(task.wakes(), contract.wakes[at][which], "wait {at} woken");
            let keeps = wait.is_some_and(|wait| wait.waker == Some(which));
            assert_eq!(task.kept(), usize::from(keeps), "wait {at} keeps wakers");
        }
    }
    for root in 0..ROOTS {
        if let Some(first) = contract.first_in_line(root) {
            // Its waker went to call it, if there is room.
            let called = world.borrowed.paced_tasks[first].kept() == 0;
            assert!(
                called || !contract.has_room(root),
                "the first in line is called"
            );
        }
    }
    compare_callbacks(
        &mut owned.heard.lock().unwrap_or_else(PoisonError::into_inner),
        contract,
    );
    let functions = (contract.maps() as isize, contract.mapped);
    assert_eq!(user::maps(), functions, "functions of maps: kept, called");
}

fn compare_view(contract: &Contract, at: usize, view: &View<Value>) {
    let Node {
        value, seq, open, ..
    } = contract.nodes[at];
    assert_eq!(view.read(Value::number), value, "value of a view");
    assert_eq!(view.version(), seq, "version of a view");
    assert_eq!(view.is_closed(), !open, "is_closed of a view");
    assert_eq!(view.watcher_count(), contract.watcher_count(at));
    if open {
        assert_eq!(
            view.view_count(),
            contract.view_count(at),
            "view_count of a view"
        );
    }
    inspected(contract, at, &view.inspect());
}

fn compare_watcher(watcher: &Watcher<Value>, watching: &Watching, task: &Arc<Task>, open: bool) {
    assert_eq!(watcher.len(), watching.buffer.len(), "len");
    assert_eq!(watcher.is_empty(), watching.buffer.is_empty(), "is_empty");
    assert_eq!(watcher.seen().number(), watching.seen, "seen");
    assert_eq!(watcher.seen_version(), watching.seen_seq, "seen_version");
    assert_eq!(watcher.missed(), watching.missed, "missed");
    assert_eq!(watcher.is_closed(), !open, "is_closed");
    assert_eq!(
        task.wakes(),
        watching.wakes,
        "a sleeping watcher is woken, once"
    );
    assert_eq!(
        task.kept(),
        usize::from(watching.asleep),
        "wakers of a watcher"
    );
}

/// In order for the states that are set; those that follow are called back beside each other, each in order.
fn compare_callbacks(heard: &mut Vec<Heard>, contract: &mut Contract) {
    if heard.is_empty() && contract.heard.is_empty() {
        return;
    }
    let derived = |&(id, _): &Heard| contract.derived_calls.contains(&id);
    let split = |heard: &[Heard]| {
        let (mut derived, roots): (Vec<_>, Vec<_>) = heard.iter().copied().partition(derived);
        derived.sort_by_key(|(id, _)| *id);
        (roots, derived)
    };
    assert_eq!(split(heard), split(&contract.heard), "callbacks");
    heard.clear();
    contract.heard.clear();
}

/// What a row of an inspection says: what, since when, and the details as numbers.
type Row = (&'static str, u64, [u64; 4]);

fn inspected(contract: &Contract, at: usize, inspection: &Inspection) {
    let row = |observer: &onlooker::Observer| -> Row {
        let number = |capacity: Option<usize>| capacity.map_or(0, |capacity| capacity as u64);
        let details = match observer.details {
            Details::Watcher {
                len,
                capacity,
                missed,
                asleep,
                ..
            } => [len as u64, number(capacity), missed, asleep.into()],
            Details::Wait {
                polled, decided, ..
            } => [polled.into(), decided.into(), 0, 0],
            Details::Callback {
                runs,
                panics,
                running,
                longest,
                ..
            } => {
                assert_eq!(longest.is_some(), runs > 0, "the longest call");
                [runs, panics, running.into(), 0]
            }
            _ => [0; 4],
        };
        (observer.what, observer.since, details)
    };
    let mut seen: Vec<Row> = inspection.observers.iter().map(row).collect();
    seen.sort_unstable();
    let mut expected = rows(contract, at);
    expected.sort_unstable();
    assert_eq!(seen, expected, "who observes {at}");
    assert_eq!(inspection.version, contract.nodes[at].seq);
    // After the end nobody goes by it, and what was derived may be counted a while longer.
    if contract.nodes[at].open {
        assert_eq!(inspection.views, contract.view_count(at));
    }
}

fn rows(contract: &Contract, at: usize) -> Vec<Row> {
    let watchers = contract.watchers.iter().flatten().filter(|w| w.node == at);
    let watchers = watchers.map(|w| {
        let capacity = w.bound.map_or(0, |(capacity, _)| capacity as u64);
        let details = [w.buffer.len() as u64, capacity, w.missed, w.asleep.into()];
        ("watcher", w.since, details)
    });
    let waits = contract.waits.iter().flatten().filter(|w| w.node == at);
    let waits = waits.map(|wait| {
        let decided = wait.found.is_some();
        (
            name(wait.ask),
            wait.since,
            [wait.polled.into(), decided.into(), 0, 0],
        )
    });
    let calls = contract.calls.iter().filter(|call| call.node == at);
    let calls = calls.map(|call| ("callback", call.since, [call.runs, 0, 0, 0]));
    let line = contract.line.iter().filter(|place| {
        let paced = contract.paced[**place];
        paced.is_some_and(|(root, _)| root == at)
    });
    let line = line.map(|place| ("paced", contract.line_since[*place], [0; 4]));
    let open = contract.nodes[at].open;
    let nodes = contract.nodes.iter().filter(|node| node.alive && open);
    let edges = nodes.flat_map(|node| node.sources.iter().map(|source| (node.rule, source)));
    let edges = edges.filter(|(_, (source, ..))| *source == at);
    let edges = edges.map(|(rule, (_, since, _)): (Rule, _)| (rule.name(), *since, [0; 4]));
    watchers
        .chain(waits)
        .chain(calls)
        .chain(line)
        .chain(edges)
        .collect()
}

fn name(ask: Ask) -> &'static str {
    match ask {
        Ask::For(_) => "wait_for",
        Ask::ForNot(_) => "wait_for_not",
        Ask::Until(_) => "wait_until",
        Ask::Map(_) => "wait_map",
        Ask::Change => "wait_for_change",
        Ask::Next(_) => "wait_for_next",
        Ask::UntilNext(_) => "wait_until_next",
        Ask::Unwatched => "wait_unwatched",
        Ask::Watched => "wait_watched",
    }
}

/// A further set of each state reaches everybody who is still there.
fn reaches_everybody(states: &States, owned: &mut Owned, contract: &mut Contract) {
    let mut world = World::new(states, owned);
    for root in 0..ROOTS {
        for n in [1, 2] {
            step(&mut world, contract, Op::Replace(root, n));
            compare(&world, contract);
        }
    }
}

/// The end of all states: everybody is woken and drains what is there; then everything goes, and the counts with it.
fn finish(mut states: States, mut owned: Owned, mut contract: Contract) {
    for (root, state) in states.iter_mut().enumerate() {
        *state = None;
        contract.step(Op::End(root));
    }
    compare(&World::new(&states, &mut owned), &mut contract);
    for (at, watcher) in owned.watchers.iter_mut().enumerate() {
        let (Some((of, watcher)), Some(watching)) = (watcher.take(), &mut contract.watchers[at])
        else {
            continue;
        };
        drain(of, watcher, watching, at == 0);
        contract.step(Op::DropWatcher(at));
    }
    for at in 0..CALLS {
        owned.callbacks[at] = None;
        contract.step(Op::DropCallback(at));
    }
    owned.owned_waits = Default::default();
    (0..owned.owned_waits.len()).for_each(|at| {
        contract.step(Op::DropWait(at));
    });
    for (at, view) in owned.views.iter_mut().enumerate() {
        if let Some((of, view)) = view {
            compare_view(&contract, *of, view);
        }
        *view = None;
        contract.step(Op::DropView(at));
    }
}

fn drain(of: usize, mut watcher: Watcher<Value>, watching: &mut Watching, as_values: bool) {
    if as_values {
        let mut values = watcher.values();
        let mut expected = vec![watching.seen];
        expected.extend(std::iter::from_fn(|| watching.pop()).map(|change| change.2));
        let mut next = || Pin::new(&mut values).poll_next(&mut Context::from_waker(Waker::noop()));
        for value in expected {
            assert_eq!(
                next().map(|next| next.map(|v| v.number())),
                Poll::Ready(Some(value))
            );
        }
        assert!(matches!(next(), Poll::Ready(None)));
        return;
    }
    while let Some(change) = watching.pop() {
        let seen = watcher.seen_version();
        let received = watcher.try_recv().map(|received| plain(of, seen, received));
        assert_eq!(received, Ok(change));
    }
    let ended = watcher.try_recv().map(|_| ());
    assert_eq!(ended, Err(TryRecvError::Closed));
    assert!(watcher.recv_blocking().is_err(), "the end comes last");
}

/// Whether the two sides differ somewhere.
pub fn fails(program: &[Op]) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(program))).is_err()
}

/// Takes out whatever the failure does not need.
pub fn shrink(mut program: Vec<Op>, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut at = program.len();
    while at > 0 {
        at -= 1;
        let mut shorter = program.clone();
        shorter.remove(at);
        if fails(&shorter) {
            program = shorter;
        }
    }
    program
}
