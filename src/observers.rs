//! Everybody who observes one state. All of it is touched under the state's lock.
//!
//! A new kind of observer is a file here (what is stored, and how it is shown a transition), a handle that holds its
//! [`Place`], and a line in [`Observers::offer`] and [`Observers::leave`].

mod calls;
mod history;
mod line;
mod seat;
mod ties;
mod waits;

pub(crate) use calls::{Call, CallSeat, Calls, Hand, Heard, Turn};
pub(crate) use history::{History, Past};
pub(crate) use line::{Line, Place as LinePlace};
pub use seat::Overflow;
pub(crate) use seat::{
    Buffer, Buffers, Item, Kept, Lies, Ring, SHORT, Seat, either, feed, is_large, unbounded,
};
pub(crate) use ties::{Follow, Join, Tie, Ties};
pub(crate) use waits::{Asked, Held, Method, Outcome, Predicate, Shown, Test, Waits, find_equal};

use crate::settle::{
    AnyState, Cause, Debts, FEW, Flow, Owed, Settlement, Source, let_go, tell_the_end,
};
use crate::slab::{Key, Slab};
use crate::sync::{Arc, Panic, Pieces, catch, drop_before, wake};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::panic::Location;
use core::task::Waker;
use seat::Feed;

/// When an observer joined, and, with the feature `inspect`, where it was made.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) since: u64,
    #[cfg(feature = "inspect")]
    location: &'static Location<'static>,
}

impl Origin {
    #[inline]
    #[track_caller]
    pub(crate) fn at(since: u64) -> Self {
        Self {
            since,
            #[cfg(feature = "inspect")]
            location: Location::caller(),
        }
    }

    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        #[cfg(feature = "inspect")]
        return Some(self.location);
        #[cfg(not(feature = "inspect"))]
        None
    }

    #[inline]
    pub(crate) fn since(mut self, version: u64) -> Self {
        self.since = version;
        self
    }
}

/// What somebody who leaves does to the observers.
type Leave<T> = fn(&mut Observers<T>, Key, &mut Left<T>);

/// Where an observer sits, and how it leaves. A function and not a kind: what nobody in a program is costs it nothing.
pub(crate) struct Place<T> {
    key: Key,
    leave: Leave<T>,
    /// The `Watched` itself.
    pub(crate) ends: bool,
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<T> {}

impl<T> Place<T> {
    const fn new(key: Key, leave: Leave<T>) -> Self {
        let ends = false;
        Self { key, leave, ends }
    }

    pub(crate) const fn watcher(key: Key) -> Self {
        Self::new(key, Observers::leave_watcher)
    }

    /// A watcher's waker alone.
    pub(crate) const fn sleeper(key: Key) -> Self {
        Self::new(key, |observers, key, left| {
            let seat = observers.seats.get(key);
            let sleeper = seat.and_then(|seat| seat.asleep.take());
            left.extend(sleeper.map(Thing::Sleeper));
        })
    }

    pub(crate) const fn wait(key: Key) -> Self {
        Self::new(key, |observers, key, left| {
            let wait = observers.leave_wait(key);
            left.extend(wait.map(Thing::Wait));
        })
    }

    pub(crate) const fn view() -> Self {
        Self::new(Key::NOBODY, |observers, _, left| {
            observers.views -= 1;
            observers.lookers_changed(left);
        })
    }

    pub(crate) const fn callback(key: Key) -> Self {
        Self::new(key, |observers, key, left| {
            let calls = observers.calls.as_mut();
            let call = calls.and_then(|calls| calls.leave(key));
            left.extend(call.map(Thing::Callback));
        })
    }

    pub(crate) const fn paced(key: Key) -> Self {
        Self::new(key, |observers, key, left| {
            let (own, next) = observers.line.leave(key);
            left.extend(own.map(Thing::Sleeper));
            left.wake(next);
        })
    }

    /// A derived state.
    pub(crate) const fn tie(key: Key) -> Self {
        Self::new(key, |observers, key, left| {
            let tie = observers.ties.as_mut().and_then(|ties| ties.leave(key));
            left.extend(tie.map(Thing::Tie));
            observers.views -= 1;
            observers.lookers_changed(left);
        })
    }

    /// The `Watched` itself: the end.
    pub(crate) const fn watched() -> Self {
        let ends = true;
        let leave = |observers: &mut Observers<T>, _: Key, left: &mut Left<T>| observers.end(left);
        Self {
            key: Key::NOBODY,
            leave,
            ends,
        }
    }
}

/// What commits under way owe to observers of this state.
pub(crate) struct Dues<T> {
    pub(crate) wakers: Owed<Waker>,
    pub(crate) values: Owed<T>,
}

/// Where a commit puts what it owes.
pub(crate) struct Outgoing<'a, T> {
    debts: &'a mut Debts,
    dues: &'a mut Dues<T>,
}

impl<'a, T> Outgoing<'a, T> {
    #[inline]
    pub(crate) fn new(debts: &'a mut Debts, dues: &'a mut Dues<T>) -> Self {
        Self { debts, dues }
    }

    #[inline]
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.debts.own.wake(&mut self.dues.wakers, waker);
    }

    #[inline]
    pub(crate) fn discard(&mut self, value: T) {
        self.debts.own.discard(&mut self.dues.values, value);
    }

    #[cold]
    pub(crate) fn trouble(&mut self, panic: Panic) {
        self.debts.trouble(panic);
    }

    /// Clones a value into its place; of one whose clone panics there is none. By itself: a large value takes much of a
    /// stack.
    #[inline(never)]
    pub(crate) fn clone_to(&mut self, place: &mut Option<T>, value: &T)
    where
        T: Clone,
    {
        if let Err(panic) = catch(|| *place = Some(value.clone())) {
            self.trouble(panic);
        }
    }
}

/// First what every set looks at.
#[repr(C)]
pub(crate) struct Observers<T> {
    feed: Option<Feed<T>>,
    pub(crate) history: Option<Box<History<T>>>,
    pub(crate) waits: Option<Box<Waits<T>>>,
    pub(crate) calls: Option<Box<Calls<T>>>,
    pub(crate) ties: Option<Box<Ties<T>>>,
    pub(crate) seats: Slab<Seat<T>>,
    pub(crate) line: Line,
    /// Views, owned waits, and derived states.
    views: usize,
    pub(crate) dues: Dues<T>,
}

impl<T> Observers<T> {
    pub(crate) fn new() -> Self {
        Self {
            seats: Slab::new(),
            feed: None,
            waits: None,
            calls: None,
            line: Line::new(),
            views: 0,
            ties: None,
            history: None,
            dues: Dues {
                wakers: Owed::new(),
                values: Owed::new(),
            },
        }
    }

    /// Shows a commit to everybody: watchers and waits have it when this returns. Gives the ticket for its callbacks.
    #[inline]
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T, debts: &mut Debts) -> Option<u64> {
        let followed = self.has_followers();
        let mut out = Outgoing::new(debts, &mut self.dues);
        if let Some(history) = &mut self.history {
            (history.keep)(history, old, &mut out);
        }
        if let (Some(feed), false) = (self.feed, self.seats.is_empty()) {
            feed(&mut self.seats, seq, new, &mut out);
        }
        if let Some(waits) = &mut self.waits {
            if waits.len() > 0 {
                waits.offer(seq, old, new, &mut out);
            }
        }
        let calls = self.calls.as_mut()?;
        let first = !followed && out.debts.is_empty();
        (calls.line_up)(calls, seq, old, new, first, &mut out)
    }

    #[inline]
    pub(crate) fn has_followers(&self) -> bool {
        self.ties.as_ref().is_some_and(|ties| ties.has_followers())
    }

    /// Shows a commit to all that is derived from this state, and from that.
    pub(crate) fn flow(&mut self, new: &T, cause: Cause, debts: &mut Debts, left: &mut Left<T>) {
        if let Some(flow) = self.ties.as_ref().map(|ties| ties.flow) {
            flow(self, new, cause, debts, left);
        }
    }

    /// Shows a commit to those derived from this state.
    pub(crate) fn pass_on(&mut self, new: &T, flow: &mut Flow<'_>, left: &mut Left<T>) {
        let mut done = Vec::new();
        if let Some(ties) = &mut self.ties {
            ties.follow(new, flow, &mut done);
        }
        left.things.extend(done.into_iter().map(Thing::Tie));
    }

    // Joining

    pub(crate) fn join_watcher(&mut self, seat: Seat<T>, left: &mut Left<T>) -> Key
    where
        T: Clone,
    {
        self.feed = Some(feed::<T>);
        let key = self.seats.join(seat);
        self.fit_values();
        self.lookers_changed(left);
        key
    }

    pub(crate) fn join_view(&mut self, left: &mut Left<T>) {
        self.views += 1;
        self.lookers_changed(left);
    }

    /// A derived state counts as a view.
    pub(crate) fn join_tie(&mut self, tie: Tie<T>, left: &mut Left<T>) -> Key {
        let ties = self.ties.get_or_insert_with(|| Box::new(Ties::new()));
        let key = ties.add(tie);
        self.join_view(left);
        key
    }

    /// Becomes the observers of a derived state, which begins with one view.
    pub(crate) fn derive(&mut self, ties: Ties<T>) {
        self.ties = Some(Box::new(ties));
        self.views = 1;
    }

    #[inline]
    pub(crate) fn waits(&mut self) -> &mut Waits<T> {
        self.waits.get_or_insert_with(|| Box::new(Waits::new()))
    }

    /// Room for everybody's wake at once: a commit allocates nothing for them, and one that comes where nothing can be
    /// allocated finds it. Room that is no longer needed is given back.
    #[inline]
    pub(crate) fn fit_wakers(&mut self) {
        let most = self.most();
        self.dues.wakers.fit(if most > FEW { most } else { 0 });
    }

    /// The same for a value from everybody, what a ring gives up or a wait was compared with.
    #[inline]
    pub(crate) fn fit_values(&mut self) {
        if core::mem::needs_drop::<T>() {
            self.dues.values.fit(self.most());
        }
    }

    #[inline]
    fn most(&self) -> usize {
        self.seats.len() + self.waits.as_ref().map_or(0, |waits| waits.len())
    }

    /// A wait gives up its desk.
    #[inline]
    pub(crate) fn leave_wait(&mut self, key: Key) -> Option<Held<T>> {
        let left = self.waits.as_mut()?.leave(key);
        self.fit_wakers();
        self.fit_values();
        left
    }

    // Counting

    pub(crate) fn views(&self) -> usize {
        self.views
    }

    /// Who can see the value.
    pub(crate) fn lookers(&self) -> usize {
        self.views + self.seats.len()
    }

    /// Tells the waits that count lookers.
    #[inline]
    fn lookers_changed(&mut self, left: &mut Left<T>) {
        let lookers = self.lookers();
        if let (Some(waits), true) = (&mut self.waits, lookers <= 1) {
            let mut debts = Debts::new();
            waits.count(lookers, &mut Outgoing::new(&mut debts, &mut self.dues));
            self.hand_out(debts.own, left);
        }
    }

    /// What was to be settled by a commit is given out at once.
    fn hand_out(&mut self, mut owed: Settlement, left: &mut Left<T>) {
        while let Some(waker) = owed.next_waker(&mut self.dues.wakers) {
            left.push(Thing::Waker(waker));
        }
        while let Some(value) = owed.next_value(&mut self.dues.values) {
            left.push(Thing::Value(value));
        }
    }

    // Leaving

    /// Gives up a place.
    pub(crate) fn leave(&mut self, place: Place<T>, left: &mut Left<T>) {
        (place.leave)(self, place.key, left);
    }

    fn leave_watcher(&mut self, key: Key, left: &mut Left<T>) {
        let Some(seat) = self.seats.leave(key) else {
            return;
        };
        // Its ring may have been the full one.
        let next = seat.is_bounded().then(|| self.line.call_first());
        left.push(Thing::Seat(seat));
        left.wake(next.flatten());
        self.fit_wakers();
        self.fit_values();
        self.lookers_changed(left);
    }

    /// A derived state at which nobody looks any more, nor ever can.
    pub(crate) fn is_forsaken(&self) -> bool {
        let is_derived = self.ties.as_ref().is_some_and(|ties| ties.is_derived());
        let calls = self.calls.as_ref().map_or(0, |calls| calls.len());
        is_derived && self.lookers() + calls == 0
    }

    /// Of a derived state that is forsaken.
    pub(crate) fn let_sources_go(&mut self, left: &mut Left<T>) {
        if let Some(ties) = &mut self.ties {
            if !ties.sources.is_empty() {
                let sources = &mut left.ties.get_or_insert_default().sources;
                sources.append(&mut ties.sources);
            }
        }
    }

    // The end

    /// Nothing more will be committed: gives out wakers and what has no further use.
    pub(crate) fn end(&mut self, left: &mut Left<T>) {
        let mut debts = Debts::new();
        let mut out = Outgoing::new(&mut debts, &mut self.dues);
        for seat in self.seats.iter_mut() {
            if let Some(waker) = seat.asleep.take() {
                out.wake(waker);
            }
        }
        if let Some(waits) = &mut self.waits {
            for held in waits.end(&mut out) {
                left.push(Thing::Wait(held));
            }
        }
        self.hand_out(debts.own, left);
        if let Some(calls) = &mut self.calls {
            calls.end(left);
        }
        for place in self.line.take_all() {
            left.extend(place.waker.map(Thing::Sleeper));
        }
        let ended = self.ties.as_mut().map_or(Vec::new(), |ties| ties.end());
        if !ended.is_empty() {
            let followers = &mut left.ties.get_or_insert_default().followers;
            followers.extend(ended.iter().map(|tie| tie.follower.clone()));
            left.things.extend(ended.into_iter().map(Thing::Tie));
        }
    }
}

/// Something that somebody left.
#[expect(dead_code, reason = "held to be dropped")]
pub(crate) enum Thing<T> {
    Seat(Seat<T>),
    Wait(Held<T>),
    Callback(CallSeat<T>),
    /// The closure alone: its guard was dropped while it ran.
    Call(Call<T>),
    Tie(Tie<T>),
    Join(Join<T>),
    History(Box<History<T>>),
    Value(T),
    /// Of somebody who sleeps no longer: only dropped.
    Sleeper(Waker),
    /// To be woken.
    Waker(Waker),
}

/// What who left, or the end, gave out: woken and dropped where no lock is held.
pub(crate) struct Left<T> {
    things: Vec<Thing<T>>,
    ties: Option<Box<LeftTies>>,
}

/// What is to be told to others.
#[derive(Default)]
struct LeftTies {
    /// Of a derived state at which nobody looks any more.
    sources: Vec<Source>,
    /// Those that followed a state that has ended.
    followers: Vec<Arc<dyn AnyState>>,
}

impl<T> Left<T> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            things: Vec::new(),
            ties: None,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.things.is_empty() && self.ties.is_none()
    }

    /// Sees to what is left before `result` is given out.
    #[inline]
    pub(crate) fn before<R>(self, result: R) -> R {
        if self.is_empty() {
            // Which dropping it would find out piece by piece.
            core::mem::forget(self);
            return result;
        }
        drop_before(self, result)
    }

    #[inline]
    pub(crate) fn push(&mut self, thing: Thing<T>) {
        self.things.push(thing);
    }

    pub(crate) fn take_sources(&mut self) -> Vec<Source> {
        let ties = self.ties.as_mut();
        ties.map_or(Vec::new(), |ties| core::mem::take(&mut ties.sources))
    }

    pub(crate) fn take_followers(&mut self) -> Vec<Arc<dyn AnyState>> {
        let ties = self.ties.as_mut();
        ties.map_or(Vec::new(), |ties| core::mem::take(&mut ties.followers))
    }

    pub(crate) fn extend(&mut self, thing: Option<Thing<T>>) {
        self.things.extend(thing);
    }

    fn wake(&mut self, waker: Option<Waker>) {
        self.extend(waker.map(Thing::Waker));
    }

    /// Each piece by itself; a panic goes on at the end.
    #[cold]
    #[inline(never)]
    pub(crate) fn clear(&mut self) {
        let mut pieces = Pieces::new();
        for mut thing in core::mem::take(&mut self.things) {
            // What has a drop of its own one by one: a second panic in one drop would end the process.
            let drops = core::mem::needs_drop::<T>();
            match &mut thing {
                Thing::Seat(seat) if drops => while pieces.run(|| seat.discard()) != Some(false) {},
                Thing::Wait((_, waker)) => pieces.discard(waker.take()),
                Thing::History(history) if drops => {
                    while pieces.run(|| history.discard()) != Some(false) {}
                }
                _ => {}
            }
            pieces.run(|| match thing {
                Thing::Waker(waker) => wake(waker),
                thing => drop(thing),
            });
        }
        tell_the_end(self.take_followers(), &mut pieces);
        let_go(self.take_sources(), &mut pieces);
        pieces.end();
    }
}

impl<T> Drop for Left<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_empty() {
            self.clear();
        }
    }
}
