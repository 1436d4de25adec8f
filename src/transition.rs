//! One change of a watched value.

use crate::sync::Slot;

/// One change of a watched value: what it was, what it became, and where it stands in the one order of changes.
///
/// # Examples
///
/// ```
/// use onlooker::Watched;
///
/// let state = Watched::new("closed");
/// let mut watcher = state.watch();
/// state.set("open");
/// let opened = watcher.try_recv().unwrap();
/// assert_eq!((opened.old, opened.new, opened.seq, opened.missed), ("closed", "open", 1, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transition<T> {
    /// The value before. For a watcher: the value it saw last, which is the same thing where nothing was missed.
    pub old: T,
    /// The value after.
    pub new: T,
    /// Counts the transitions of the state; the first one is 1.
    pub seq: u64,
    /// How many transitions this watcher lost between `old` and `new`. Always 0 on an unbounded watcher, in a
    /// callback and from `wait_for_change`.
    pub missed: u64,
}

impl<T> Transition<T> {
    /// Both values, each to be dropped by itself.
    pub(crate) fn apart(self) -> (Slot<T>, Slot<T>) {
        (Slot(Some(self.old)), Slot(Some(self.new)))
    }
}
