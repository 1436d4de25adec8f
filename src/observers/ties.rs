//! What ties derived states to those that they are derived from.

use super::Origin;
use crate::settle::{AnyState, Flow, Source};
use crate::slab::{Key, Slab};
use crate::sync::Arc;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// How one derived state follows this one.
pub(crate) trait Edge<T>: Send {
    /// Follows one transition, in the commit. Says whether it goes on following.
    fn follow(&mut self, new: &T, flow: &mut Flow<'_>) -> bool;

    /// Who follows.
    fn follower(&self) -> Arc<dyn AnyState>;

    /// Its method, and where it was made.
    fn origin(&self) -> (&'static str, Origin);
}

/// How a state with several sources takes what they leave for it.
pub(crate) trait Joint<T>: Send {
    /// The next value that this commit leads to; its parts belong together.
    fn next(&mut self, cause: (usize, u64), present: &T) -> Option<T>;

    /// Takes nothing more: the state has ended.
    fn close(&self);
}

/// The ties of one state, up and down.
pub(crate) struct Ties<T> {
    edges: Slab<Box<dyn Edge<T>>>,
    pub(crate) height: u32,
    /// What it is derived from.
    pub(crate) sources: Vec<Source>,
    /// How many of those have not ended.
    pub(crate) open: usize,
    pub(crate) joint: Option<Box<dyn Joint<T>>>,
}

impl<T> Ties<T> {
    /// Of a state that can be set.
    pub(crate) const fn new() -> Self {
        Self::derived(0, 0)
    }

    /// Of one that is derived from so many others.
    pub(crate) const fn derived(height: u32, open: usize) -> Self {
        Self {
            edges: Slab::new(),
            height,
            sources: Vec::new(),
            open,
            joint: None,
        }
    }

    pub(crate) fn is_derived(&self) -> bool {
        self.height > 0
    }

    pub(crate) fn join(&mut self, edge: Box<dyn Edge<T>>) -> Key {
        self.edges.join(edge)
    }

    pub(crate) fn leave(&mut self, key: Key) -> Option<Box<dyn Edge<T>>> {
        self.edges.leave(key)
    }

    pub(crate) fn edges(&self) -> impl Iterator<Item = &Box<dyn Edge<T>>> {
        self.edges.iter()
    }

    pub(crate) fn has_edges(&self) -> bool {
        !self.edges.is_empty()
    }

    /// Shows one transition to all that follow. Who is done with following is taken out.
    pub(crate) fn follow(
        &mut self,
        new: &T,
        flow: &mut Flow<'_>,
        left: &mut Vec<Box<dyn Edge<T>>>,
    ) {
        let mut next = self.edges.first();
        while let Some((key, edge)) = next {
            if !edge.follow(new, flow) {
                left.extend(self.edges.leave(key));
            }
            next = self.edges.after(key);
        }
    }

    /// The state has ended: nobody has anything to follow.
    pub(crate) fn end(&mut self) -> Vec<Box<dyn Edge<T>>> {
        self.edges.take_all()
    }
}
