//! The ways to fail, one small type each.

use core::error::Error;
use core::fmt;

macro_rules! message {
    ($type:ty, $self:ident => $message:expr) => {
        impl fmt::Display for $type {
            fn fmt(&$self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($message)
            }
        }

        impl Error for $type {}
    };
}

/// The watched value is gone: a watcher has drained all that happened, a wait will find no match any more.
///
/// # Examples
///
/// ```
/// use onlooker::{Closed, Watched};
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch();
/// drop(state);
/// assert_eq!(watcher.recv_blocking(), Err(Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Closed;

message!(Closed, self => "the watched value is gone, and nothing more will come of it");

/// Why [`try_recv`](crate::Watcher::try_recv) had nothing to give.
///
/// # Examples
///
/// ```
/// use onlooker::{TryRecvError, Watched};
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch();
/// assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
/// drop(state);
/// assert_eq!(watcher.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TryRecvError {
    /// Nothing has happened since; more may come.
    Empty,
    /// The watched value is gone; nothing more will come.
    Closed,
}

message!(TryRecvError, self => match self {
    TryRecvError::Empty => "no transition of the watched value is waiting",
    TryRecvError::Closed => "the watched value is gone, and nothing more will come of it",
});

/// The deadline came before the awaited value did.
///
/// # Examples
///
/// ```
/// use onlooker::{TimedOut, Watched};
/// use std::time::Duration;
///
/// let state = Watched::new("connecting");
/// let late = state.wait_for("connected").wait_timeout(Duration::from_millis(1));
/// assert_eq!(late, Err(TimedOut));
/// assert_eq!(TimedOut.to_string(), "timed out waiting for a watched value");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimedOut;

message!(TimedOut, self => "timed out waiting for a watched value");

/// Why there was nothing to give by the deadline, where the state may be gone as well.
///
/// # Examples
///
/// ```
/// use onlooker::{WaitError, Watched};
/// use std::time::Duration;
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch();
/// match watcher.recv_timeout(Duration::from_millis(1)) {
///     Ok(change) => println!("{} -> {}", change.old, change.new),
///     Err(WaitError::TimedOut) => println!("nothing yet"),
///     Err(WaitError::Closed) => println!("nothing ever again"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitError {
    /// Nothing happened in time; more may come.
    TimedOut,
    /// The watched value is gone; nothing more will come.
    Closed,
}

message!(WaitError, self => match self {
    WaitError::TimedOut => "timed out waiting for a watched value",
    WaitError::Closed => "the watched value is gone, without what was waited for",
});

/// Why [`watch_since`](crate::Watched::watch_since) cannot go on from a version: it is older than what is kept, or it
/// is still to come.
///
/// # Examples
///
/// ```
/// use onlooker::{Forgotten, Watched};
///
/// let state = Watched::with_history(0, 2);
/// (1..=5).for_each(|n| { state.set(n); });
/// assert_eq!(state.watch_since(1).unwrap_err(), Forgotten { oldest: Some(3) });
/// assert_eq!(*state.watch_since(3).unwrap().seen(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Forgotten {
    /// The smallest version that works; `None` where none is kept at all, on a derived view.
    pub oldest: Option<u64>,
}

impl fmt::Display for Forgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest {
            Some(oldest) => write!(
                f,
                "the history of the watched value does not hold that version, only those from {oldest} to the present one"
            ),
            None => f.write_str(
                "the watched value is derived from others and keeps no history; theirs may be kept",
            ),
        }
    }
}

impl Error for Forgotten {}

impl From<Closed> for TryRecvError {
    fn from(_: Closed) -> Self {
        TryRecvError::Closed
    }
}

impl From<Closed> for WaitError {
    fn from(_: Closed) -> Self {
        WaitError::Closed
    }
}

impl From<TimedOut> for WaitError {
    fn from(_: TimedOut) -> Self {
        WaitError::TimedOut
    }
}
