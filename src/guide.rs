//! Guides, a page each: what to reach for, and what to mind.
//!
//! Every snippet runs.

/// # Waiting
///
/// **Registered at the call.** From the moment `wait_for` returns, no transition is missed, polled or not:
///
/// ```
/// # futures_lite::future::block_on(async {
/// let state = onlooker::Watched::new("open");
/// let closing = state.wait_for("closing");
/// state.set("closing");
/// state.set("closed");
/// assert_eq!(closing.await, "closing");
/// # });
/// ```
///
/// So make the wait *before* you start what it waits for.
///
/// | you want | take |
/// |---|---|
/// | this value, now or later | [`wait_for`](crate::Watched::wait_for) |
/// | anything but this value | [`wait_for_not`](crate::Watched::wait_for_not) |
/// | a condition | [`wait_until`](crate::Watched::wait_until) |
/// | what is inside an enum | [`wait_map`](crate::Watched::wait_map), [`wait_for_some`](crate::Watched::wait_for_some) |
/// | the next change, whatever it is | [`wait_for_change`](crate::Watched::wait_for_change) |
/// | this value *again* | [`wait_for_next`](crate::Watched::wait_for_next), [`wait_until_next`](crate::Watched::wait_until_next) |
///
/// Narrowing leaves nothing to unwrap:
///
/// ```
/// # futures_lite::future::block_on(async {
/// #[derive(Clone, PartialEq)]
/// enum Job { Queued, Running, Failed(String) }
///
/// let job = onlooker::Watched::new(Job::Queued);
/// let reason = job.wait_map(|job| match job {
///     Job::Failed(reason) => Some(reason.clone()),
///     _ => None,
/// });
/// job.set(Job::Running);
/// job.set(Job::Failed("no disk".into()));
/// assert_eq!(reason.await, "no disk");
/// # });
/// ```
///
/// **Deadlines** are any future, so another state is one:
///
/// ```
/// # futures_lite::future::block_on(async {
/// let (ready, shutdown) = (onlooker::Watched::new(false), onlooker::Watched::new(false));
/// let wait = ready.wait_for(true).unless(shutdown.wait_for(true));
/// shutdown.set(true);
/// assert!(wait.await.is_err());
/// # });
/// ```
///
/// **Several states at once**: race the waits; each keeps what it found.
///
/// ```
/// # futures_lite::future::block_on(async {
/// use futures_lite::future;
/// let (a, b) = (onlooker::Watched::new(0), onlooker::Watched::new(0));
/// let either = future::or(async { ("a", a.wait_for(1).await) }, async { ("b", b.wait_for(1).await) });
/// b.set(1);
/// assert_eq!(either.await, ("b", 1));
/// # });
/// ```
///
/// A predicate of a `Wait` runs on setting threads. Keep it short; it may call anything, but what it waits for it holds
/// up.
pub mod waiting {}

/// # Watching
///
/// A [`Watcher`](crate::Watcher) receives every transition, from a buffer of its own, in order:
///
/// ```
/// # futures_lite::future::block_on(async {
/// let state = onlooker::Watched::new(0);
/// let mut watcher = state.watch();
/// (1..=3).for_each(|n| { state.set(n); });
/// drop(state);
/// while let Ok(change) = watcher.recv().await {
///     assert_eq!(change.new, change.old + 1);
/// }
/// assert_eq!(*watcher.seen(), 3);
/// # });
/// ```
///
/// **Which buffer?**
///
/// | reader | buffer | full |
/// |---|---|---|
/// | keeps up, must see all | `watch()` | grows |
/// | may stall, must see all | `watch_bounded(n, …)` and setters that use [`set_paced`](crate::Watched::set_paced) | the setter waits |
/// | wants recent history | `watch_bounded(n, DropOldest)` | forgets the oldest, counts it |
/// | wants how it began | `watch_bounded(n, DropNewest)` | ignores the newest, counts it |
/// | wants the latest only | `watch_bounded(1, DropOldest)` | is a watch channel that counts |
///
/// **Loss is an item, not an error.** The loop goes on; `missed` says how many:
///
/// ```
/// use onlooker::{Overflow, Watched};
///
/// let state = Watched::new(0);
/// let mut recent = state.watch_bounded(2, Overflow::DropOldest);
/// (1..=5).for_each(|n| { state.set(n); });
/// let change = recent.try_recv().unwrap();
/// assert_eq!((change.old, change.new, change.missed), (0, 4, 3));
/// ```
///
/// **Waits in a row** on a watcher count from what it saw last, and lose nothing in between. That is how to follow a
/// protocol step by step:
///
/// ```
/// # futures_lite::future::block_on(async {
/// let link = onlooker::Watched::new("down");
/// let mut watcher = link.watch();
/// for step in ["dialing", "up", "closing", "closed"] { link.set(step); }
/// assert_eq!(watcher.wait_for("up").await, Ok("up"));
/// assert_eq!(watcher.wait_for("closed").await, Ok("closed"));
/// # });
/// ```
///
/// **As a stream**, it ends after the last value, and all the combinators of your favourite crate apply.
pub mod watching {}

/// # Callbacks
///
/// For those without an executor: metrics, logs, a line on a screen.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let state = onlooker::Watched::new("up");
/// let sink = lines.clone();
/// state
///     .on_change(move |change| sink.lock().unwrap().push(format!("{} -> {}", change.old, change.new)))
///     .detach();
/// state.set("down");
/// assert_eq!(*lines.lock().unwrap(), ["up -> down"]);
/// ```
///
/// * They run on setting threads, in the order of the transitions and of their registration, one at a time.
/// * Watchers and waits are served first: a slow callback holds up other callbacks, and, once a thousand transitions
///   are behind, setters.
/// * A callback may set, also the same state: the new transition is called back after it has returned, so all see one
///   order and no stack grows.
/// * One that panics stays registered; its panic goes to the panic hook and to nobody else.
/// * Do not hold a mutex across a `set` that a callback also takes: that is the one way to a deadlock that remains.
pub mod callbacks {}

/// # State machines
///
/// Guard a transition with [`set_if`](crate::Watched::set_if): the condition and the change are one step.
///
/// ```
/// use onlooker::Watched;
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Door { Open, Closed, Locked }
///
/// let door = Watched::new(Door::Open);
/// assert!(door.set_if(Door::Locked, |now| *now == Door::Closed).is_err());
/// door.set(Door::Closed);
/// assert!(door.set_if(Door::Locked, |now| *now == Door::Closed).is_ok());
/// ```
///
/// A whole table goes into [`try_update`](crate::Watched::try_update), which refuses what has no entry:
///
/// ```
/// use onlooker::Watched;
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum State { Idle, Running, Done }
/// enum Event { Start, Finish }
///
/// fn fire(state: &Watched<State>, event: Event) -> Result<State, State> {
///     state.try_update(|now| match (now, &event) {
///         (State::Idle, Event::Start) => Some(State::Running),
///         (State::Running, Event::Finish) => Some(State::Done),
///         _ => None,
///     })
/// }
///
/// let state = Watched::new(State::Idle);
/// assert_eq!(fire(&state, Event::Finish), Err(State::Idle));
/// assert_eq!(fire(&state, Event::Start), Ok(State::Idle));
/// assert_eq!(state.get(), State::Running);
/// ```
///
/// These closures run under the state's lock: they compute, they do not call the state. If they do, they panic with a
/// message that says so.
pub mod state_machines {}

/// # Graceful shutdown
///
/// One state for the whole program, waited for everywhere, with nothing to miss:
///
/// ```
/// use onlooker::Watched;
/// use std::sync::Arc;
/// use std::thread;
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Phase { Serving, Draining, Stopped }
///
/// let phase = Arc::new(Watched::new(Phase::Serving));
/// let workers: Vec<_> = (0..3)
///     .map(|_| {
///         let phase = phase.clone();
///         let mut watcher = phase.watch();
///         thread::spawn(move || {
///             // … serve …
///             let draining = futures_lite::future::block_on(watcher.wait_for(Phase::Draining));
///             // … finish what is in flight, even if the phase is Stopped by now …
///             draining.unwrap()
///         })
///     })
///     .collect();
///
/// phase.set(Phase::Draining);
/// phase.set(Phase::Stopped);
/// for worker in workers {
///     assert_eq!(worker.join().unwrap(), Phase::Draining);
/// }
/// ```
///
/// A deadline for the drain is [`timeout`](crate::Wait::timeout) or
/// [`wait_timeout`](crate::Wait::wait_timeout).
pub mod graceful_shutdown {}

/// # The life of a worker pool
///
/// Count in one state, and wait for the count:
///
/// ```
/// use onlooker::Watched;
/// use std::sync::Arc;
/// use std::thread;
///
/// let running = Arc::new(Watched::new(0_usize));
/// let stop = Arc::new(Watched::new(false));
/// let all_up = running.wait_for(4);
/// let workers: Vec<_> = (0..4)
///     .map(|_| {
///         let (running, stop) = (running.clone(), stop.clone());
///         thread::spawn(move || {
///             running.update(|n| n + 1);
///             stop.wait_for(true).wait(); // … work until told …
///             running.update(|n| n - 1);
///         })
///     })
///     .collect();
///
/// all_up.wait();
/// stop.set(true);
/// running.wait_for(0).wait();
/// # workers.into_iter().for_each(|worker| worker.join().unwrap());
/// ```
pub mod worker_pool {}

/// # Threads
///
/// No executor is needed. [`Wait::wait`](crate::Wait::wait), [`wait_timeout`](crate::Wait::wait_timeout),
/// [`wait_deadline`](crate::Wait::wait_deadline), [`Watcher::recv_blocking`](crate::Watcher::recv_blocking) and
/// [`recv_timeout`](crate::Watcher::recv_timeout) put the thread to sleep. Threads and tasks of any runtime may wait for
/// one state side by side.
///
/// ```
/// use onlooker::Watched;
/// use std::thread;
/// use std::time::Duration;
///
/// static READY: Watched<bool> = Watched::new(false);
///
/// thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(READY.wait_for(true).wait_timeout(Duration::from_secs(5)), Ok(true)));
///     READY.set(true);
/// });
/// ```
pub mod threads {}

/// # Firmware
///
/// ```toml
/// onlooker = { version = "0.1", default-features = false, features = ["critical-section"] }
/// ```
///
/// Add `portable-atomic` where there is no compare-and-swap (thumbv6m). The program brings an allocator that locks by
/// critical section, and an implementation of `critical-section`.
///
/// * A `static` state needs no start-up code: `Watched::new` is `const`.
/// * `set`, `replace`, `set_if`, `update`, dropping a wait, dropping a watcher and `try_recv` may be called from an
///   interrupt handler.
/// * What allocates: the first observer of a state, each `watch`, each wait with a predicate, each callback, a wait when
///   there are more at once than ever before, pushes to an *unbounded* watcher. With bounded watchers and value waits in
///   place, `set` allocates nothing.
/// * Interrupts are masked while a transition is pushed to the watchers and compared with the value waits, so latency
///   grows with their number. Wakers, predicates and callbacks run with interrupts enabled.
/// * Predicates and callbacks run where the setter runs, so an interrupt handler that sets runs them too, unless it
///   interrupted a delivery: then that does it.
/// * With the feature `critical-section` no setter waits while predicates and callbacks lag behind, since an interrupt
///   cannot wait: what is on its way to them is bounded by the pace of the setters alone. Watchers and value waits have no
///   such queue.
/// * Without std no panic can be caught: a panic in a predicate or callback is the program's.
pub mod firmware {}

/// # From Python's `ValueWatcher`
///
/// | `ValueWatcher` | `Watched` |
/// |---|---|
/// | `watcher.value` | [`get`](crate::Watched::get), [`read`](crate::Watched::read) |
/// | `watcher.value = x` | [`set`](crate::Watched::set) |
/// | `set_if` | [`set_if`](crate::Watched::set_if), which gives the value back if the condition did not hold |
/// | `wait_for` | [`wait_for`](crate::Watched::wait_for), registered at the call and not at the first `await` |
/// | `wait_for_not` | [`wait_for_not`](crate::Watched::wait_for_not) |
/// | `wait_for_not_none` | [`wait_for_some`](crate::Watched::wait_for_some) |
/// | `wait_for_change` | [`wait_for_change`](crate::Watched::wait_for_change) |
/// | a `timeout` argument | [`timeout`](crate::Wait::timeout) on the wait |
/// | callbacks | [`on_change`](crate::Watched::on_change), [`on_value`](crate::Watched::on_value) |
/// | a queue per consumer, unbounded | [`watch`](crate::Watched::watch), or [`watch_bounded`](crate::Watched::watch_bounded) |
pub mod from_python {}

/// # From `tokio::sync::watch`
///
/// | tokio | here | what changes |
/// |---|---|---|
/// | `Sender::send` | [`set`](crate::Watched::set) | never fails; stores whether or not anybody watches; an equal value is no change |
/// | `send_replace` | [`replace`](crate::Watched::replace) | |
/// | `send_modify` | [`modify`](crate::Watched::modify) | works on a clone: a panic leaves nothing half done |
/// | `send_if_modified` | [`set_if`](crate::Watched::set_if), [`try_update`](crate::Watched::try_update) | |
/// | `subscribe` | [`watch`](crate::Watched::watch) | every value, not the latest |
/// | `borrow` | [`get`](crate::Watched::get), [`read`](crate::Watched::read), [`Reader`](crate::Reader) | no guard to hold across an `await` |
/// | `changed` | [`recv`](crate::Watcher::recv), [`wait_for_change`](crate::Watched::wait_for_change) | says what changed |
/// | `wait_for` | [`wait_for`](crate::Watched::wait_for), [`wait_until`](crate::Watched::wait_until) | what has passed counts; only matches wake |
/// | `receiver_count` | [`watcher_count`](crate::Watched::watcher_count) | |
/// | `closed` | – | the state is one thing, not two ends |
///
/// Where you rely on conflation (a slow reader that sees only the latest), ask for it:
/// `watch_bounded(1, Overflow::DropOldest)`.
pub mod from_tokio_watch {}

/// # Pitfalls
///
/// * **Make the wait before the cause.** `start(); state.wait_for(Up)` may be too late for an `Up` that is over by then;
///   `let up = state.wait_for(Up); start(); up.await` never is.
/// * **A predicate is no place to block.** It runs on the setting thread and holds up the predicates after it.
/// * **Nor is a callback for what takes long.** Send to a channel, or use a watcher.
/// * **`let _ = state.on_change(…)` deregisters at once.** Bind it to a name, or `detach` it.
/// * **An unbounded watcher that nobody reads grows.** Drop it, bound it, or pace the setters.
/// * **`DropNewest` may not end on the present value.** Use it for beginnings only.
/// * **An equal value is no transition.** To say "again", use [`replace`](crate::Watched::replace), or put a counter in
///   the value.
/// * **Closures of `read`, `set_if`, `update`, `try_update`, `modify` run under the lock.** Do not call the state from
///   there; with two states, do not nest them in both orders.
pub mod pitfalls {}
