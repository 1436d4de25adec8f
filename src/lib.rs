//! Wait on shared state and miss nothing: *did it ever become what you want?*
//!
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// In the order a value travels.
mod watched;

mod cell;
mod delivery;

mod callback;
mod paced;
mod ring;
mod targets;
mod wait;

mod watcher;

// Beside them.
mod error;
mod park;
mod reader;
mod roll;
mod sync;
mod timer;
mod transition;

pub use callback::Callback;
pub use error::{Closed, RecvTimeoutError, TimedOut, TryRecvError};
pub use paced::SetPaced;
pub use reader::Reader;
pub use ring::Overflow;
#[cfg(feature = "async-std")]
pub use timer::AsyncStd;
#[cfg(feature = "embassy")]
pub use timer::Embassy;
#[cfg(feature = "smol")]
pub use timer::Smol;
#[cfg(feature = "tokio")]
pub use timer::Tokio;
pub use timer::{Timer, Until};
pub use transition::Transition;
pub use wait::Wait;
pub use watched::Watched;
pub use watcher::{Recv, Seek, Watcher};
