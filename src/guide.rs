//! Guides, a page each: what to reach for, and what to mind.
//!
//! Every snippet runs.

#[doc = include_str!("guide/waiting.md")]
pub mod waiting {}

#[doc = include_str!("guide/spawning.md")]
pub mod spawning {}

#[doc = include_str!("guide/watching.md")]
pub mod watching {}

#[doc = include_str!("guide/callbacks.md")]
pub mod callbacks {}

#[doc = include_str!("guide/publishing.md")]
pub mod publishing {}

#[doc = include_str!("guide/several_states.md")]
pub mod several_states {}

#[doc = include_str!("guide/resuming.md")]
pub mod resuming {}

#[doc = include_str!("guide/was_not_is.md")]
pub mod was_not_is {}

#[doc = include_str!("guide/pacing.md")]
pub mod pacing {}

#[doc = include_str!("guide/state_machines.md")]
pub mod state_machines {}

#[doc = include_str!("guide/graceful_shutdown.md")]
pub mod graceful_shutdown {}

#[doc = include_str!("guide/worker_pool.md")]
pub mod worker_pool {}

#[doc = include_str!("guide/threads.md")]
pub mod threads {}

#[doc = include_str!("guide/firmware.md")]
pub mod firmware {}

#[doc = include_str!("guide/it_hangs.md")]
pub mod it_hangs {}

#[doc = include_str!("guide/pitfalls.md")]
pub mod pitfalls {}

#[doc = include_str!("guide/from_tokio_watch.md")]
pub mod from_tokio_watch {}

#[doc = include_str!("guide/from_broadcast.md")]
pub mod from_broadcast {}

#[doc = include_str!("guide/from_eyeball_and_futures_signals.md")]
pub mod from_eyeball_and_futures_signals {}

#[doc = include_str!("guide/from_n0_watcher.md")]
pub mod from_n0_watcher {}

#[doc = include_str!("guide/from_kotlin.md")]
pub mod from_kotlin {}

#[doc = include_str!("guide/from_python.md")]
pub mod from_python {}
