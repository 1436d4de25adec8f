//! The waits that need no code of the user but `T`'s own: *equal to*, *different from*, *any change*.
//!
//! They are judged inside the commit, under its lock. The targets of a kind lie side by side, so that a
//! transition that matches nobody costs one walk over plain memory.

use crate::ring::Wake;
use crate::sync::{Panic, catch};
use crate::transition::Transition;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;

/// Where a value wait sits. It is the wait's alone until it leaves.
#[derive(Clone, Copy)]
pub(crate) struct Slot(u32);

/// What a wait waits for: a value equal to its target, one that differs, any change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Equal,
    Differs,
    Change,
}

/// What a wait found. The target that matched goes with it, so that it is not dropped under the lock.
pub(crate) enum Found<T> {
    Value {
        found: T,
        _target: T,
    },
    Change(Transition<T>),
    /// `T`'s own code panicked over it.
    Panicked {
        panic: Panic,
        _target: Option<T>,
    },
}

impl<T> Found<T> {
    /// The value that a value wait found.
    pub(crate) fn value(self) -> Result<T, Panic> {
        match self {
            Found::Value { found, .. } => Ok(found),
            Found::Panicked { panic, .. } => Err(panic),
            Found::Change(_) => unreachable!("a wait for a value finds a value"),
        }
    }

    /// The transition that a wait for any change found.
    pub(crate) fn change(self) -> Result<Transition<T>, Panic> {
        match self {
            Found::Change(change) => Ok(change),
            Found::Panicked { panic, .. } => Err(panic),
            Found::Value { .. } => unreachable!("a wait for a change finds a change"),
        }
    }
}

enum Desk<T> {
    /// Transitions are compared with its target, which lies at `place` in its group.
    Waiting {
        group: Group,
        place: u32,
        waker: Option<Waker>,
    },
    /// Latched: transitions pass it by; its waiter takes it and leaves.
    Decided(Found<T>),
    Free {
        next: u32,
    },
}

/// The waits, each at a desk that it keeps.
struct Desks<T> {
    desks: Vec<Desk<T>>,
    free: u32,
    taken: usize,
}

const NONE: u32 = u32::MAX;

impl<T> Desks<T> {
    const fn new() -> Self {
        Self {
            desks: Vec::new(),
            free: NONE,
            taken: 0,
        }
    }

    #[inline]
    fn join(&mut self, group: Group, place: usize) -> Slot {
        let waiting = Desk::Waiting {
            group,
            place: place as u32,
            waker: None,
        };
        self.taken += 1;
        let slot = self.free;
        if let Some(desk) = self.desks.get_mut(slot as usize) {
            if let Desk::Free { next } = *desk {
                self.free = next;
            }
            *desk = waiting;
            return Slot(slot);
        }
        let slot = self.desks.len();
        assert!(slot < NONE as usize, "onlooker: too many waits");
        self.desks.push(waiting);
        Slot(slot as u32)
    }

    #[inline]
    fn leave(&mut self, Slot(slot): Slot) -> Desk<T> {
        let free = Desk::Free { next: self.free };
        let Some(desk) = self.desks.get_mut(slot as usize) else {
            return free;
        };
        let left = core::mem::replace(desk, free);
        self.free = slot;
        self.taken -= 1;
        if self.taken == 0 && self.desks.len() > 64 {
            self.desks = Vec::new();
            self.free = NONE;
        }
        left
    }
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
    desks: Desks<T>,
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
    Waiting,
    /// Not decided either, and its waker is not the one that is known.
    Stranger,
    /// Its desk is given up.
    Decided(Found<T>),
}

/// What is left of a wait that has left, to be dropped where no lock is held.
#[expect(dead_code, reason = "held to be dropped")]
pub(crate) enum Rest<T> {
    Waiting(Option<Waker>, Option<T>),
    Decided(Found<T>),
    Nothing,
}

impl<T> Targets<T> {
    pub(crate) const fn new() -> Self {
        Self {
            desks: Desks::new(),
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
        self.desks.taken == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.desks.taken
    }

    /// `group` is `Equal` or `Differs`.
    #[inline]
    pub(crate) fn join_value(&mut self, group: Group, value: T) -> Slot
    where
        T: Clone + PartialEq,
    {
        if self.find_equal.is_none() {
            self.find_equal = Some(find_equal::<T>);
            self.find_different = Some(find_different::<T>);
            self.clone = Some(T::clone);
        }
        let dense = match group {
            Group::Differs => &mut self.differs,
            _ => &mut self.equal,
        };
        let slot = self.desks.join(group, dense.owners.len());
        dense.owners.push(slot.0);
        dense.values.push(value);
        slot
    }

    pub(crate) fn join_change(&mut self) -> Slot
    where
        T: Clone,
    {
        self.clone = Some(T::clone);
        let slot = self.desks.join(Group::Change, self.change.len());
        self.change.push(slot.0);
        slot
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
        let moved = moved.and(None::<u32>);
        let many = owners.capacity() > 64 && owners.len() < owners.capacity() / 4;
        if many {
            owners.shrink_to(owners.len() * 2);
        }
        let moved = moved.and_then(|slot| self.desks.desks.get_mut(slot as usize));
        if let Some(Desk::Waiting { place: at, .. }) = moved {
            *at = place as u32;
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
                Ok(change) => Found::Change(change),
                Err(panic) => Found::Panicked {
                    panic,
                    _target: None,
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
                (Ok(found), Some(target)) => Found::Value {
                    found,
                    _target: target,
                },
                (Err(panic), target) => Found::Panicked {
                    panic,
                    _target: target,
                },
                (Ok(_), None) => unreachable!("a value wait has a target"),
            });
        }
    }

    fn settle(
        &mut self,
        group: Group,
        place: usize,
        woken: &mut VecDeque<Wake>,
        find: impl FnOnce(Option<T>) -> Found<T>,
    ) {
        let slot = self.owners(group)[place];
        let target = self.withdraw(group, place);
        if let Some(desk) = self.desks.desks.get_mut(slot as usize) {
            let before = core::mem::replace(desk, Desk::Decided(find(target)));
            if let Desk::Waiting {
                waker: Some(waker), ..
            } = before
            {
                #[cfg(not(fault = "silent_latch"))]
                woken.push_back(Wake::Task(waker));
            }
        }
    }

    /// A wait asks for its result. While there is none, `sleeper` is who to wake, and whoever was before comes back
    /// in it; without a `sleeper` it is whoever is known, if that is `waker`.
    pub(crate) fn ask(
        &mut self,
        slot: Slot,
        waker: &Waker,
        sleeper: &mut Option<Waker>,
    ) -> Asked<T> {
        match self.desks.desks.get_mut(slot.0 as usize) {
            Some(Desk::Waiting { waker: known, .. }) => {
                if sleeper.is_some() {
                    core::mem::swap(known, sleeper);
                } else if !known.as_ref().is_some_and(|known| known.will_wake(waker))
                    && !cfg!(fault = "first_waker_stays")
                {
                    return Asked::Stranger;
                }
                Asked::Waiting
            }
            _ => match self.desks.leave(slot) {
                Desk::Decided(found) => Asked::Decided(found),
                _ => unreachable!("a value wait keeps its desk until it leaves"),
            },
        }
    }

    /// A wait leaves, decided or not. What it held comes back.
    #[inline]
    pub(crate) fn leave(&mut self, slot: Slot) -> Rest<T> {
        match self.desks.leave(slot) {
            Desk::Waiting {
                group,
                place,
                waker,
            } => Rest::Waiting(waker, self.withdraw(group, place as usize)),
            Desk::Decided(found) => Rest::Decided(found),
            Desk::Free { .. } => Rest::Nothing,
        }
    }
}
