//! Who waits for room, in the order they came.

use super::Origin;
use crate::slab::{Key, Slab};
use core::task::Waker;

/// The paced setters in line. Guarded by the state's lock.
///
/// **Only the first in line may set; whoever makes room calls the first, and a first that leaves calls the next.**
/// (Models `paced_*`.)
pub(crate) struct Line {
    places: Slab<Place>,
}

pub(crate) struct Place {
    pub(crate) waker: Option<Waker>,
    pub(crate) origin: Origin,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            places: Slab::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    pub(crate) fn join(&mut self, place: Place) -> Key {
        self.places.join(place)
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<&mut Place> {
        self.places.get(key)
    }

    /// The first one's waker, to be woken where no lock is held.
    pub(crate) fn call_first(&mut self) -> Option<Waker> {
        self.places
            .first()
            .and_then(|(_, place)| place.waker.take())
    }

    /// Gives up a place, with the waker in it. If that was the first, the next one is called: its waker too.
    pub(crate) fn leave(&mut self, key: Key) -> (Option<Waker>, Option<Waker>) {
        let first = self.is_first(Some(key));
        let own = self.places.leave(key).and_then(|place| place.waker);
        (own, if first { self.call_first() } else { None })
    }

    /// Whether it is the turn of who has this place, or, without one, nobody stands in line.
    pub(crate) fn is_first(&mut self, key: Option<Key>) -> bool {
        match (self.places.first(), key) {
            (None, _) => true,
            (Some((first, _)), Some(key)) => first == key,
            (Some(_), None) => false,
        }
    }

    pub(crate) fn take_all(&mut self) -> alloc::vec::Vec<Place> {
        self.places.take_all()
    }
}
