//! Who observes, in the order they came: joining, leaving and stepping to the next cost O(1).

use alloc::vec::Vec;

/// A place in a [`Roll`]. The number tells a place from its later tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    number: u64,
}

const END: u32 = u32::MAX;

struct Slot<V> {
    number: u64,
    previous: u32,
    /// The next in order, or the next free slot while `value` is `None`.
    next: u32,
    value: Option<V>,
}

/// A slab whose tenants are linked in the order they joined.
///
/// **Its one cursor survives a leave:** whoever it points at leaves it pointing at the next.
pub(crate) struct Roll<V> {
    slots: Vec<Slot<V>>,
    first: u32,
    last: u32,
    free: u32,
    len: u32,
    joined: u64,
    cursor: u32,
}

impl<V> Roll<V> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            first: END,
            last: END,
            free: END,
            len: 0,
            joined: 0,
            cursor: END,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn join(&mut self, value: V) -> Key {
        self.joined += 1;
        let number = self.joined;
        let slot = Slot {
            number,
            previous: self.last,
            next: END,
            value: Some(value),
        };
        let index = if self.free == END {
            assert!(
                self.slots.len() < END as usize,
                "onlooker: too many observers"
            );
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.slots[index as usize].next;
            self.slots[index as usize] = slot;
            index
        };
        match self.last {
            END => self.first = index,
            last => self.slots[last as usize].next = index,
        }
        self.last = index;
        self.len += 1;
        Key { index, number }
    }

    /// Gives the value back, so that it can be dropped where no lock is held.
    pub(crate) fn leave(&mut self, key: Key) -> Option<V> {
        self.get(key)?;
        let slot = &mut self.slots[key.index as usize];
        let (previous, next) = (slot.previous, slot.next);
        let value = slot.value.take();
        slot.next = self.free;
        self.free = key.index;
        match previous {
            END => self.first = next,
            previous => self.slots[previous as usize].next = next,
        }
        match next {
            END => self.last = previous,
            next => self.slots[next as usize].previous = previous,
        }
        if self.cursor == key.index {
            self.cursor = next;
        }
        self.len -= 1;
        if self.len == 0 && self.slots.len() > 64 {
            self.slots = Vec::new();
            self.free = END;
        }
        value
    }

    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut V> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.number == key.number || cfg!(fault = "place_reused") {
            slot.value.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn rewind(&mut self) {
        self.cursor = self.first;
    }

    /// The tenant under the cursor, which moves on.
    #[inline]
    pub(crate) fn advance(&mut self) -> Option<(Key, &mut V)> {
        let index = self.cursor;
        let slot = self.slots.get_mut(index as usize)?;
        self.cursor = slot.next;
        let key = Key {
            index,
            number: slot.number,
        };
        slot.value.as_mut().map(|value| (key, value))
    }

    /// Empties the roll; the tenants come back in order.
    pub(crate) fn take_all(&mut self) -> Vec<V> {
        let mut all = Vec::with_capacity(self.len());
        self.rewind();
        while let Some((key, _)) = self.advance() {
            all.extend(self.leave(key));
        }
        all
    }
}
