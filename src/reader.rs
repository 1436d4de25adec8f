//! A cached view of the value.

use crate::cell::{Cell, Shared};
use crate::sync::Arc;
use core::fmt;

/// A cached view for hot loops: reads the value again only when its version has moved.
///
/// Made by [`Watched::reader`](crate::Watched::reader). It shows the present value, not every transition.
///
/// # Examples
///
/// ```
/// use onlooker::Watched;
///
/// let limit = Watched::new(10);
/// let mut reader = limit.reader();
/// assert_eq!(*reader.get(), 10);
/// limit.set(20);
/// assert_eq!(*reader.get(), 20);
/// ```
pub struct Reader<'a, T> {
    face: Face<'a, T>,
    version: u64,
    value: T,
}

/// Where it reads.
pub(crate) enum Face<'a, T> {
    Watched(&'a Cell<T>),
    View(&'a Arc<Shared<T>>),
}

impl<T: Clone> Face<'_, T> {
    #[inline]
    fn version(&self) -> u64 {
        match self {
            Face::Watched(cell) => cell.version(),
            Face::View(shared) => shared.version(),
        }
    }

    /// The value, and a version that is no younger: one that came between is seen the next time.
    #[track_caller]
    fn read(&self) -> (u64, T) {
        let version = self.version();
        let value = match self {
            Face::Watched(cell) => cell.read(T::clone),
            Face::View(shared) => shared.read(T::clone),
        };
        (version, value)
    }
}

impl<'a, T: Clone> Reader<'a, T> {
    #[track_caller]
    pub(crate) fn new(face: Face<'a, T>) -> Self {
        let (version, value) = face.read();
        Self {
            face,
            version,
            value,
        }
    }

    /// Returns the present value. Costs one atomic load while nothing changed (on targets without 64-bit atomics, one
    /// lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let state = onlooker::Watched::new(String::from("a"));
    /// let mut reader = state.reader();
    /// state.set("b".into());
    /// assert_eq!(reader.get(), "b");
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&mut self) -> &T {
        if self.face.version() != self.version {
            self.renew();
        }
        &self.value
    }

    #[cold]
    #[track_caller]
    fn renew(&mut self) {
        (self.version, self.value) = self.face.read();
    }
}

impl<T: fmt::Debug> fmt::Debug for Reader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}
