//! A cached view of the value.

use crate::cell::Cell;
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
    cell: &'a Cell<T>,
    version: u64,
    value: T,
}

impl<'a, T: Clone> Reader<'a, T> {
    pub(crate) fn new(cell: &'a Cell<T>) -> Self {
        let (value, version) = cell.with(|state| (state.value().clone(), state.seq));
        Self {
            cell,
            version,
            value,
        }
    }

    /// The present value. Costs one atomic load while nothing changed (on targets without 64-bit atomics, one lock).
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
    pub fn get(&mut self) -> &T {
        if self.cell.version() != self.version && !cfg!(fault = "stale_reader") {
            self.renew();
        }
        &self.value
    }

    #[cold]
    fn renew(&mut self) {
        let (value, version) = self.cell.with(|state| (state.value().clone(), state.seq));
        self.version = version;
        self.value = value;
    }
}

impl<T> fmt::Debug for Reader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
