//! The crate's side: everything a program made, and what its operations do.

use super::contract::{Answer, Change, Heard, Rule};
use super::ops::{
    CALLS, Closure, Face, Guard, Hear, Late, Number, Op, PACED, ROOTS, Root, VIEWS, WAITS, WATCHERS,
};
use super::pending::{self, Asked, Way, owned, poll, seek};
use super::user::{self, Glue, MapAlive, OnPurpose, Point, Task, Value};
use futures_core::FusedFuture;
use futures_lite::Stream;
use onlooker::{
    Callback, Overflow, SetPaced, Transition, TryRecvError, View, WaitError, Watched, Watcher,
};
use std::cell::Cell;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

pub type States = [Option<Arc<Watched<Value>>>; ROOTS];

pub fn states() -> States {
    let new = || Value::new(0, 0);
    [
        Some(Arc::new(Watched::new(new()))),
        Some(Arc::new(Watched::with_history(Value::new(1, 0), 2))),
        Some(Arc::new(Watched::with_history(
            Value::new(2, 0),
            usize::MAX,
        ))),
    ]
}

/// What lasts while states end. With each thing the state it belongs to.
#[derive(Default)]
pub struct Owned {
    pub views: [Option<(usize, View<Value>)>; VIEWS],
    pub watchers: [Option<(usize, Watcher<Value>)>; WATCHERS],
    pub tasks: [Arc<Task>; WATCHERS],
    pub owned_waits: [Option<Asked<'static>>; WAITS],
    pub wait_tasks: [[Arc<Task>; 2]; WAITS],
    pub callbacks: [Option<(Hear, Callback)>; CALLS],
    pub heard: Arc<Mutex<Vec<Heard>>>,
    calls_made: Cell<usize>,
    /// How each derived state comes by its values, and of what.
    pub rules: Vec<(Rule, Vec<usize>)>,
}

impl Owned {
    /// How many callbacks there have been, those included whose making panicked.
    pub fn calls_made(&self) -> usize {
        self.calls_made.get()
    }
}

/// What goes when a state ends: all that borrows one.
#[derive(Default)]
pub struct Borrowed<'a> {
    pub waits: [Option<Asked<'a>>; WAITS],
    pub paced: [Option<(Root, SetPaced<'a, Value>)>; PACED],
    pub paced_tasks: [Arc<Task>; PACED],
}

pub struct World<'a> {
    pub states: &'a States,
    pub owned: &'a mut Owned,
    pub borrowed: Borrowed<'a>,
}

#[allow(clippy::large_enum_variant, reason = "one, for a moment")]
enum Held<'a> {
    Watcher(#[expect(dead_code, reason = "held to be dropped")] Option<(usize, Watcher<Value>)>),
    Wait(
        #[expect(dead_code, reason = "held to be dropped")]
        (Option<Asked<'a>>, Option<Asked<'static>>),
    ),
    View(#[expect(dead_code, reason = "held to be dropped")] Option<(usize, View<Value>)>),
    Callback(#[expect(dead_code, reason = "held to be dropped")] Option<(Hear, Callback)>),
    Paced(#[expect(dead_code, reason = "held to be dropped")] Option<(Root, SetPaced<'a, Value>)>),
}

/// What a watcher, a wait or a callback was given. It is checked to be what the others are given, and let go.
pub fn plain(of: usize, old_seq: u64, change: Transition<Value>) -> Change {
    let plain = shown(of, old_seq, &change);
    user::hushed(|| drop(change));
    plain
}

fn shown(of: usize, old_seq: u64, change: &Transition<Value>) -> Change {
    user::saw(of, old_seq, &change.old);
    user::saw(of, change.seq, &change.new);
    let (old, new) = (change.old.number(), change.new.number());
    (change.seq, old, new, change.missed)
}

fn number(value: Value) -> Number {
    let number = value.number();
    user::hushed(|| drop(value));
    number
}

fn given(result: Result<Value, Value>) -> Answer {
    Answer::Given(result.map(number).map_err(number))
}

impl<'a> World<'a> {
    pub fn new(states: &'a States, owned: &'a mut Owned) -> Self {
        Self {
            states,
            owned,
            borrowed: Borrowed::default(),
        }
    }

    /// A state that can still be set.
    fn root(&self, root: Root) -> Option<&'a Watched<Value>> {
        self.states[root].as_deref()
    }

    /// Does what the operation says. Panics with what the user's code panicked with.
    pub fn step(&mut self, op: Op) -> Answer {
        self.act(op).unwrap_or(Answer::Nothing)
    }

    fn act(&mut self, op: Op) -> Option<Answer> {
        use Answer::Flag;
        Some(match op {
            Op::Set(root, n) => Flag(self.root(root)?.set(Value::new(root, n))),
            Op::Replace(root, n) => {
                Answer::Number(number(self.root(root)?.replace(Value::new(root, n))))
            }
            Op::ReplaceWith(root, n) => {
                let state = self.root(root)?;
                let previous = state.replace_with(|_| {
                    user::call(Point::Closure);
                    Value::new(root, n)
                });
                Answer::Number(number(previous))
            }
            Op::SetIf(root, n, if_it_is) => {
                let state = self.root(root)?;
                let set = state.set_if(Value::new(root, n), |value| {
                    user::call(Point::Closure);
                    value.number() == if_it_is
                });
                Answer::Given(set.map(|()| 0).map_err(number))
            }
            Op::Update(root, n) => {
                let previous = self.root(root)?.update(|value| {
                    user::call(Point::Closure);
                    Value::new(root, (value.number() + n) & 3)
                });
                Answer::Number(number(previous))
            }
            Op::TryUpdate(root, n) => given(self.root(root)?.try_update(|_| {
                user::call(Point::Closure);
                n.map(|n| Value::new(root, n))
            })),
            Op::Modify(root, n) => Flag(self.root(root)?.modify(|value| {
                value.change(n);
                user::call(Point::Closure);
            })),
            Op::TrySetPaced(root, n) => {
                let set = self.root(root)?.try_set_paced(Value::new(root, n));
                Answer::Given(set.map(Number::from).map_err(number))
            }
            Op::Pace(at, root, n) => {
                drop(self.borrowed.paced[at].take());
                let paced = self.root(root)?.set_paced(Value::new(root, n));
                self.borrowed.paced[at] = Some((root, paced));
                Answer::Pending
            }
            Op::PollPaced(at) => {
                // One that panicked once it had set has nothing more to give.
                if self.borrowed.paced[at].as_ref()?.1.is_terminated() {
                    return self.nothing(|this| drop(this.borrowed.paced[at].take()));
                }
                let (_, paced) = self.borrowed.paced[at].as_mut()?;
                match poll(&self.borrowed.paced_tasks[at], paced) {
                    Poll::Ready(changed) => {
                        drop(self.borrowed.paced[at].take());
                        Flag(changed)
                    }
                    Poll::Pending => Answer::Pending,
                }
            }
            Op::DropPaced(at) => return self.nothing(|this| drop(this.borrowed.paced[at].take())),
            Op::Watch(at, face, bound) => {
                drop(self.owned.watchers[at].take());
                let overflow = [Overflow::DropOldest, Overflow::DropNewest];
                let bound =
                    bound.map(|(capacity, newest)| (capacity, overflow[usize::from(newest)]));
                let (of, watcher) = match (self.face(face)?, bound) {
                    (Way::Root(of, state), None) => (of, state.watch()),
                    (Way::View(of, view), None) => (of, view.watch()),
                    (Way::Root(of, state), Some((n, how))) => (of, state.watch_bounded(n, how)),
                    (Way::View(of, view), Some((n, how))) => (of, view.watch_bounded(n, how)),
                };
                assert_eq!(watcher.capacity(), bound.map(|(capacity, _)| capacity));
                self.sit_down(at, of, watcher)
            }
            Op::Resume(at, face, back) => {
                drop(self.owned.watchers[at].take());
                let version = |now: u64| match back {
                    3 => now + 1,
                    back => now.saturating_sub(back),
                };
                let (of, resumed) = match self.face(face)? {
                    Way::Root(of, state) => (of, state.watch_since(version(state.version()))),
                    Way::View(of, view) => (of, view.watch_since(version(view.version()))),
                };
                match resumed {
                    Ok(watcher) => self.sit_down(at, of, watcher),
                    Err(forgotten) => Answer::Forgotten(forgotten.oldest),
                }
            }
            Op::DropWatcher(at) => {
                return self.nothing(|this| drop(this.owned.watchers[at].take()));
            }
            Op::TryRecv(at)
            | Op::TryIter(at)
            | Op::Iter(at)
            | Op::Recv(at)
            | Op::RecvLate(at, _)
            | Op::Next(at)
            | Op::Seek(at, _)
            | Op::SeekLate(at, ..) => return self.receive(at, op),
            Op::Wait(at, face, ask, until) => {
                self.drop_wait(at);
                match self.face(face)? {
                    Way::Root(of, state) => {
                        let wait = pending::borrowed(of, state, ask, until);
                        self.borrowed.waits[at] = Some(wait);
                    }
                    Way::View(of, view) => {
                        let wait = owned(of, view, ask, until)?;
                        self.owned.owned_waits[at] = Some(wait);
                    }
                }
                Answer::Pending
            }
            Op::PollWait(at, which) => {
                let task = &self.owned.wait_tasks[at][which];
                let borrowed = self.borrowed.waits[at].as_mut();
                let polled = match (borrowed, self.owned.owned_waits[at].as_mut()) {
                    (Some(wait), _) => wait.wait.poll(task),
                    (None, Some(wait)) => wait.wait.poll(task),
                    (None, None) => return None,
                };
                match polled {
                    Poll::Ready(found) => {
                        self.drop_wait(at);
                        Answer::Found(found)
                    }
                    Poll::Pending => Answer::Pending,
                }
            }
            Op::OpenGate(at) => {
                let gate = |wait: &Asked<'_>| wait.gate.open();
                self.borrowed.waits[at].as_ref().map(gate);
                self.owned.owned_waits[at].as_ref().map(gate);
                Answer::Nothing
            }
            Op::DropWait(at) => return self.nothing(|this| this.drop_wait(at)),
            Op::WaitNow(face, ask) => Answer::Found(match self.face(face)? {
                Way::Root(of, state) => pending::borrowed_now(of, state, ask),
                Way::View(of, view) => pending::owned_now(of, view, ask)?,
            }),
            Op::Call(at, face, hear) => {
                drop(self.owned.callbacks[at].take());
                self.call(at, face, hear)?
            }
            Op::DropCallback(at) => {
                return self.nothing(|this| drop(this.owned.callbacks[at].take()));
            }
            Op::Detach(at) => {
                if !matches!(self.owned.callbacks[at], Some((Hear::Chain(..), _))) {
                    self.owned.callbacks[at].take()?.1.detach();
                }
                Answer::Nothing
            }
            Op::View(at, face) => {
                let view = match self.face(face)? {
                    Way::Root(of, state) => (of, state.view()),
                    Way::View(of, view) => (of, view.clone()),
                };
                self.show(at, view)
            }
            Op::ViewOf(at, watcher) => {
                let (of, watcher) = self.owned.watchers[watcher].as_ref()?;
                let view = (*of, watcher.view());
                self.show(at, view)
            }
            Op::Map(..) | Op::Zip(..) | Op::All(..) => return self.derive(op),
            Op::DropView(at) => return self.nothing(|this| drop(this.owned.views[at].take())),
            Op::Inside(root, closure, guard, panics) => {
                let state = self.root(root)?;
                let held = self.take(guard);
                inside(root, state, closure, held, panics)
            }
            Op::End(_) => unreachable!("whoever has the states ends them"),
        })
    }

    fn nothing(&mut self, f: impl FnOnce(&mut Self)) -> Option<Answer> {
        f(self);
        None
    }

    fn face(&self, face: Face) -> Option<Way<'a, '_>> {
        Some(match face {
            Face::Root(root) => Way::Root(root, self.root(root)?),
            Face::View(at) => {
                let (of, view) = self.owned.views[at].as_ref()?;
                Way::View(*of, view)
            }
        })
    }

    /// Whether the wait in this slot may be polled, also after a panic.
    pub fn wait_goes_on(&self, at: usize) -> bool {
        let borrowed = self.borrowed.waits[at].as_ref();
        let owned = self.owned.owned_waits[at].as_ref();
        borrowed.is_some_and(|wait| wait.wait.goes_on())
            || owned.is_some_and(|wait| wait.wait.goes_on())
    }

    pub fn drop_wait(&mut self, at: usize) {
        drop(self.borrowed.waits[at].take());
        drop(self.owned.owned_waits[at].take());
    }

    fn sit_down(&mut self, at: usize, of: usize, watcher: Watcher<Value>) -> Answer {
        let (value, seq) = (watcher.seen().number(), watcher.seen_version());
        user::saw(of, seq, watcher.seen());
        self.owned.tasks[at] = Arc::default();
        self.owned.watchers[at] = Some((of, watcher));
        Answer::Joined(value, seq)
    }

    fn show(&mut self, at: usize, (of, view): (usize, View<Value>)) -> Answer {
        let seq = view.version();
        let value = view.read(|value| {
            user::saw(of, seq, value);
            value.number()
        });
        // The new one is there before the old one goes.
        let before = self.owned.views[at].replace((of, view));
        drop(before);
        Answer::Joined(value, seq)
    }

    fn take(&mut self, guard: Guard) -> Held<'a> {
        match guard {
            Guard::Watcher(at) => Held::Watcher(self.owned.watchers[at].take()),
            Guard::Wait(at) => Held::Wait((
                self.borrowed.waits[at].take(),
                self.owned.owned_waits[at].take(),
            )),
            Guard::View(at) => Held::View(self.owned.views[at].take()),
            Guard::Callback(at) => Held::Callback(self.owned.callbacks[at].take()),
            Guard::Paced(at) => Held::Paced(self.borrowed.paced[at].take()),
        }
    }

    fn receive(&mut self, at: usize, op: Op) -> Option<Answer> {
        let (of, watcher) = self.owned.watchers[at].as_mut()?;
        let of = *of;
        let task = &self.owned.tasks[at];
        let seen = watcher.seen_version();
        let one = |change| Answer::Changes(vec![plain(of, seen, change)]);
        let polled = |polled: Poll<Result<Transition<Value>, _>>| match polled {
            Poll::Ready(Ok(change)) => one(change),
            Poll::Ready(Err(WaitError::Closed)) => Answer::Closed,
            Poll::Ready(Err(_)) => Answer::GaveUp,
            Poll::Pending => Answer::Pending,
        };
        Some(match op {
            Op::TryRecv(_) => match watcher.try_recv() {
                Ok(change) => one(change),
                Err(TryRecvError::Empty) => Answer::Nothing,
                Err(TryRecvError::Closed) => Answer::Closed,
            },
            Op::TryIter(_) | Op::Iter(_) => {
                let ends = usize::from(watcher.is_closed());
                let most = watcher.len() + ends;
                let mut changes = Vec::with_capacity(most);
                let mut seen = seen;
                let mut add = |change: Transition<Value>| {
                    let seq = change.seq;
                    changes.push(plain(of, seen, change));
                    seen = seq;
                };
                match op {
                    Op::Iter(_) => watcher.iter().take(most).for_each(&mut add),
                    _ => watcher.try_iter().for_each(&mut add),
                }
                Answer::Changes(changes)
            }
            Op::Recv(_) => polled(poll(task, &mut watcher.recv()).map_err(WaitError::from)),
            Op::RecvLate(_, Late::Unless) => {
                let late = poll(task, &mut watcher.recv().unless(ready(())));
                let Poll::Ready(late) = late else {
                    return Some(Answer::Pending);
                };
                polled(Poll::Ready(match late {
                    Ok(received) => received.map_err(WaitError::from),
                    Err(()) => Err(WaitError::TimedOut),
                }))
            }
            Op::RecvLate(_, Late::Blocking) => {
                polled(Poll::Ready(watcher.recv_timeout(Duration::ZERO)))
            }
            Op::Next(_) => {
                let next = task.with(|waker| {
                    Pin::new(&mut *watcher).poll_next(&mut Context::from_waker(waker))
                });
                polled(next.map(|change| change.ok_or(WaitError::Closed)))
            }
            Op::Seek(_, ask) => return seek(of, watcher, task, ask, None),
            Op::SeekLate(_, ask, late) => return seek(of, watcher, task, ask, Some(late)),
            _ => return None,
        })
    }

    fn call(&mut self, at: usize, face: Face, hear: Hear) -> Option<Answer> {
        let way = self.face(face)?;
        let of = way.of();
        let hear = match hear {
            Hear::Chain(..) if of >= ROOTS => Hear::All,
            hear => hear,
        };
        if let Way::View(_, view) = way {
            let value = user::hushed(|| view.read(Value::number));
            if view.is_closed() && hear != Hear::Value(value) {
                return None;
            }
        }
        let id = self.owned.calls_made.get();
        self.owned.calls_made.set(id + 1);
        let log = self.owned.heard.clone();
        let chained = match hear {
            Hear::Chain(n, root) => self.states[root]
                .as_ref()
                .map(|state| (n, root, Arc::downgrade(state))),
            _ => None,
        };
        let glue = Glue;
        let callback = if let Hear::Value(n) = hear {
            let heard = move |value: &Value| {
                if value.of != of {
                    user::wrong(|| format!("a callback of {of} got a value of {}", value.of));
                }
                let line = (id, (0, value.number(), value.number(), 0));
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
                // Called once, it is dropped by itself, where nobody else could catch a second panic.
                let called = catch_unwind(|| user::call(Point::Callback));
                drop(glue);
                if let Err(panic) = called {
                    resume_unwind(panic);
                }
            };
            match way {
                Way::Root(_, state) => state.on_value(Value::new(of, n), heard),
                Way::View(_, view) => view.on_value(Value::new(of, n), heard),
            }
        } else {
            let heard = move |change: &Transition<Value>| {
                let _glue = &glue;
                let line = (id, shown(of, change.seq - 1, change));
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
                user::call(Point::Callback);
                if let Some((n, root, state)) = &chained {
                    if change.new.number() == *n {
                        if let Some(state) = state.upgrade() {
                            chain(*root, &state, (n + 1) & 3);
                        }
                    }
                }
            };
            match way {
                Way::Root(_, state) => state.on_change(heard),
                Way::View(_, view) => view.on_change(heard),
            }
        };
        self.owned.callbacks[at] = Some((hear, callback));
        Some(Answer::Nothing)
    }

    fn derive(&mut self, op: Op) -> Option<Answer> {
        let (at, rule, parts) = match op {
            Op::Map(at, source, kind) => (at, Rule::Map(kind), vec![source]),
            Op::Zip(at, one, other) => (at, Rule::Zip, vec![one, other]),
            Op::All(at, which) => {
                let there = |at: &usize| which >> at & 1 == 1 && self.owned.views[*at].is_some();
                (at, Rule::All, (0..VIEWS).filter(there).collect())
            }
            _ => return None,
        };
        let views = &self.owned.views;
        let parts: Option<Vec<_>> = parts.iter().map(|at| views[*at].as_ref()).collect();
        let parts = parts?;
        let view = |part: usize| &parts[part].1;
        let of = ROOTS + self.owned.rules.len();
        let sources = parts.iter().map(|(of, _)| *of).collect();
        self.owned.rules.push((rule, sources));
        // Made where it is handed over: on this very stack its drop would be nobody's to catch.
        let maker = || {
            let alive = MapAlive::new();
            move |numbers: &[Number]| {
                alive.called();
                Value::new(of, rule.of(numbers))
            }
        };
        // What they are made of goes before they do: rustc leaks what a panic of a statement's own drop keeps from its
        // place.
        let derived = match rule {
            Rule::Zip => {
                let both = view(0).zip(view(1));
                let made = maker();
                let derived = both.map(move |(one, other)| made(&[one.number(), other.number()]));
                drop(both);
                derived
            }
            Rule::All => {
                let all = View::all(parts.iter().map(|(_, view)| view.clone()));
                let numbers =
                    |values: &Vec<Value>| -> Vec<_> { values.iter().map(Value::number).collect() };
                let made = maker();
                let derived = all.map(move |values| made(&numbers(values)));
                drop(all);
                derived
            }
            _ => {
                let made = maker();
                view(0).map(move |value: &Value| made(&[value.number()]))
            }
        };
        Some(self.show(at, (of, derived)))
    }
}

/// Sets a state inside a callback. What came of it is known at once: nobody sets in between.
fn chain(root: Root, state: &Watched<Value>, n: Number) {
    let set = catch_unwind(AssertUnwindSafe(|| state.set(Value::new(root, n))));
    user::hushed(|| state.read(|value| user::saw(root, state.version(), value)));
    if let Err(panic) = set {
        resume_unwind(panic);
    }
}

/// Drops what is held inside a closure of the state.
fn inside(
    root: Root,
    state: &Watched<Value>,
    closure: Closure,
    held: Held<'_>,
    panics: bool,
) -> Answer {
    let mut held = Some(held);
    let mut run = |value: &Value| {
        user::call(Point::Closure);
        drop(held.take());
        if panics {
            panic_any(OnPurpose);
        }
        (value.number() + 1) & 3
    };
    let act = || match closure {
        Closure::Read => Answer::Number((state.read(&mut run) + 3) & 3),
        Closure::SetIf => {
            let n = (user::hushed(|| state.read(Value::number)) + 1) & 3;
            let refused = state.set_if(Value::new(root, n), |value| {
                run(value);
                false
            });
            Answer::Given(refused.map(|()| 0).map_err(number))
        }
        Closure::Update => Answer::Number(number(state.update(|v| Value::new(root, run(v))))),
        Closure::ReplaceWith => {
            Answer::Number(number(state.replace_with(|v| Value::new(root, run(v)))))
        }
        Closure::Modify => Answer::Flag(state.modify(|value| {
            let next = run(value);
            value.change(next);
        })),
    };
    let acted = catch_unwind(AssertUnwindSafe(act));
    drop(held);
    match acted {
        Ok(answer) => answer,
        Err(payload) if payload.is::<OnPurpose>() => Answer::Panicked,
        Err(payload) => resume_unwind(payload),
    }
}
