//! What ties derived states to those that they are derived from.

use super::{Left, Observers, Origin};
use crate::settle::{AnyState, Cause, Debts, Flow, Source};
use crate::slab::{Key, Slab};
use crate::sync::Arc;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Follows one transition, in the commit. Says whether it goes on following.
pub(crate) type Follow<T> = Box<dyn FnMut(&T, &mut Flow<'_>) -> bool + Send>;

/// Makes the next value that a commit leads to of the present one and what sources have left.
pub(crate) type Join<T> = Box<dyn FnMut(Cause, &T) -> Option<T> + Send>;

/// How one derived state follows this one.
pub(crate) struct Tie<T> {
    pub(crate) follow: Follow<T>,
    pub(crate) follower: Arc<dyn AnyState>,
    /// Its method.
    pub(crate) what: &'static str,
    pub(crate) origin: Origin,
}

/// Shows a commit to all that is derived from its state, and from that.
type FlowDown<T> = fn(&mut Observers<T>, new: &T, Cause, &mut Debts, &mut Left<T>);

/// The ties of one state, up and down.
pub(crate) struct Ties<T> {
    down: Slab<Tie<T>>,
    /// A function, and not a method: where nothing is derived, a program has none of it.
    pub(super) flow: FlowDown<T>,
    pub(crate) height: u32,
    /// What it is derived from.
    pub(crate) sources: Vec<Source>,
    /// How many of those have not ended.
    pub(crate) open: usize,
    /// Of one with several.
    pub(crate) join: Option<Join<T>>,
}

impl<T> Ties<T> {
    /// Of a state that can be set.
    pub(crate) const fn new() -> Self {
        Self::derived(0, 0)
    }

    /// Of one that is derived from so many others.
    pub(crate) const fn derived(height: u32, open: usize) -> Self {
        Self {
            down: Slab::new(),
            flow: |observers, new, cause, debts, left| {
                let mut flow = Flow::new(cause, debts.more());
                observers.pass_on(new, &mut flow, left);
                flow.run();
            },
            height,
            sources: Vec::new(),
            open,
            join: None,
        }
    }

    pub(crate) fn is_derived(&self) -> bool {
        self.height > 0
    }

    pub(crate) fn add(&mut self, tie: Tie<T>) -> Key {
        self.down.join(tie)
    }

    pub(crate) fn leave(&mut self, key: Key) -> Option<Tie<T>> {
        self.down.leave(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tie<T>> {
        self.down.iter()
    }

    pub(crate) fn has_followers(&self) -> bool {
        !self.down.is_empty()
    }

    /// Shows one transition to all that follow. Who is done with following is taken out.
    pub(crate) fn follow(&mut self, new: &T, flow: &mut Flow<'_>, left: &mut Vec<Tie<T>>) {
        let mut next = self.down.first();
        while let Some((key, tie)) = next {
            if !(tie.follow)(new, flow) {
                left.extend(self.down.leave(key));
            }
            next = self.down.after(key);
        }
    }

    /// The state has ended: nobody has anything to follow.
    pub(crate) fn end(&mut self) -> Vec<Tie<T>> {
        self.down.take_all()
    }
}
