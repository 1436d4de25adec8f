//! What came before: the last values of a state, for who comes back or comes late.

use super::{Buffers, Outgoing, either, unbounded};
use crate::error::Forgotten;
use crate::sync::{Pieces, Slot, catch};
use alloc::collections::VecDeque;

/// The values before the present one, oldest first. Guarded by the state's lock.
pub(crate) struct History<T> {
    kept: usize,
    past: VecDeque<T>,
    /// Keeps the value that a commit replaces. A function, and not a method: where nothing is kept, a program has none of
    /// it.
    pub(super) keep: fn(&mut Self, old: &T, out: &mut Outgoing<'_, T>),
}

/// If the clone panics there would be a gap, so all is forgotten.
fn keep<T: Clone>(history: &mut History<T>, old: &T, out: &mut Outgoing<'_, T>) {
    let History { kept, past, .. } = history;
    match catch(|| old.clone()) {
        Ok(old) => past.push_back(old),
        Err(panic) => {
            out.trouble(panic);
            for value in past.drain(..) {
                out.discard(value);
            }
        }
    }
    if past.len() > *kept {
        if let Some(oldest) = past.pop_front() {
            out.discard(oldest);
        }
    }
}

impl<T> History<T> {
    pub(crate) fn new(kept: usize) -> Self
    where
        T: Clone,
    {
        Self {
            kept,
            past: VecDeque::new(),
            keep: keep::<T>,
        }
    }

    /// Drops the oldest value; `false` if there is none.
    pub(crate) fn discard(&mut self) -> bool {
        self.past.pop_front().is_some()
    }

    /// Puts the value at `version`, and all that came after it, into `past`, if that is kept. Runs `T`'s `Clone`.
    pub(crate) fn since(
        &self,
        version: u64,
        seq: u64,
        present: &T,
        past: &mut Past<T>,
    ) -> Result<(), Forgotten>
    where
        T: Clone,
    {
        let oldest = seq - self.past.len() as u64;
        if version < oldest || version > seq {
            return Err(Forgotten {
                oldest: Some(oldest),
            });
        }
        let at = (version - oldest) as usize;
        let mut values = self.past.iter().skip(at).chain([present]);
        past.seen.0 = values.next().cloned();
        let missed = (version + 1..).zip(values);
        either!(T, &mut past.missed, buffer => buffer.begin(missed));
        Ok(())
    }
}

/// What somebody is given who resumes.
pub(crate) struct Past<T> {
    pub(crate) seen: Slot<T>,
    pub(crate) missed: Buffers<T>,
}

impl<T> Past<T> {
    pub(crate) fn new() -> Self {
        Self {
            seen: Slot(None),
            missed: unbounded(),
        }
    }
}

/// Of a half of it, where the next clone has panicked: one by one.
impl<T> Drop for Past<T> {
    fn drop(&mut self) {
        let mut pieces = Pieces::new();
        let mut discard = || either!(T, &mut self.missed, buffer => buffer.discard());
        while pieces.run(&mut discard) != Some(false) {}
        pieces.end();
    }
}
