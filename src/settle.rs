//! What a commit owes once its lock is free.
//!
//! **Every commit settles what it owes by itself: on the thread that made it, before it returns.** The wakers it took
//! it wakes, the values it replaced and evicted it drops, the callbacks of its transition it runs or waits for.
//! (Model `settle_two_setters` and the tests in `bounds.rs` break without it.)
//!
//! ```text
//!  lock   ─▶ wakers: a few on the stack, the rest in the state's `Owed`, chained
//!            values: in the state's `Owed`, chained
//!            ticket: its place in the line of callbacks
//!  unlock ─▶ wake ─▶ drop ─▶ the turn at callbacks ─▶ errands
//! ```
//!
//! A setter *inside* what another one of its thread settles (a callback, a waker, a drop) cannot wait for a turn that
//! this very thread may have. It wakes and drops like everybody, and leaves the rest as an errand: the outermost setter
//! runs those, one after the other, when it holds no turn. So chains of states are a loop, and two states whose
//! callbacks set each other never wait for one another.

use crate::slab::Key;
use crate::sync::{Arc, Panic, Pieces, per_thread};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::Waker;

/// How many wakers a commit takes along on its stack.
pub(crate) const FEW: usize = 4;

/// An end of a [`Chain`].
const NONE: u32 = u32::MAX;

/// What commits under way still owe of one kind, each its own chain. Guarded by the state's lock.
///
/// What lies here is bounded by the commits under way; in a steady state nothing is allocated.
pub(crate) struct Owed<V> {
    values: Vec<Option<V>>,
    /// Beside each the next in its chain, or among those that are free.
    next: Vec<u32>,
    free: u32,
    owed: u32,
}

/// One commit's part of an [`Owed`].
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub(crate) const fn new() -> Self {
        Self {
            first: NONE,
            last: NONE,
        }
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

impl<V> Owed<V> {
    pub(crate) const fn new() -> Self {
        Self {
            values: Vec::new(),
            next: Vec::new(),
            free: NONE,
            owed: 0,
        }
    }

    pub(crate) fn push(&mut self, chain: &mut Chain, value: V) {
        let mut at = self.free;
        if at == NONE {
            at = self.values.len() as u32;
            self.values.push(Some(value));
            self.next.push(NONE);
        } else {
            self.values[at as usize] = Some(value);
            self.free = core::mem::replace(&mut self.next[at as usize], NONE);
        }
        self.owed += 1;
        match self.next.get_mut(chain.last as usize) {
            Some(next) => *next = at,
            None => chain.first = at,
        }
        chain.last = at;
    }

    pub(crate) fn pop(&mut self, chain: &mut Chain) -> Option<V> {
        let at = chain.first;
        let value = self.values.get_mut(at as usize)?.take();
        chain.first = core::mem::replace(&mut self.next[at as usize], self.free);
        if chain.first == NONE {
            chain.last = NONE;
        }
        self.free = at;
        self.owed -= 1;
        value
    }

    /// The same of values, which are there only where they have to be dropped.
    pub(crate) fn pop_value(&mut self, chain: &mut Chain) -> Option<V> {
        core::mem::needs_drop::<V>().then(|| self.pop(chain))?
    }

    /// Makes room for so many, and gives room back that is no longer needed.
    #[inline]
    pub(crate) fn fit(&mut self, most: usize) {
        let room = self.values.capacity();
        if most > room || room > 64.max(4 * most) {
            self.make_room(most);
        }
    }

    #[cold]
    fn make_room(&mut self, most: usize) {
        if self.owed == 0 {
            *self = Self::new();
        }
        let room = most + most / 8;
        self.values
            .reserve_exact(room.saturating_sub(self.values.len()));
        self.next
            .reserve_exact(room.saturating_sub(self.next.len()));
    }
}

/// What one commit owes to one state's observers.
pub(crate) struct Settlement {
    few: [Option<Waker>; FEW],
    wakers: Chain,
    values: Chain,
}

impl Settlement {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            few: [const { None }; FEW],
            wakers: Chain::new(),
            values: Chain::new(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.few[0].is_none() && self.values.is_empty()
    }

    /// To be woken, in this order. By itself: walks that wake nobody would make ready for it.
    #[inline(never)]
    pub(crate) fn wake(&mut self, owed: &mut Owed<Waker>, waker: Waker) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(waker),
            None => owed.push(&mut self.wakers, waker),
        }
    }

    /// To be dropped.
    #[inline]
    pub(crate) fn discard<T>(&mut self, owed: &mut Owed<T>, value: T) {
        if core::mem::needs_drop::<T>() {
            owed.push(&mut self.values, value);
        }
    }

    pub(crate) fn next_waker(&mut self, owed: &mut Owed<Waker>) -> Option<Waker> {
        let few = self.few.iter_mut().find_map(Option::take);
        few.or_else(|| owed.pop(&mut self.wakers))
    }

    pub(crate) fn next_value<T>(&mut self, owed: &mut Owed<T>) -> Option<T> {
        owed.pop_value(&mut self.values)
    }
}

/// What tells one commit from all others: the state and its version.
pub(crate) type Cause = (usize, u64);

/// A state, as whoever settles sees it.
pub(crate) trait Settles {
    /// Takes the next wakers of a chain into `few`.
    fn take_wakers(&self, chain: &mut Chain, few: &mut [Option<Waker>]);

    /// Takes the next value of a chain and drops it.
    fn drop_value(&self, chain: &mut Chain);

    /// Sees to it that all tickets up to this one are called back: runs them if the turn is free, or waits.
    fn call_back(&self, ticket: u64, pieces: &mut Pieces);
}

/// A state of whatever type, as those that it is derived from, and those derived from it, see it.
pub(crate) trait AnyState: Settles + Send + Sync {
    /// Shows the value it has now to those derived from it.
    fn pass_on(&self, flow: &mut Flow<'_>);

    /// Takes what the flow has left for it: of a state with several sources.
    fn advance(&self, this: &Arc<dyn AnyState>, flow: &mut Flow<'_>);

    /// One of its sources has ended. Gives back what is left, and who follows it if that ends it too.
    fn source_ended(&self) -> (Box<dyn Send>, Vec<Arc<dyn AnyState>>);

    /// One that was derived from it is gone. Gives back what it left, and what this one was itself derived from if
    /// nobody looks at it any more.
    fn unfollow(&self, key: Key) -> (Box<dyn Send>, Vec<Source>);
}

/// What a derived state holds of one it is derived from.
pub(crate) struct Source {
    pub(crate) state: Arc<dyn AnyState>,
    pub(crate) key: Key,
}

/// Lets sources go, and theirs, one after the other.
pub(crate) fn let_go(mut sources: Vec<Source>, pieces: &mut Pieces) {
    while let Some(source) = sources.pop() {
        let (left, more) = source.state.unfollow(source.key);
        sources.extend(more);
        pieces.discard(left);
        pieces.discard(source);
    }
}

/// Tells those that follow a state that it has ended, and those that follow them, one after the other.
pub(crate) fn tell_the_end(mut followers: Vec<Arc<dyn AnyState>>, pieces: &mut Pieces) {
    while let Some(state) = followers.pop() {
        let (left, more) = state.source_ended();
        followers.extend(more);
        pieces.discard(left);
        pieces.discard(state);
    }
}

/// One transition on its way down to those that are derived, in the commit of its source.
///
/// Within a lock's domain (a state with a lock of its own and the maps below it) the order is that of the domain's
/// lock. A state with several sources comes after all of them: by height.
pub(crate) struct Flow<'a> {
    /// Tells this commit from others.
    pub(crate) cause: Cause,
    /// Maps that have moved, and have not passed it on yet.
    pub(crate) moved: Vec<Arc<dyn AnyState>>,
    /// States with several sources for which there is something.
    pub(crate) joints: BTreeMap<(u32, usize), Arc<dyn AnyState>>,
    /// Those of whose sources one has ended.
    pub(crate) ended: Vec<Arc<dyn AnyState>>,
    /// What is to be settled, and dropped, outside.
    pub(crate) debts: &'a mut More,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(cause: Cause, debts: &'a mut More) -> Self {
        Self {
            cause,
            moved: Vec::new(),
            joints: BTreeMap::new(),
            ended: Vec::new(),
            debts,
        }
    }

    /// Those within a domain, while its lock is held.
    pub(crate) fn pass_on(&mut self) {
        while let Some(state) = self.moved.pop() {
            state.pass_on(self);
        }
    }

    /// All of it, while the lock of the first source is held.
    pub(crate) fn run(&mut self) {
        self.pass_on();
        while let Some((_, state)) = self.joints.pop_first() {
            state.advance(&state, self);
        }
        while let Some(state) = self.ended.pop() {
            let (left, more) = state.source_ended();
            self.ended.extend(more);
            self.debts.left.push(left);
        }
    }
}

/// All that one commit owes: to its own state, and, rarely, more.
pub(crate) struct Debts {
    pub(crate) own: Settlement,
    more: Option<Box<More>>,
}

/// What is left to settle of a commit's own.
type Own<'a> = &'a mut dyn FnMut(&Depth, &mut Pieces);

/// What few commits owe.
pub(crate) struct More {
    /// To states that are derived from this one; with it a ticket for their callbacks.
    pub(crate) derived: Vec<(Arc<dyn AnyState>, Settlement, Option<u64>)>,
    /// What those left.
    pub(crate) left: Vec<Box<dyn Send>>,
    /// Panics of a value's own code on the way to observers: the first goes on when all is settled.
    pub(crate) trouble: Vec<Panic>,
    /// A function, and not a method: where nobody owes any of this, a program has none of it.
    settle: fn(Box<Self>, &Depth, &mut Pieces, Own<'_>),
}

impl More {
    const fn new() -> Self {
        Self {
            derived: Vec::new(),
            left: Vec::new(),
            trouble: Vec::new(),
            settle: settle_more,
        }
    }
}

impl Debts {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            own: Settlement::new(),
            more: None,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.more.is_none()
    }

    #[cold]
    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_with(|| Box::new(More::new()))
    }

    pub(crate) fn take_trouble(&mut self) -> Vec<Panic> {
        self.more.take().map_or(Vec::new(), |more| more.trouble)
    }

    #[cold]
    pub(crate) fn trouble(&mut self, panic: Panic) {
        self.more().trouble.push(panic);
    }
}

/// A ticket that a setter left, to be called back by the outermost one of its thread.
struct Errand {
    state: Arc<dyn AnyState>,
    ticket: u64,
}

/// What a thread has still to do, and how deep it is in it.
struct Errands {
    /// How many settlements are under way, each inside the one before.
    depth: usize,
    wakers: Owed<Waker>,
    deep: Chain,
    left: VecDeque<Errand>,
}

/// What the outermost setter does next.
enum Next {
    Wake(Waker),
    Call(Errand),
}

/// Wakers that set, whose wakes set: deeper than this they are errands too, so that they do not pile up on the stack.
const DEEP: usize = 16;

per_thread! {
    fn errands() -> Errands = Errands { depth: 0, wakers: Owed::new(), deep: Chain::new(), left: VecDeque::new() }
}

/// Whether this thread settles something: a setter inside does not wait.
pub(crate) fn is_settling() -> bool {
    errands(|errands| errands.depth > 0)
}

/// A settlement of this thread.
pub(crate) struct Depth(usize);

impl Depth {
    fn enter() -> Self {
        Self(errands(|errands| {
            errands.depth += 1;
            errands.depth
        }))
    }

    pub(crate) fn is_outermost(&self) -> bool {
        self.0 == 1
    }

    /// What is left to do: for the outermost setter; without std, where one count is for all, for the last one out.
    /// Finding nothing and being done is one step.
    fn next(&mut self) -> Option<Next> {
        let next = errands(|errands| {
            if errands.depth > 1 {
                errands.depth -= 1;
                return None;
            }
            let wake = errands.wakers.pop(&mut errands.deep).map(Next::Wake);
            let next = wake.or_else(|| errands.left.pop_front().map(Next::Call));
            if next.is_none() {
                errands.depth = 0;
                // Mostly there never was anything.
                if errands.wakers.values.capacity() + errands.left.capacity() > 0 {
                    errands.wakers = Owed::new();
                    errands.left = VecDeque::new();
                }
            }
            next
        });
        if next.is_none() {
            self.0 = 0;
        }
        next
    }
}

impl Drop for Depth {
    /// Only a panic that nothing could catch (without std) leaves errands behind: for the next setter.
    fn drop(&mut self) {
        if self.0 > 0 {
            errands(|errands| errands.depth -= 1);
        }
    }
}

/// Leaves a ticket to the outermost setter of this thread.
pub(crate) fn leave_errand(state: Arc<dyn AnyState>, ticket: u64) {
    errands(|errands| match errands.left.back_mut() {
        // Many sets of one state in a row are one errand.
        Some(last) if core::ptr::addr_eq(Arc::as_ptr(&last.state), Arc::as_ptr(&state)) => {
            last.ticket = last.ticket.max(ticket);
        }
        _ => errands.left.push_back(Errand { state, ticket }),
    });
}

/// Wakes and drops what is owed to one state's observers. Each piece by itself: one that panics leaves nobody asleep.
fn wake_and_drop<S: Settles + ?Sized>(
    state: &S,
    owed: &mut Settlement,
    depth: &Depth,
    pieces: &mut Pieces,
) {
    loop {
        for waker in owed.few.iter_mut().map_while(Option::take) {
            if depth.0 < DEEP {
                pieces.run(|| waker.wake());
            } else {
                errands(|errands| errands.wakers.push(&mut errands.deep, waker));
            }
        }
        if owed.wakers.is_empty() {
            break;
        }
        state.take_wakers(&mut owed.wakers, &mut owed.few);
    }
    while !owed.values.is_empty() {
        pieces.run(|| state.drop_value(&mut owed.values));
    }
}

/// Settles what few commits owe. The commit's own callbacks come before those of derived states.
#[cold]
#[expect(clippy::boxed_local, reason = "where it lies already")]
fn settle_more(more: Box<More>, depth: &Depth, pieces: &mut Pieces, own: Own<'_>) {
    more.trouble
        .into_iter()
        .for_each(|panic| pieces.keep(panic));
    let mut derived = more.derived;
    for (state, owed, _) in &mut derived {
        wake_and_drop(&**state, owed, depth, pieces);
    }
    for left in more.left {
        pieces.discard(left);
    }
    own(depth, pieces);
    for (state, _, ticket) in derived {
        match ticket {
            Some(ticket) if depth.is_outermost() => state.call_back(ticket, pieces),
            Some(ticket) => leave_errand(state.clone(), ticket),
            None => {}
        }
        // It may go with this.
        pieces.discard(state);
    }
}

/// Settles what a commit of `state` owes. `rest` is what others left meanwhile, and the commit's ticket. A panic on the
/// way goes on at the end.
pub(crate) fn settle<S: Settles>(
    state: &S,
    debts: &mut Debts,
    mut rest: impl FnMut(&Depth, &mut Pieces),
) {
    let mut depth = Depth::enter();
    let mut pieces = Pieces::new();
    let Debts { own, more } = debts;
    wake_and_drop(state, own, &depth, &mut pieces);
    match more.take() {
        None => rest(&depth, &mut pieces),
        Some(more) => (more.settle)(more, &depth, &mut pieces, &mut rest),
    }
    while let Some(next) = depth.next() {
        match next {
            Next::Wake(waker) => {
                pieces.run(|| waker.wake());
            }
            Next::Call(Errand { state, ticket }) => {
                state.call_back(ticket, &mut pieces);
                pieces.discard(state);
            }
        }
    }
    drop(depth);
    pieces.end();
}
