//! Who observes, in the order they came.

use alloc::vec::Vec;

/// A place in a [`Slab`]. The number tells a tenant from every other, earlier or later. Twelve bytes, not sixteen: whoever
/// holds one has a flag or two beside it.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))]
pub(crate) struct Key {
    number: u64,
    /// Where it sat when it joined. It moves only towards the front, when gaps are closed.
    hint: u32,
}

impl Key {
    /// Of one that has no place of its own.
    pub(crate) const NOBODY: Self = Self {
        number: u64::MAX,
        hint: u32::MAX,
    };

    /// Where it sits if it has only just joined, or is about to.
    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.hint
    }
}

impl PartialEq for Key {
    /// The hint may be an old one.
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

struct Slot<V> {
    number: u64,
    /// `None`: it has left.
    value: Option<V>,
}

/// A list of tenants, sorted by the number each got when it joined. Who leaves leaves a gap; as soon as more than half
/// are gaps they are closed. So joining and leaving cost O(1) on average, a walk goes over plain memory in the order of
/// joining, and memory comes back wherever those who stay happen to sit.
pub(crate) struct Slab<V> {
    slots: Vec<Slot<V>>,
    /// Slots before this one are gaps.
    head: u32,
    live: u32,
    joined: u64,
}

/// Makes room for one more: most states have an observer or two, and those with many have a quarter to spare at most.
#[inline]
pub(crate) fn make_room<V>(list: &mut Vec<V>) {
    #[cold]
    fn grow<V>(list: &mut Vec<V>) {
        list.reserve_exact(list.len() / 4 + 1);
    }

    if list.len() == list.capacity() {
        grow(list);
    }
}

/// Fewer gaps than this are not worth closing.
const FEW: usize = 32;

impl<V> Slab<V> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            head: 0,
            live: 0,
            joined: 0,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.live as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The key that the next one to join will have.
    #[inline]
    pub(crate) fn next_key(&self) -> Key {
        Key {
            number: self.joined,
            hint: self.slots.len() as u32,
        }
    }

    #[inline]
    pub(crate) fn join(&mut self, value: V) -> Key {
        self.join_with(|| value)
    }

    /// The same of what `make` makes, in its place: one that is made before and moved there costs more than the rest.
    #[inline]
    pub(crate) fn join_with(&mut self, make: impl FnOnce() -> V) -> Key {
        assert!(
            self.slots.len() < u32::MAX as usize,
            "onlooker: a state has 4,294,967,295 observers of one kind, which is all there can be; drop those that nobody needs"
        );
        let key = self.next_key();
        make_room(&mut self.slots);
        self.slots.extend(core::iter::once_with(|| Slot {
            number: key.number,
            value: Some(make()),
        }));
        self.joined += 1;
        self.live += 1;
        key
    }

    #[inline]
    fn find(&self, key: Key) -> Option<usize> {
        let hint = key.hint as usize;
        match self.slots.get(hint) {
            Some(slot) if slot.number == key.number => Some(hint),
            _ => self.search(key),
        }
    }

    #[cold]
    fn search(&self, key: Key) -> Option<usize> {
        let before = &self.slots[..self.slots.len().min(key.hint as usize)];
        before
            .binary_search_by_key(&{ key.number }, |slot| slot.number)
            .ok()
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut V> {
        let at = self.find(key)?;
        self.slots[at].value.as_mut()
    }

    /// Who sits at an index that was had under this same lock.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> Option<&mut V> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// Gives the value back, so that it can be dropped where no lock is held.
    #[inline]
    pub(crate) fn leave(&mut self, key: Key) -> Option<V> {
        let at = self.find(key)?;
        let value = self.slots[at].value.take()?;
        self.left();
        Some(value)
    }

    /// Frees the place of one of whom nothing is left; says whether gaps were closed, so that others sit elsewhere now.
    #[inline]
    pub(crate) fn vacate(&mut self, key: Key) -> bool {
        let Some(at) = self.find(key) else {
            return false;
        };
        // Nothing to drop: that would be looked for.
        core::mem::forget(self.slots[at].value.take());
        self.left()
    }

    /// One less; says whether gaps were closed.
    #[inline]
    fn left(&mut self) -> bool {
        self.live -= 1;
        // Those who come and go leave no gap behind. (Nothing in a gap is dropped: that would be looked for.)
        while let Some(Slot { value: None, .. }) = self.slots.last() {
            core::mem::forget(self.slots.pop());
        }
        while let Some(Slot { value: None, .. }) = self.slots.get(self.head as usize) {
            self.head += 1;
        }
        self.head = self.head.min(self.slots.len() as u32);
        let closes = self.slots.len() > FEW.max(2 * self.len());
        if closes || self.slots.capacity() > FEW.max(4 * self.slots.len()) {
            self.tidy(closes);
        }
        closes
    }

    #[cold]
    fn tidy(&mut self, closes: bool) {
        if closes {
            self.slots.retain(|slot| slot.value.is_some());
            self.head = 0;
        }
        if self.slots.capacity() > FEW.max(4 * self.slots.len()) {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &V> {
        let slots = self.slots.get(self.head as usize..).unwrap_or_default();
        slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    #[inline]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let slots = self.slots.get_mut(self.head as usize..).unwrap_or_default();
        slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    /// Who came first of those who are here.
    #[inline]
    pub(crate) fn first(&mut self) -> Option<(Key, &mut V)> {
        self.from(0)
    }

    /// Who came first after this one, which may have left.
    pub(crate) fn after(&mut self, key: Key) -> Option<(Key, &mut V)> {
        let at = match self.slots.get(key.hint as usize) {
            Some(slot) if slot.number == key.number => key.hint as usize + 1,
            _ => self.slots.partition_point(|slot| slot.number <= key.number),
        };
        self.from(at)
    }

    #[inline]
    fn from(&mut self, at: usize) -> Option<(Key, &mut V)> {
        let at = at.max(self.head as usize);
        let rest = self.slots.get_mut(at..)?.iter_mut().enumerate();
        for (index, Slot { number, value }) in rest {
            if let Some(value) = value {
                let key = Key {
                    number: *number,
                    hint: (at + index) as u32,
                };
                return Some((key, value));
            }
        }
        None
    }

    /// Empties it; the tenants come back in order.
    pub(crate) fn take_all(&mut self) -> Vec<V> {
        self.live = 0;
        self.head = 0;
        core::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|slot| slot.value)
            .collect()
    }
}
