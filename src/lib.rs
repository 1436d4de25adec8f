//! Wait on shared state and miss nothing: *did it ever become what you want?*
//!
//! State flips faster than tasks run. `closing` and `closed` arrive in one tick, and whoever waited for `closing` with
//! a condition, an event or a watch channel is shown only the present value, and sleeps for ever:
//!
//! ```
//! # futures_lite::future::block_on(async {
//! # use std::sync::Mutex;
//! # use event_listener::Event;
//! let (state, changed) = (Mutex::new("open"), Event::new());
//! let listener = changed.listen();
//! *state.lock().unwrap() = "closing";
//! *state.lock().unwrap() = "closed";
//! changed.notify(usize::MAX);
//! listener.await;
//! assert_ne!(*state.lock().unwrap(), "closing"); // missed: it *was* closing
//! # });
//! ```
//!
//! A [`Watched`] value hides no state from those who watch it. A wait is registered at the call and decided where the
//! transition happens:
//!
//! ```
//! # futures_lite::future::block_on(async {
//! let state = onlooker::Watched::new("open");
//! let closing = state.wait_for("closing");
//! state.set("closing");
//! state.set("closed");
//! assert_eq!(closing.await, "closing");
//! # });
//! ```
//!
//! A spawned task takes the wait along; it is of a [`View`], which looks and waits and cannot set:
//!
//! ```
//! # futures_lite::future::block_on(async {
//! # fn spawn<F: Future<Output: Send> + Send + 'static>(task: F) -> smol::Task<F::Output> { smol::spawn(task) }
//! let state = onlooker::Watched::new("open");
//! let closing = state.view().wait_for("closing"); // made before the task, so nothing can come too early
//! let drain = spawn(async move { closing.await });
//! state.set("closing");
//! state.set("closed");
//! assert_eq!(drain.await, Ok("closing"));
//! # });
//! ```
//!
//! # Ways to look
//!
//! | | shows | runs |
//! |---|---|---|
//! | a [`Wait`], of [`wait_for`](Watched::wait_for) and its kin; of a [`View`], an [`OwnedWait`] | the first match, even if it has passed | on any executor, or a plain thread ([`Wait::wait`]) |
//! | a [`Watcher`], of [`watch`](Watched::watch) | every transition, from a buffer of its own | on any executor, or a plain thread; also as a `Stream` |
//! | a [`Callback`], of [`on_change`](Watched::on_change) | every transition | on the setting thread, as a part of `set` |
//! | a [`Reader`], of [`reader`](Watched::reader) | the present value, cached | where you call it |
//! | a derived [`View`], of [`map`](View::map), [`zip`](View::zip), [`all`](View::all) | several states as one, all of the above again | in the commit of its sources |
//! | [`watch_since`](Watched::watch_since) | every transition after a version, what came before included | like a `Watcher` |
//! | [`inspect`](Watched::inspect) | who observes, and waits for what | where you call it |
//!
//! Deadlines are any future ([`Wait::unless`]) or any runtime's sleep ([`Wait::timeout`], [`Timer`]). Setters decide
//! atomically with [`set_if`](Watched::set_if), [`update`](Watched::update), [`try_update`](Watched::try_update) and
//! [`modify`](Watched::modify), and wait for slow readers only if they ask to, with
//! [`set_paced`](Watched::set_paced).
//!
//! # The order of events
//!
//! All watchers, waits, views and callbacks see one and the same order: that in which the transitions were committed,
//! whatever the number of setting threads, and also when setters are called from inside callbacks, drops or wakers.
//!
//! ```text
//!  set(v) ── commit, under one short lock ──────────────▶ then, without the lock, before `set` returns
//!            compare, swap, count                         wake the tasks, drop the old value
//!            push to every watcher's ring                 call back, in the order of the transitions
//!            decide waits, derived views follow
//! ```
//!
//! What is *not* promised: that a transition reaches everybody at one instant. While a delivery is under way a callback
//! may not have seen yet what a watcher has received already.
//!
//! **A callback must not wait for anything that holds up a setter, and nobody may hold across a `set` what a callback
//! waits for.** ([Callbacks are a part of `set`](guide::callbacks))
//!
//! The [guide] has a page for each way to use it.
//!
//! # What it costs
//!
//! * Nobody watches: one uncontended lock. No allocation until something observes.
//! * A transition is cloned once for each watcher, and once more when it is received (`old` and `new`). Large values go
//!   in an `Arc`.
//! * A value wait needs no buffer and no allocation of its own; one with a predicate allocates it. A transition that
//!   matches nobody wakes nobody.
//! * Predicates, and the functions of derived views, run inside every commit, under the lock; callbacks in every `set`.
//! * An unbounded watcher that nobody reads grows. Choose a bound ([`watch_bounded`](Watched::watch_bounded)) where a
//!   reader may stall: loss is then counted ([`Transition::missed`]), never silent.
//!
//! # When to take something else
//!
//! * A gauge, a progress bar, a configuration where only the latest value matters: `watch_bounded(1, DropOldest)` or a
//!   watch channel.
//! * A queue of work where each item goes to *one* of many workers: async-channel.
//! * A flag without a value: event-listener.
//! * Something that must survive the process, or cross to another: a log or a database.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `std` (default) | blocking waits, panic isolation, a mutex as the lock |
//! | `critical-section` | an interrupt-safe lock: `set` may be called from an interrupt handler on the same core |
//! | `portable-atomic` | targets without compare-and-swap |
//! | `smol`, `async-std`, `tokio`, `embassy` | a unit struct each that is that runtime's [`Timer`] |
//! | `inspect` | where each observer was made, in [`Inspection`] |
//!
//! They add up in any combination. One of `std` and `critical-section` must be there; with both, the critical section is
//! the lock, and every state of the program shares it.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// The faces.
mod derived;
mod look;
mod view;
mod watched;

// The handles.
mod callback;
mod inspect;
mod paced;
mod reader;
mod wait;
mod watcher;

// A set goes this way down.
mod cell;
mod observers;
mod settle;

// What it runs on, and what everybody knows.
#[cfg(doctest)]
mod compile_fail;
mod error;
#[cfg(feature = "portable-atomic")]
mod forward;
pub mod guide;
mod park;
mod slab;
mod sync;
mod timer;
mod transition;

pub use callback::Callback;
pub use error::{Closed, Forgotten, TimedOut, TryRecvError, WaitError};
pub use inspect::{Details, Inspection, Observer};
pub use observers::Overflow;
pub use paced::SetPaced;
pub use reader::Reader;
#[cfg(feature = "async-std")]
pub use timer::AsyncStd;
#[cfg(feature = "embassy")]
pub use timer::Embassy;
#[cfg(feature = "smol")]
pub use timer::Smol;
#[cfg(feature = "tokio")]
pub use timer::Tokio;
pub use timer::{Timeout, Timer, Unless};
pub use transition::Transition;
pub use view::View;
pub use wait::{OwnedWait, Wait};
pub use watched::Watched;
#[cfg(feature = "std")]
pub use watcher::Iter;
pub use watcher::{Recv, TryIter, Values, Watcher, WatcherWait};
