//! Several states in one: views of what is made of other states.
//!
//! A derived state is a [`Shared`] that nobody can set. It follows its sources in their commits:
//!
//! ```text
//! map        source ─ edge: f ─▶ map                        one source: commits at once, under the source's lock
//! zip, all   source ─ edge ─▶ inbox ─ joint ─▶ zip          several: what a commit leaves in the inbox is taken
//!            source ─ edge ──┘                              together, after all of that commit's maps
//! ```
//!
//! **What one commit leaves for a state with several sources is one transition**: its parts carry the commit's cause,
//! and are taken by that commit, by height, after all sources have left theirs. Only where a commit of another thread
//! has to go first through the same source are they taken apart; then half of them is shown, never more. (Models
//! `derived_*`; `derived.rs`, `histories/pair.rs`.)
//!
//! A derived state holds its sources, and each source an edge that holds the derived state. That circle is cut by
//! whoever leaves last ([`let_go`](crate::settle::let_go)), or by the source's end.

use crate::cell::{Shared, State};
use crate::observers::{Follow, Left, Origin, Place, Thing, Tie, Ties};
use crate::settle::{AnyState, Cause, Debts, Flow, Settlement, Source};
use crate::slab::Key;
use crate::sync::{Arc, Inside, Lock, Panic, Slot, Weak, catch, drop_before, enter, erase};
use crate::view::View;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Several states in one. Each is a view of a state of its own, whose versions begin at 0, and which follows in the
/// commit of its source: lossless like the rest, with waits, watchers and callbacks of its own.
impl<T: Send + 'static> View<T> {
    /// Returns a view of what `f` makes of each value, equal neighbours being one.
    ///
    /// `f` runs once for the present value, then once for each transition, inside the commit: **it looks at nothing but
    /// the value it is given.** It lives while something looks at the derived view.
    ///
    /// # Panics
    ///
    /// With a panic of `f` on the present value. A later one ends the derived view, and nobody else.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let temperature = onlooker::Watched::new(20);
    /// let hot = temperature.view().map(|degrees| *degrees > 60);
    /// let alarm = hot.wait_for(true);
    /// temperature.set(70);
    /// temperature.set(30);
    /// assert_eq!(alarm.await, Ok(true));
    /// # });
    /// ```
    #[track_caller]
    pub fn map<U: PartialEq + Send + 'static>(
        &self,
        f: impl FnMut(&T) -> U + Send + 'static,
    ) -> View<U> {
        let origin = Origin::at(0);
        // Out here: a panic under the lock drops nothing there.
        let mut f = Slot(Some(f));
        let source = self.host();
        let (mapped, tie) = source.with(|state, left| {
            let first = f.0.as_mut().map(|f| {
                let _inside = enter(Inside::Predicate);
                f(state.value())
            });
            let mapped = Arc::new(Shared::derived(
                first,
                state.height() + 1,
                usize::from(state.open),
            ));
            let tie = f.0.take_if(|_| state.open).map(|f| {
                let follower = erase!(mapped.clone() => dyn AnyState);
                let tie = Tie {
                    follow: follow_by_map(f, mapped.clone(), follower.clone()),
                    follower,
                    what: "map",
                    origin: origin.since(state.seq),
                };
                state.observers.join_tie(tie, left)
            });
            (mapped, tie)
        });
        mapped.hold(source, tie);
        // Of a source that has ended it is still here.
        drop_before(f, View::counted(mapped))
    }

    /// Returns a view of both values as one pair: each transition of either is one of the pair.
    ///
    /// What one transition of a common source moves in both halves (`a.map(f).zip(&a.map(g))`) is one transition of the
    /// pair; only where another thread's transition of a further source has to go first may it be seen in two steps.
    /// The pair ends when both have.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::Watched;
    ///
    /// let (link, login) = (Watched::new("down"), Watched::new(false));
    /// let ready = link.view().zip(&login.view()).wait_until(|(link, login)| *link == "up" && *login);
    /// login.set(true);
    /// link.set("up");
    /// link.set("down");
    /// assert_eq!(ready.await, Ok(("up", true)));
    /// # });
    /// ```
    #[track_caller]
    pub fn zip<B: Clone + Send + 'static>(&self, other: &View<B>) -> View<(T, B)>
    where
        T: Clone,
    {
        let joining = Joining::new("zip", 2, self.height().max(other.height()));
        let first = Slot(
            joining
                .part(self, 0, |value: &T| (Some(value.clone()), None))
                .0,
        );
        let second = Slot(
            joining
                .part(other, 1, |value: &B| (None, Some(value.clone())))
                .1,
        );
        joining.complete((first.take(), second.take()), |present: &(T, B), parts| {
            let (mut first, mut second) = (None, None);
            for (_, part) in parts {
                (first, second) = (part.0.or(first), part.1.or(second));
            }
            let first = first.unwrap_or_else(|| present.0.clone());
            (first, second.unwrap_or_else(|| present.1.clone()))
        })
    }

    /// Returns a view of all values as one vector, in the order of `views`: each transition of any is one of the vector.
    ///
    /// As [`zip`](Self::zip) for many of a kind. Of no views it is an empty vector, ended from the start.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::{View, Watched};
    ///
    /// let workers = [Watched::new("busy"), Watched::new("busy")];
    /// let all = View::all(workers.iter().map(Watched::view));
    /// let idle = all.wait_until(|workers| workers.iter().all(|worker| *worker == "idle"));
    /// workers[1].set("idle");
    /// workers[0].set("idle");
    /// assert_eq!(idle.await, Ok(vec!["idle", "idle"]));
    /// # });
    /// ```
    #[track_caller]
    pub fn all(views: impl IntoIterator<Item = View<T>>) -> View<Vec<T>>
    where
        T: Clone,
    {
        let views: Vec<View<T>> = views.into_iter().collect();
        let height = views.iter().map(View::height).max().unwrap_or(0);
        let joining = Joining::new("all", views.len(), height);
        let mut values = Slot(Some(Vec::new()));
        for (part, view) in views.iter().enumerate() {
            let value = joining.part(view, part, T::clone);
            values.0.get_or_insert_default().push(value);
        }
        let all = joining.complete(values.take(), |present: &Vec<T>, parts| {
            let mut all = present.clone();
            for (at, value) in parts {
                all[at] = value;
            }
            all
        });
        // The last handles of what is gone already may go with these.
        drop_before(views, all)
    }

    #[track_caller]
    fn height(&self) -> u32 {
        self.host().with(|state, _| state.height())
    }
}

impl<T> State<T> {
    /// 0 of a state that can be set; more than that of every source of one that is derived.
    fn height(&self) -> u32 {
        self.observers.ties.as_ref().map_or(0, |ties| ties.height)
    }
}

impl<T: Send + 'static> Shared<T> {
    /// A state that follows others, with one view.
    fn derived(value: Option<T>, height: u32, open: usize) -> Self {
        let shared = Self::new(value, 0, open > 0);
        shared.lock.with(|state| {
            state.observers.derive(Ties::derived(height, open));
        });
        if open == 0 {
            shared.say_ended();
        }
        shared
    }

    /// Holds on to a source for as long as somebody looks.
    fn hold<S: Send + 'static>(&self, source: &Arc<Shared<S>>, tie: Option<Key>) {
        let Some(key) = tie else { return };
        let state = erase!(source.clone() => dyn AnyState);
        self.lock.with(|own| {
            if let Some(ties) = &mut own.observers.ties {
                ties.sources.push(Source { state, key });
            }
        });
    }

    /// A transition of a derived state, inside the commit of a source.
    fn follow(
        &self,
        this: &Arc<dyn AnyState>,
        state: &mut State<T>,
        mut value: T,
        flow: &mut Flow<'_>,
    ) {
        let Some(present) = &mut state.value else {
            return;
        };
        core::mem::swap(present, &mut value);
        state.seq += 1;
        self.version.publish(state.seq);
        let mut debts = Debts::new();
        let observers = &mut state.observers;
        let ticket = observers.offer(state.seq, &value, present, &mut debts);
        flow.debts.trouble.append(&mut debts.take_trouble());
        self.owe(this, state, (debts.own, ticket), value, flow);
    }

    /// What a derived state owes, a value to drop among it.
    fn owe(
        &self,
        this: &Arc<dyn AnyState>,
        state: &mut State<T>,
        (mut settlement, ticket): (Settlement, Option<u64>),
        value: T,
        flow: &mut Flow<'_>,
    ) {
        settlement.discard(&mut state.observers.dues.values, value);
        if !settlement.is_empty() || ticket.is_some() {
            let owed = (this.clone(), settlement, ticket);
            flow.debts.derived.push(owed);
        }
    }
}

impl<T: Send + 'static> AnyState for Shared<T> {
    fn pass_on(&self, flow: &mut Flow<'_>) {
        let mut left = Left::new();
        self.enter(&mut left, |state, left| {
            if let Some(value) = &state.value {
                state.observers.pass_on(value, flow, left);
            }
        });
        flow.leave(left);
    }

    fn advance(&self, this: &Arc<dyn AnyState>, flow: &mut Flow<'_>) {
        let mut left = Left::new();
        self.enter(&mut left, |state, left| {
            while let Some(value) = &state.value {
                let Some(ties) = &mut state.observers.ties else {
                    break;
                };
                let Some(join) = &mut ties.join else { break };
                let next = in_predicate(|| join(flow.cause, value));
                match next {
                    Ok(None) => break,
                    Ok(Some(next)) => {
                        self.follow(this, state, next, flow);
                        // All below has it before the next one, and before this lock is free.
                        if let Some(value) = &state.value {
                            state.observers.pass_on(value, flow, left);
                        }
                        flow.pass_on();
                    }
                    Err(panic) => {
                        ties.open = 1;
                        flow.end(this, panic);
                        break;
                    }
                }
            }
        });
        flow.leave(left);
    }

    fn source_ended(&self) -> (Box<dyn Send>, Vec<Arc<dyn AnyState>>) {
        let mut left = Left::new();
        self.lock.enter(|state| {
            let Some(ties) = &mut state.observers.ties else {
                return;
            };
            ties.open = ties.open.saturating_sub(1);
            if ties.open == 0 && state.open {
                // Who still leaves something for it finds nobody.
                left.extend(ties.join.take().map(Thing::Join));
                self.close(state, &mut left);
            }
        });
        let followers = left.take_followers();
        (Box::new(left), followers)
    }

    fn unfollow(&self, key: Key) -> (Box<dyn Send>, Vec<Source>) {
        let mut left = Left::new();
        let place = Place::tie(key);
        let entered = self
            .lock
            .enter(|state| self.take_away(state, place, &mut left));
        if entered.is_none() {
            self.leave_late(place);
        }
        let sources = left.take_sources();
        (Box::new(left), sources)
    }
}

impl Flow<'_> {
    /// To be dropped when the locks are free.
    fn leave<T: Send + 'static>(&mut self, left: Left<T>) {
        if !left.is_empty() {
            self.debts.left.push(Box::new(left));
        }
    }

    /// Whether a tie goes on following; after a panic it does not.
    fn goes_on(&mut self, state: &Arc<dyn AnyState>, followed: Result<(), Panic>) -> bool {
        match followed {
            Ok(()) => true,
            Err(panic) => {
                self.end(state, panic);
                false
            }
        }
    }

    /// A derived state ends by a panic.
    fn end(&mut self, state: &Arc<dyn AnyState>, panic: Panic) {
        self.debts.left.push(Box::new(panic));
        self.ended.push(state.clone());
    }
}

/// Follows the one source of a map.
fn follow_by_map<T, U: PartialEq + Send + 'static>(
    mut f: impl FnMut(&T) -> U + Send + 'static,
    to: Arc<Shared<U>>,
    this: Arc<dyn AnyState>,
) -> Follow<T> {
    Box::new(move |new, flow| {
        let made = in_predicate(|| f(new));
        let mut left = Left::new();
        let followed = made.and_then(|value| {
            let followed = to.enter(&mut left, |state, _| {
                let present = state.value.as_ref();
                let differs = in_predicate(|| present.is_some_and(|present| value != *present));
                if let Ok(true) = differs {
                    to.follow(&this, state, value, flow);
                    if state.observers.has_followers() {
                        flow.moved.push(this.clone());
                    }
                } else {
                    to.owe(&this, state, (Settlement::new(), None), value, flow);
                }
                differs.map(|_| ())
            });
            followed.unwrap_or(Ok(()))
        });
        flow.leave(left);
        flow.goes_on(&this, followed)
    })
}

/// Runs what looks at nothing but what it is given.
fn in_predicate<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
    catch(|| {
        let _inside = enter(Inside::Predicate);
        f()
    })
}

/// What commits have left for a state with several sources: each of which commit, of which part.
type Inbox<P> = Lock<VecDeque<(Cause, usize, P)>>;

/// Makes the next value of the present one and the parts that one commit has moved.
type Apply<V, P> = fn(&V, Vec<(usize, P)>) -> V;

/// A state with several sources, on its way to be complete.
struct Joining<V, P> {
    what: &'static str,
    origin: Origin,
    view: View<V>,
    any: Arc<dyn AnyState>,
    height: u32,
    inbox: Arc<Inbox<P>>,
}

impl<V: Send + 'static, P: Send + 'static> Joining<V, P> {
    #[track_caller]
    fn new(what: &'static str, parts: usize, sources_height: u32) -> Self {
        let height = sources_height + 1;
        let shared = Arc::new(Shared::derived(None, height, parts));
        Self {
            what,
            origin: Origin::at(0),
            any: erase!(shared.clone() => dyn AnyState),
            view: View::counted(shared),
            height,
            inbox: Arc::new(Lock::new(VecDeque::new())),
        }
    }

    /// Follows one source from here on; gives back its present value.
    #[track_caller]
    fn part<T: Send + 'static>(&self, source: &View<T>, part: usize, make: fn(&T) -> P) -> P {
        let source = source.host();
        let (value, tie) = source.with(|state, left| {
            let value = make(state.value());
            let tie = state.open.then(|| {
                let tie = Tie {
                    follow: self.follow_part(part, make),
                    follower: self.any.clone(),
                    what: self.what,
                    origin: self.origin.since(state.seq),
                };
                state.observers.join_tie(tie, left)
            });
            (value, tie)
        });
        if tie.is_none() {
            drop(self.any.source_ended());
        }
        self.view.host().hold(source, tie);
        value
    }

    /// Follows one source: leaves its part in the inbox, as long as there is one.
    fn follow_part<T: 'static>(&self, part: usize, make: fn(&T) -> P) -> Follow<T> {
        let (inbox, this) = (Arc::downgrade(&self.inbox), self.any.clone());
        let key = (self.height, Arc::as_ptr(&this).addr());
        Box::new(move |new, flow| {
            let made = in_predicate(|| make(new));
            let Some(inbox) = Weak::upgrade(&inbox) else {
                return false;
            };
            let left = made.map(|value| {
                inbox.with(|inbox| inbox.push_back((flow.cause, part, value)));
                flow.joints.insert(key, this.clone());
            });
            // The state may have ended meanwhile: then this is the last that holds what was left for it.
            if let Some(inbox) = Arc::into_inner(inbox) {
                flow.debts.left.push(Box::new(inbox));
            }
            flow.goes_on(&this, left)
        })
    }

    /// The present values of all are there: now it is a state like others. What came meanwhile is in its first value.
    fn complete(self, value: V, apply: Apply<V, P>) -> View<V> {
        // Out here: a panic under the lock drops nothing there.
        let (mut value, mut older) = (Slot(Some(value)), Slot(None));
        let mut parts = Slot(Some(Vec::new()));
        self.view.host().with(|state, _| {
            let came = self.inbox.with(core::mem::take);
            let parts = parts.0.get_or_insert_default();
            parts.extend(came.into_iter().map(|(_, part, value)| (part, value)));
            if let (Some(first), false) = (&value.0, parts.is_empty()) {
                older.0 = Some(apply(first, core::mem::take(parts)));
                core::mem::swap(&mut older.0, &mut value.0);
            }
            state.value = value.0.take();
            let ties = state.observers.ties.as_mut().filter(|_| state.open);
            if let Some(ties) = ties {
                let inbox = self.inbox.clone();
                ties.join = Some(Box::new(move |cause, present| {
                    let parts = inbox.with(|inbox| take_next(inbox, cause))?;
                    Some(apply(present, parts))
                }));
            }
        });
        // Before the view is given out: their drops may panic.
        let Self {
            view, any, inbox, ..
        } = self;
        drop_before((value, older, parts, any, inbox), view)
    }
}

/// What goes next for this commit: its own parts together, or, where another commit's stands before one of them in the
/// order of the same source, that one's. **No part overtakes an older one of the same source.**
fn take_next<P>(inbox: &mut VecDeque<(Cause, usize, P)>, cause: Cause) -> Option<Vec<(usize, P)>> {
    let own = inbox.iter().filter(|entry| entry.0 == cause);
    let own: Vec<usize> = own.map(|entry| entry.1).collect();
    let first = inbox.iter().find(|entry| own.contains(&entry.1))?.0;
    let (mut taken, mut stays) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(&(cause, part, _)) = inbox.get(at) {
        if cause == first && own.contains(&part) && !stays.contains(&part) {
            taken.extend(inbox.remove(at).map(|(_, part, value)| (part, value)));
        } else {
            stays.push(part);
            at += 1;
        }
    }
    Some(taken)
}
