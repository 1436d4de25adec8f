//! The waits that need no code of the user but `T`'s own: *equal to*, *different from*, *any change*.
//!
//! They are judged inside the commit, under its lock. The targets of a kind lie side by side, so that a
//! transition that matches nobody costs one walk over plain memory.

use crate::ring::Wake;
use crate::roll::{Key, Roll};
use crate::sync::{Panic, catch};
use crate::transition::Transition;
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

enum Latch<T> {
    /// A transition is compared with it; a match latches it.
    Waiting,
    /// A value wait matched. Transitions pass it by; its waiter takes the value and leaves. The target that matched
    /// goes with it, so that it is not dropped under the lock.
    Value { found: T, target: T },
    /// A wait for any change has it. As above.
    Change(Transition<T>),
    /// `T`'s own code panicked over it. Its waiter takes the panic and leaves.
    Panicked { panic: Panic, target: Option<T> },
}

struct Pending<T> {
    group: Group,
    /// Where its target lies in its group, while it is `Waiting`.
    place: u32,
    waker: Option<Waker>,
    latch: Latch<T>,
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

/// What a wait learns when it asks. The rest is to be dropped where no lock is held.
pub(crate) enum Asked<T> {
    /// Not yet. The waker that was there before.
    Waiting {
        _before: Option<Waker>,
    },
    /// Decided; the place is given up.
    Value(T, Rest<T>),
    Change(Transition<T>, Rest<T>),
    Panicked(Panic, Rest<T>),
}

/// What is left of a wait that has left: wakers, its target, what it never asked for.
pub(crate) struct Rest<T> {
    _wakers: [Option<Waker>; 2],
    _target: Option<T>,
    _latch: Latch<T>,
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
        #[cfg(fault = "place_stale")]
        let moved = moved.and(None);
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
        let Some(clone) = self.clone else { return };
        let awake = woken.len();
        if let Some(find) = self.find_equal {
            self.offer_group(Group::Equal, find, clone, new, woken);
        }
        if let Some(find) = self.find_different {
            self.offer_group(Group::Differs, find, clone, new, woken);
        }
        while let Some(place) = self.change.len().checked_sub(1) {
            let change = catch(|| Transition {
                old: clone(old),
                new: clone(new),
                seq,
                missed: 0,
            });
            self.settle(Group::Change, place, woken, |_| match change {
                Ok(change) => Latch::Change(change),
                Err(panic) => Latch::Panicked {
                    panic,
                    target: None,
                },
            });
        }
        // Found from the last to the first, woken from the first to the last.
        if woken.len() > awake + 1 {
            woken.make_contiguous()[awake..].reverse();
        }
    }

    fn offer_group(
        &mut self,
        group: Group,
        find: Find<T>,
        clone: fn(&T) -> T,
        new: &T,
        woken: &mut VecDeque<Wake>,
    ) {
        let mut below = self.owners(group).len();
        while below > 0 {
            let Some(values) = self.values(group) else {
                return;
            };
            let found = match catch(|| find(values, new, &mut below)) {
                Ok(false) => return,
                Ok(true) => catch(|| clone(new)),
                Err(panic) => Err(panic),
            };
            // Its place is then the last one's, who has been judged already.
            self.settle(group, below, woken, |target| match (found, target) {
                (Ok(found), Some(target)) => Latch::Value { found, target },
                (Err(panic), target) => Latch::Panicked { panic, target },
                (Ok(_), None) => unreachable!("a value wait has a target"),
            });
        }
    }

    fn settle(
        &mut self,
        group: Group,
        place: usize,
        woken: &mut VecDeque<Wake>,
        latch: impl FnOnce(Option<T>) -> Latch<T>,
    ) {
        let index = self.owners(group)[place];
        let target = self.withdraw(group, place);
        if let Some(pending) = self.pending.at(index) {
            pending.latch = latch(target);
            #[cfg(not(fault = "silent_latch"))]
            woken.extend(pending.waker.take().map(Wake::Task));
        }
    }

    /// A wait asks for its result; while there is none, `waker` is who to wake.
    pub(crate) fn ask(&mut self, key: Key, waker: Waker) -> Option<Asked<T>> {
        let pending = self.pending.get(key)?;
        if let Latch::Waiting = pending.latch {
            return Some(Asked::Waiting {
                _before: pending.waker.replace(waker),
            });
        }
        let Pending {
            waker: before,
            latch,
            ..
        } = self.pending.leave(key)?;
        let rest = |target| Rest {
            _wakers: [Some(waker), before],
            _target: target,
            _latch: Latch::Waiting,
        };
        Some(match latch {
            Latch::Value { found, target } => Asked::Value(found, rest(Some(target))),
            Latch::Change(change) => Asked::Change(change, rest(None)),
            Latch::Panicked { panic, target } => Asked::Panicked(panic, rest(target)),
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
        } = self.pending.leave(key)?;
        let target = match latch {
            Latch::Waiting => self.withdraw(group, place as usize),
            _ => None,
        };
        Some(Rest {
            _wakers: [waker, None],
            _target: target,
            _latch: latch,
        })
    }
}
