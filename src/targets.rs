//! The waits that need no code of the user but `T`'s own: *equal to*, *different from*, *any change*.
//!
//! They are judged inside the commit, under its lock. The targets of a kind lie side by side, so that a
//! transition that matches nobody costs one walk over plain memory.

use crate::ring::Wake;
use crate::roll::{Key, Roll};
use crate::sync::{Panic, catch};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;

/// What a value wait waits for.
pub(crate) enum Target<T> {
    Equal(T),
    Differs(T),
    Change,
}

#[derive(Clone, Copy)]
enum Group {
    Equal,
    Differs,
    Change,
}

/// What a wait holds once it is decided.
pub(crate) struct Match<T> {
    pub(crate) value: T,
    /// What the state was before; only a wait for any change asks.
    pub(crate) old: Option<T>,
    pub(crate) seq: u64,
}

enum Latch<T> {
    /// A transition is compared with it; a match latches it.
    Waiting,
    /// Transitions pass it by. Its waiter takes the match and leaves.
    Matched(Match<T>),
    /// `T`'s own code panicked over it. Its waiter takes the panic and leaves.
    Panicked(Panic),
}

struct Pending<T> {
    group: Group,
    /// Where its target lies in its group, while it is `Waiting`.
    place: u32,
    waker: Option<Waker>,
    latch: Latch<T>,
    /// The target, once it is out of its group: dropped with the wait, never under the lock.
    spent: Option<T>,
}

/// The targets of one kind, and beside each the wait it belongs to.
struct Dense<T> {
    values: Vec<T>,
    owners: Vec<u32>,
}

impl<T> Dense<T> {
    const fn new() -> Self {
        Self {
            values: Vec::new(),
            owners: Vec::new(),
        }
    }
}

/// Finds, walking down from `below`, the next target that matches; `below` is then its place.
/// A panic of `T`'s `PartialEq` leaves `below` at the place of the one that panicked.
type Find<T> = fn(&[T], &T, below: &mut usize) -> bool;

fn find_equal<T: PartialEq>(targets: &[T], new: &T, below: &mut usize) -> bool {
    while *below > 0 {
        *below -= 1;
        if targets[*below] == *new {
            return true;
        }
    }
    false
}

fn find_different<T: PartialEq>(targets: &[T], new: &T, below: &mut usize) -> bool {
    while *below > 0 {
        *below -= 1;
        if targets[*below] != *new {
            return true;
        }
    }
    false
}

pub(crate) struct Targets<T> {
    pending: Roll<Pending<T>>,
    equal: Dense<T>,
    differs: Dense<T>,
    /// The waits for any change.
    change: Vec<u32>,
    // `T`'s own code, as the waits brought it: the writers do not ask for these bounds.
    find_equal: Option<Find<T>>,
    find_different: Option<Find<T>>,
    clone: Option<fn(&T) -> T>,
}

/// What a wait learns when it asks.
pub(crate) enum Asked<T> {
    /// Not yet. The waker that was there before comes back, to be dropped where no lock is held.
    Waiting {
        _replaced: Option<Waker>,
    },
    /// Decided; the place is given up. `_rest` is dropped where no lock is held.
    Matched {
        found: Match<T>,
        _rest: Rest<T>,
    },
    Panicked {
        panic: Panic,
        _rest: Rest<T>,
    },
}

/// What is left of a wait that has left.
pub(crate) struct Rest<T> {
    _waker: Option<Waker>,
    _target: Option<T>,
    _found: Option<Match<T>>,
    _panic: Option<Panic>,
}

impl<T> Targets<T> {
    pub(crate) const fn new() -> Self {
        Self {
            pending: Roll::new(),
            equal: Dense::new(),
            differs: Dense::new(),
            change: Vec::new(),
            find_equal: None,
            find_different: None,
            clone: None,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn join_value(&mut self, target: Target<T>) -> Key
    where
        T: Clone + PartialEq,
    {
        self.find_equal = Some(find_equal::<T>);
        self.find_different = Some(find_different::<T>);
        self.join(target)
    }

    pub(crate) fn join_change(&mut self) -> Key
    where
        T: Clone,
    {
        self.join(Target::Change)
    }

    fn join(&mut self, target: Target<T>) -> Key
    where
        T: Clone,
    {
        self.clone = Some(T::clone);
        let (group, place, value) = match target {
            Target::Equal(value) => (Group::Equal, self.equal.owners.len(), Some(value)),
            Target::Differs(value) => (Group::Differs, self.differs.owners.len(), Some(value)),
            Target::Change => (Group::Change, self.change.len(), None),
        };
        let key = self.pending.join(Pending {
            group,
            place: place as u32,
            waker: None,
            latch: Latch::Waiting,
            spent: None,
        });
        self.owners(group).push(key.index());
        if let (Some(values), Some(value)) = (self.values(group), value) {
            values.push(value);
        }
        key
    }

    fn owners(&mut self, group: Group) -> &mut Vec<u32> {
        match group {
            Group::Equal => &mut self.equal.owners,
            Group::Differs => &mut self.differs.owners,
            Group::Change => &mut self.change,
        }
    }

    fn values(&mut self, group: Group) -> Option<&mut Vec<T>> {
        match group {
            Group::Equal => Some(&mut self.equal.values),
            Group::Differs => Some(&mut self.differs.values),
            Group::Change => None,
        }
    }

    /// Takes a target out of its group. The last one of the group moves into its place.
    fn withdraw(&mut self, group: Group, place: usize) -> Option<T> {
        let owners = self.owners(group);
        owners.swap_remove(place);
        let moved = owners.get(place).copied();
        let many = owners.capacity() > 64 && owners.len() < owners.capacity() / 4;
        if many {
            owners.shrink_to(owners.len() * 2);
        }
        if let Some(moved) = moved.and_then(|index| self.pending.at(index)) {
            moved.place = place as u32;
        }
        let values = self.values(group)?;
        let value = values.swap_remove(place);
        if many {
            values.shrink_to(values.len() * 2);
        }
        Some(value)
    }

    /// Shows one transition to every wait. Called inside the commit; runs `T`'s `PartialEq` and `Clone`.
    pub(crate) fn offer(&mut self, seq: u64, old: &T, new: &T, woken: &mut VecDeque<Wake>) {
        if let Some(find) = self.find_equal {
            self.offer_group(Group::Equal, find, seq, new, woken);
        }
        if let Some(find) = self.find_different {
            self.offer_group(Group::Differs, find, seq, new, woken);
        }
        while let Some(place) = self.change.len().checked_sub(1) {
            let Some(clone) = self.clone else { return };
            let latch = catch(|| Match {
                value: clone(new),
                old: Some(clone(old)),
                seq,
            });
            self.settle(Group::Change, place, latch, woken);
        }
    }

    fn offer_group(
        &mut self,
        group: Group,
        find: Find<T>,
        seq: u64,
        new: &T,
        woken: &mut VecDeque<Wake>,
    ) {
        let Some(clone) = self.clone else { return };
        let mut below = self.owners(group).len();
        while below > 0 {
            let Some(values) = self.values(group) else {
                return;
            };
            let latch = match catch(|| find(values, new, &mut below)) {
                Ok(false) => return,
                Ok(true) => catch(|| Match {
                    value: clone(new),
                    old: None,
                    seq,
                }),
                Err(panic) => Err(panic),
            };
            // The place is then the last one's, who has been judged already.
            self.settle(group, below, latch, woken);
        }
    }

    fn settle(
        &mut self,
        group: Group,
        place: usize,
        latch: Result<Match<T>, Panic>,
        woken: &mut VecDeque<Wake>,
    ) {
        let index = self.owners(group)[place];
        let spent = self.withdraw(group, place);
        if let Some(pending) = self.pending.at(index) {
            pending.spent = spent;
            pending.latch = match latch {
                Ok(found) => Latch::Matched(found),
                Err(panic) => Latch::Panicked(panic),
            };
            woken.extend(pending.waker.take().map(Wake::Task));
        }
    }

    /// A wait asks for its result; while there is none, `waker` is who to wake.
    pub(crate) fn ask(&mut self, key: Key, waker: Waker) -> Option<Asked<T>> {
        let pending = self.pending.get(key)?;
        if let Latch::Waiting = pending.latch {
            return Some(Asked::Waiting {
                _replaced: pending.waker.replace(waker),
            });
        }
        let Pending {
            waker: old_waker,
            latch,
            spent,
            ..
        } = self.pending.leave(key)?;
        let rest = Rest {
            _waker: Some(waker).or(old_waker),
            _target: spent,
            _found: None,
            _panic: None,
        };
        Some(match latch {
            Latch::Matched(found) => Asked::Matched { found, _rest: rest },
            Latch::Panicked(panic) => Asked::Panicked { panic, _rest: rest },
            Latch::Waiting => unreachable!("a waiting wait was answered above"),
        })
    }

    /// A wait leaves, decided or not. What it held comes back.
    pub(crate) fn leave(&mut self, key: Key) -> Option<Rest<T>> {
        let Pending {
            group,
            place,
            waker,
            latch,
            spent,
        } = self.pending.leave(key)?;
        let (target, found, panic) = match latch {
            Latch::Waiting => (self.withdraw(group, place as usize), None, None),
            Latch::Matched(found) => (spent, Some(found), None),
            Latch::Panicked(panic) => (spent, None, Some(panic)),
        };
        Some(Rest {
            _waker: waker,
            _target: target,
            _found: found,
            _panic: panic,
        })
    }
}
