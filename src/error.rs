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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Closed;

message!(Closed, self => "the watched value is gone and every transition was received");

/// Why [`try_recv`](crate::Watcher::try_recv) had nothing to give.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimedOut;

message!(TimedOut, self => "timed out waiting for a watched value");

/// Why [`recv_timeout`](crate::Watcher::recv_timeout) had nothing to give.
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
