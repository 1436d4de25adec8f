//! What must not compile, each with the error that the compiler gives today. Built by `cargo test --doc` alone. What it says
//! in our own words is in `tests/messages.rs`.
//!
//! A wait cannot outlive its state ("cannot move out of `state` because it is borrowed"):
//!
//! ```compile_fail,E0505
//! let state = onlooker::Watched::new(0);
//! let wait = state.wait_for(1);
//! drop(state);
//! wait.wait();
//! ```
//!
//! Nor does a thread or task take it along ("`state` does not live long enough"); that of a view goes anywhere:
//!
//! ```compile_fail,E0597
//! let state = onlooker::Watched::new(0);
//! let wait = state.wait_for(1);
//! std::thread::spawn(move || wait.wait());
//! ```
//!
//! ```
//! let state = onlooker::Watched::new(0);
//! let wait = state.view().wait_for(1);
//! std::thread::spawn(move || wait.wait());
//! ```
//!
//! A view cannot set ("no method named `set` found"):
//!
//! ```compile_fail,E0599
//! onlooker::Watched::new(0).view().set(1);
//! ```
//!
//! Transitions are ours to make ("cannot create non-exhaustive struct"):
//!
//! ```compile_fail,E0639
//! let _ = onlooker::Transition { old: 0, new: 1, seq: 1, missed: 0 };
//! ```
//!
//! What a derived view is made with stays with the state ("borrowed value does not live long enough"):
//!
//! ```compile_fail,E0597
//! let state = onlooker::Watched::new(0);
//! let limit = 3;
//! let limit = &limit;
//! let high = state.view().map(move |value| value > limit);
//! ```
//!
//! Setting compares ("can't compare `Opaque` with `Opaque`"); `replace` does not:
//!
//! ```compile_fail,E0277
//! struct Opaque;
//! onlooker::Watched::new(Opaque).set(Opaque);
//! ```
//!
//! ```
//! struct Opaque;
//! onlooker::Watched::new(Opaque).replace(Opaque);
//! ```
//!
//! A callback runs on any setting thread ("`Rc<i32>` cannot be sent between threads safely"):
//!
//! ```compile_fail,E0277
//! let (state, count) = (onlooker::Watched::new(0), std::rc::Rc::new(1));
//! state.on_change(move |_| println!("{count}")).detach();
//! ```
//!
//! The predicate of a wait stays with the state and may not borrow from its caller ("borrowed value does not live long
//! enough"); that of a watcher may:
//!
//! ```compile_fail,E0597
//! let state = onlooker::Watched::new(0);
//! let limit = 3;
//! let limit = &limit;
//! let wait = state.wait_until(move |value| value > limit);
//! ```
//!
//! ```
//! let state = onlooker::Watched::new(0);
//! let mut watcher = state.watch();
//! let limit = 3;
//! let wait = watcher.wait_until(|value| *value > limit);
//! ```
//!
//! A watcher has one reader ("cannot borrow `watcher` as mutable more than once at a time"):
//!
//! ```compile_fail,E0499
//! let state = onlooker::Watched::new(0);
//! let mut watcher = state.watch();
//! let (one, other) = (watcher.recv(), watcher.recv());
//! drop((one, other));
//! ```
//!
//! A state whose value may not go to another thread stays where it is:
//!
//! ```compile_fail,E0277
//! let state = onlooker::Watched::new(std::rc::Rc::new(0));
//! std::thread::scope(|scope| { scope.spawn(|| state.version()); });
//! ```
