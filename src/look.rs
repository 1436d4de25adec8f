//! What one can do with a state without setting it: written once, found on `Watched` and on `View`.

/// The looking methods of a face.
///
/// `$wait` is the future that its waits are, with the lifetimes in `$life`; `host()` is what that future is made of.
/// In the examples `$var` is the face, `$view` the line that makes it, and `$ok … $ko` stand around an output.
macro_rules! looking {
    (
        $face:ident, $wait:ident [$($life:tt)*];
        $var:literal, $view:literal, $ok:literal, $ko:literal
    ) => {
        /// Reading.
        impl<T> $face<T> {
            /// Returns a clone of the present value; once the state has ended, of the last one.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(7);
            #[doc = $view]
            #[doc = concat!("assert_eq!(", $var, ".get(), 7);")]
            /// ```
            #[inline]
            #[track_caller]
            #[doc(alias = "borrow")]
            pub fn get(&self) -> T
            where
                T: Clone,
            {
                self.read(T::clone)
            }

            /// Returns what `f` makes of the present value, without cloning it.
            ///
            /// `f` runs under the state's lock: keep it short, and set nothing there.
            ///
            /// # Panics
            ///
            /// Inside a closure of the same state, and inside a predicate.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(String::from("sensor"));
            #[doc = $view]
            #[doc = concat!("assert_eq!(", $var, ".read(|name| name.len()), 6);")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
                self.host().read(f)
            }

            /// Returns how many transitions there were so far. [`Transition::seq`](crate::Transition::seq) counts the
            /// same way.
            ///
            /// Read without the lock, where the target can: while another thread commits a transition, this may count
            /// it a moment before others see it.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            /// state.set(1);
            /// state.set(1);
            #[doc = concat!("assert_eq!(", $var, ".version(), 1);")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn version(&self) -> u64 {
                self.host().version()
            }

            /// Returns a cached view for hot loops, which reads again only when the version moved.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            #[doc = concat!("let mut reader = ", $var, ".reader();")]
            /// state.set(1);
            /// assert_eq!(*reader.get(), 1);
            /// ```
            #[track_caller]
            pub fn reader(&self) -> $crate::Reader<'_, T>
            where
                T: Clone,
            {
                $crate::Reader::new($crate::reader::Face::$face(self.host()))
            }

            /// Returns how many [`Watcher`](crate::Watcher)s there are.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            /// let watcher = state.watch();
            #[doc = concat!("assert_eq!(", $var, ".watcher_count(), 1);")]
            /// drop(watcher);
            #[doc = concat!("assert_eq!(", $var, ".watcher_count(), 0);")]
            /// ```
            #[track_caller]
            #[doc(alias = "receiver_count")]
            pub fn watcher_count(&self) -> usize {
                self.observed(|state| state.observers.seats.len()).unwrap_or(0)
            }

            /// Returns how many [`View`](crate::View)s and [`OwnedWait`](crate::OwnedWait)s there are; a derived view
            /// counts as one of each of its sources.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(0);
            /// assert_eq!(state.view_count(), 0);
            /// let view = state.view();
            /// let wait = view.wait_for(1);
            /// assert_eq!(state.view_count(), 2);
            /// # drop((view, wait));
            /// ```
            #[track_caller]
            pub fn view_count(&self) -> usize {
                self.observed(|state| state.observers.views()).unwrap_or(0)
            }

            /// Returns who observes this state, at one moment: to print when something hangs.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new("connecting");
            #[doc = $view]
            #[doc = concat!("let wait = ", $var, ".wait_for(\"connected\");")]
            #[doc = concat!("let who = ", $var, ".inspect();")]
            /// assert_eq!(who.observers[0].what, "wait_for");
            /// println!("{who}");
            /// # drop(wait);
            /// ```
            #[track_caller]
            pub fn inspect(&self) -> $crate::Inspection {
                self.observed($crate::Inspection::of).unwrap_or_else(|| $crate::Inspection {
                    version: self.version(),
                    ..Default::default()
                })
            }
        }

        /// Watching.
        impl<T: Clone> $face<T> {
            /// Subscribes, with a buffer that grows as it must: nothing is ever missed.
            ///
            /// Registration and the snapshot [`seen`](crate::Watcher::seen) are one step: no transition comes between.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            #[doc = concat!("let mut watcher = ", $var, ".watch();")]
            /// state.set(1);
            /// state.set(2);
            /// assert_eq!(watcher.try_recv().unwrap().new, 1);
            /// assert_eq!(watcher.try_recv().unwrap().new, 2);
            /// ```
            #[track_caller]
            #[doc(alias = "subscribe")]
            pub fn watch(&self) -> $crate::Watcher<T> {
                $crate::Watcher::join(&self.shared(), None)
            }

            /// Subscribes, with a buffer for exactly `capacity` transitions; `overflow` says what a full one gives up.
            ///
            /// # Panics
            ///
            /// If `capacity` is 0, since a buffer without room would miss everything, or more than memory can hold.
            ///
            /// # Examples
            ///
            /// ```
            /// use onlooker::{Overflow, Watched};
            ///
            /// let state = Watched::new(0);
            #[doc = $view]
            #[doc = concat!("let mut latest = ", $var, ".watch_bounded(1, Overflow::DropOldest);")]
            /// (1..=100).for_each(|n| { state.set(n); });
            /// let change = latest.try_recv().unwrap();
            /// assert_eq!((change.new, change.missed), (100, 99));
            /// ```
            #[track_caller]
            pub fn watch_bounded(
                &self,
                capacity: usize,
                overflow: $crate::Overflow,
            ) -> $crate::Watcher<T> {
                $crate::Watcher::join(&self.shared(), Some((capacity, overflow)))
            }

            /// Subscribes as of an earlier version: [`seen`](crate::Watcher::seen) is the value at `version`, and every
            /// transition after it follows, without a gap.
            ///
            /// For who comes back with the version it saw last, and goes on where it stopped.
            ///
            /// # Errors
            ///
            /// [`Forgotten`](crate::Forgotten) if `version` is older than what
            /// [`with_history`](crate::Watched::with_history) keeps, or in the future.
            ///
            /// # Examples
            ///
            /// ```
            /// let state = onlooker::Watched::with_history(0, 16);
            #[doc = $view]
            /// (1..=3).for_each(|n| { state.set(n); });
            #[doc = concat!("let mut back = ", $var, ".watch_since(1).unwrap();")]
            /// assert_eq!(*back.seen(), 1);
            /// assert_eq!(back.try_recv().unwrap().new, 2);
            /// ```
            #[track_caller]
            pub fn watch_since(
                &self,
                version: u64,
            ) -> Result<$crate::Watcher<T>, $crate::Forgotten> {
                $crate::Watcher::join_since(&self.shared(), version)
            }
        }

        /// Waiting. Each of these registers at the call, not at the first poll, and is decided where transitions
        /// happen: a value that came and went is not missed.
        impl<T: Send + 'static> $face<T> {
            /// Waits until the state is or becomes equal to `value`.
            ///
            /// **In a spawned task** `spawn(async move { state.wait_for(x).await })` registers only when the task first
            /// runs, which may be too late. Make the wait before, of a [`View`](crate::View), and take it along:
            /// `let wait = view.wait_for(x); spawn(async move { wait.await })`.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            #[doc = concat!("let two = ", $var, ".wait_for(2);")]
            /// (1..=3).for_each(|n| { state.set(n); });
            #[doc = concat!("assert_eq!(two.await, ", $ok, "2", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            pub fn wait_for(&self, value: T) -> $wait<$($life)* T>
            where
                T: Clone + PartialEq,
            {
                $wait::new(self.host(), Method::For, Test::equal(value), Start::Now)
            }

            /// Waits for the first value that differs, the present one included.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new("starting");
            #[doc = $view]
            #[doc = concat!("let started = ", $var, ".wait_for_not(\"starting\");")]
            /// state.set("ready");
            #[doc = concat!("assert_eq!(started.await, ", $ok, "\"ready\"", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            pub fn wait_for_not(&self, value: T) -> $wait<$($life)* T>
            where
                T: Clone + PartialEq,
            {
                let differs = move |new: &T| (*new != value).then(|| new.clone());
                $wait::new(self.host(), Method::ForNot, Test::seek(differs), Start::Now)
            }

            /// Waits for the first value for which `pred` holds, the present one included.
            ///
            /// `pred` sees every transition, in order, inside the commit: **it looks at nothing but the value it is
            /// given.** If it panics, or calls a state, the wait ends with that panic (`std`) and nobody else notices.
            /// What has to look at more waits on a watcher
            /// ([`Watcher::wait_until`](crate::Watcher::wait_until)), or on several states in one
            /// ([`View::zip`](crate::View::zip)).
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            #[doc = concat!("let high = ", $var, ".wait_until(|level| *level > 90);")]
            /// state.set(95);
            /// state.set(10);
            #[doc = concat!("assert_eq!(high.await, ", $ok, "95", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            pub fn wait_until(
                &self,
                mut pred: impl FnMut(&T) -> bool + Send + 'static,
            ) -> $wait<$($life)* T>
            where
                T: Clone,
            {
                let seek = move |value: &T| pred(value).then(|| value.clone());
                $wait::new(self.host(), Method::Until, Test::seek(seek), Start::Now)
            }

            /// Waits for the first `Some` that `f` makes of a value, the present one included: narrowing, with no
            /// unwrap afterwards.
            ///
            /// `f` runs as the predicate of [`wait_until`](Self::wait_until) does.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new(Err("not yet"));
            #[doc = $view]
            #[doc = concat!("let answer = ", $var, ".wait_map(|reply| reply.ok());")]
            /// state.set(Ok(42));
            #[doc = concat!("assert_eq!(answer.await, ", $ok, "42", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            pub fn wait_map<U: Send + 'static>(
                &self,
                f: impl FnMut(&T) -> Option<U> + Send + 'static,
            ) -> $wait<$($life)* U> {
                $wait::new(self.host(), Method::Map, Test::seek(f), Start::Now)
            }

            /// Waits for the next transition.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new(1);
            #[doc = $view]
            #[doc = concat!("let change = ", $var, ".wait_for_change();")]
            /// state.set(2);
            /// state.set(3);
            #[doc = concat!("let ", $ok, "change", $ko, " = change.await else { panic!() };")]
            /// assert_eq!((change.old, change.new), (1, 2));
            /// # });
            /// ```
            #[track_caller]
            #[doc(alias = "changed")]
            pub fn wait_for_change(&self) -> $wait<$($life)* Transition<T>>
            where
                T: Clone,
            {
                $wait::new(self.host(), Method::ForChange, Test::change(), Start::Next)
            }

            /// Waits for the next transition into `value`: the present one does not count.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new("green");
            #[doc = $view]
            #[doc = concat!("let green_again = ", $var, ".wait_for_next(\"green\");")]
            /// state.set("red");
            /// state.set("green");
            #[doc = concat!("assert_eq!(green_again.await, ", $ok, "\"green\"", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            pub fn wait_for_next(&self, value: T) -> $wait<$($life)* T>
            where
                T: Clone + PartialEq,
            {
                $wait::new(self.host(), Method::ForNext, Test::equal(value), Start::Next)
            }

            /// Waits for the next transition into a value for which `pred` holds: the present one does not count.
            /// Otherwise as [`wait_until`](Self::wait_until).
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new(8);
            #[doc = $view]
            #[doc = concat!("let even_again = ", $var, ".wait_until_next(|n| n % 2 == 0);")]
            /// state.set(9);
            /// state.set(10);
            #[doc = concat!("assert_eq!(even_again.await, ", $ok, "10", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            pub fn wait_until_next(
                &self,
                mut pred: impl FnMut(&T) -> bool + Send + 'static,
            ) -> $wait<$($life)* T>
            where
                T: Clone,
            {
                let seek = move |value: &T| pred(value).then(|| value.clone());
                $wait::new(self.host(), Method::UntilNext, Test::seek(seek), Start::Next)
            }
        }

        impl<U: Clone + Send + 'static> $face<Option<U>> {
            /// Waits for the first `Some`, the present one included.
            ///
            /// # Examples
            ///
            /// ```
            /// # futures_lite::future::block_on(async {
            /// let state = onlooker::Watched::new(None);
            #[doc = $view]
            #[doc = concat!("let bound = ", $var, ".wait_for_some();")]
            /// state.set(Some("127.0.0.1:80"));
            #[doc = concat!("assert_eq!(bound.await, ", $ok, "\"127.0.0.1:80\"", $ko, ");")]
            /// # });
            /// ```
            #[track_caller]
            #[doc(alias = "wait_for_not_none")]
            pub fn wait_for_some(&self) -> $wait<$($life)* U> {
                $wait::new(self.host(), Method::ForSome, Test::seek(Option::<U>::clone), Start::Now)
            }
        }

        /// Callbacks: no executor needed.
        ///
        /// A callback is a part of `set`: the setter runs it, after watchers and waits have the transition, and returns
        /// when it has. They run outside the lock, in the order of the transitions, one at a time. One that panics
        /// stays registered and reaches nobody else (`std`). What is set inside is called back after what is under way,
        /// and before the outermost `set` returns.
        ///
        /// **A callback must not wait for anything that holds up a setter, and nobody may hold across a `set` what a
        /// callback waits for**: a mutex, another thread's `set`.
        impl<T: Clone + Send + 'static> $face<T> {
            /// Calls `f` at every transition from now on, for as long as the [`Callback`](crate::Callback) lives.
            ///
            /// `f` may call any method of any state. One that holds an `Arc` of the state it observes keeps it for
            /// ever: hold a `Weak`.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::sync::{Arc, Mutex};
            ///
            /// let log = Arc::new(Mutex::new(Vec::new()));
            /// let state = onlooker::Watched::new(0);
            #[doc = $view]
            /// let sink = log.clone();
            #[doc = concat!("let callback = ", $var, ".on_change(move |change| sink.lock().unwrap().push((change.old, change.new)));")]
            /// state.set(1);
            /// state.set(2);
            /// assert_eq!(*log.lock().unwrap(), [(0, 1), (1, 2)]);
            /// # drop(callback);
            /// ```
            #[track_caller]
            pub fn on_change(
                &self,
                f: impl FnMut(&Transition<T>) + Send + 'static,
            ) -> $crate::Callback {
                $crate::Callback::on_change(&self.shared(), f)
            }

            /// Calls `f` once: when the state becomes `value`, or at once if it is that already.
            ///
            /// # Panics
            ///
            /// Inside a closure or a predicate of any state, like a setter: `f` could not be called there.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::sync::{Arc, Mutex};
            ///
            /// let log = Arc::new(Mutex::new(Vec::new()));
            /// let state = onlooker::Watched::new("open");
            #[doc = $view]
            /// let sink = log.clone();
            #[doc = concat!("let callback = ", $var, ".on_value(\"closed\", move |value| sink.lock().unwrap().push(*value));")]
            /// state.set("closed");
            /// assert_eq!(*log.lock().unwrap(), ["closed"]);
            /// # drop(callback);
            /// ```
            #[track_caller]
            pub fn on_value(
                &self,
                value: T,
                f: impl FnOnce(&T) + Send + 'static,
            ) -> $crate::Callback
            where
                T: PartialEq,
            {
                $crate::Callback::on_value(&self.shared(), value, f)
            }
        }
    };
}
pub(crate) use looking;
