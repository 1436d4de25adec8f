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

/// The watched value is gone, and its watcher has drained all that happened.
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

message!(Closed, self => "the watched value is gone and every transition was received");

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
    TryRecvError::Closed => "the watched value is gone and every transition was received",
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

/// Why [`recv_timeout`](crate::Watcher::recv_timeout) had nothing to give.
///
/// # Examples
///
/// ```
/// use onlooker::{RecvTimeoutError, Watched};
/// use std::time::Duration;
///
/// let state = Watched::new(0);
/// let mut watcher = state.watch();
/// match watcher.recv_timeout(Duration::from_millis(1)) {
///     Ok(change) => println!("{} -> {}", change.old, change.new),
///     Err(RecvTimeoutError::TimedOut) => println!("nothing yet"),
///     Err(RecvTimeoutError::Closed) => println!("nothing ever again"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecvTimeoutError {
    /// Nothing happened in time; more may come.
    TimedOut,
    /// The watched value is gone; nothing more will come.
    Closed,
}

message!(RecvTimeoutError, self => match self {
    RecvTimeoutError::TimedOut => "timed out waiting for a transition of the watched value",
    RecvTimeoutError::Closed => "the watched value is gone and every transition was received",
});

impl From<Closed> for TryRecvError {
    fn from(_: Closed) -> Self {
        TryRecvError::Closed
    }
}

impl From<Closed> for RecvTimeoutError {
    fn from(_: Closed) -> Self {
        RecvTimeoutError::Closed
    }
}

impl From<TimedOut> for RecvTimeoutError {
    fn from(_: TimedOut) -> Self {
        RecvTimeoutError::TimedOut
    }
}
