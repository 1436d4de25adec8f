//! Waits in a row: each goes on where the one before stopped, and loses nothing in between.

use super::{Watcher, WatcherWait};
use crate::wait::Start;

impl<T: Clone> Watcher<T> {
    fn seek<U, F: FnMut(&T) -> Option<U>>(
        &mut self,
        seek: F,
        start: Start,
    ) -> WatcherWait<'_, T, U, F> {
        WatcherWait::new(self, seek, start)
    }

    /// Waits until the state, as this watcher sees it, is or becomes equal to `value`.
    ///
    /// Counts from what the watcher saw last and consumes its buffer up to the match and no further: waits in a row
    /// lose nothing in between.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and no transition matched.
    ///
    /// # Cancel safety
    ///
    /// What was consumed was looked at and did not match; [`seen`](Watcher::seen) is the last of it. The next wait
    /// goes on from there.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new("open");
    /// let mut watcher = state.watch();
    /// state.set("closing");
    /// state.set("closed");
    /// assert_eq!(watcher.wait_for("closing").await, Ok("closing"));
    /// assert_eq!(watcher.wait_for("closed").await, Ok("closed"));
    /// # });
    /// ```
    pub fn wait_for(&mut self, value: T) -> WatcherWait<'_, T, T, impl FnMut(&T) -> Option<T>>
    where
        T: PartialEq,
    {
        self.seek(
            move |new: &T| (*new == value).then(|| new.clone()),
            Start::Now,
        )
    }

    /// Waits for the first value that differs, from what this watcher saw last on. Otherwise as [`wait_for`](Self::wait_for).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and no value differed.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=3).for_each(|n| { state.set(n); });
    /// assert_eq!(watcher.wait_for_not(0).await, Ok(1));
    /// # });
    /// ```
    pub fn wait_for_not(&mut self, value: T) -> WatcherWait<'_, T, T, impl FnMut(&T) -> Option<T>>
    where
        T: PartialEq,
    {
        self.seek(
            move |new: &T| (*new != value).then(|| new.clone()),
            Start::Now,
        )
    }

    /// Waits for the first value for which `pred` holds, from what this watcher saw last on. The predicate runs in the caller, under no lock, and may call
    /// anything.
    /// Otherwise as [`wait_for`](Self::wait_for).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and the predicate never held.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use onlooker::Watched;
    ///
    /// let state = Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=5).for_each(|n| { state.set(n); });
    /// assert_eq!(watcher.wait_until(|n| n % 3 == 2).await, Ok(2));
    /// assert_eq!(watcher.wait_until(|n| *n > 2).await, Ok(3));
    /// # });
    /// ```
    pub fn wait_until(
        &mut self,
        mut pred: impl FnMut(&T) -> bool,
    ) -> WatcherWait<'_, T, T, impl FnMut(&T) -> Option<T>> {
        self.seek(move |new: &T| pred(new).then(|| new.clone()), Start::Now)
    }

    /// Waits for the first `Some` that `f` makes, from what this watcher saw last on. Otherwise as
    /// [`wait_until`](Self::wait_until).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and there was none.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=3).for_each(|n| { state.set(n); });
    /// assert_eq!(watcher.wait_map(|n| (*n > 1).then_some("more")).await, Ok("more"));
    /// # });
    /// ```
    pub fn wait_map<U, F: FnMut(&T) -> Option<U>>(&mut self, f: F) -> WatcherWait<'_, T, U, F> {
        self.seek(f, Start::Now)
    }

    /// Waits for the next transition into `value`: what this watcher has seen already does not count. Otherwise as
    /// [`wait_for`](Self::wait_for).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and there was none.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=3).for_each(|n| { state.set(n); });
    /// state.set(0);
    /// assert_eq!(watcher.wait_for_next(0).await, Ok(0));
    /// assert!(watcher.is_empty());
    /// # });
    /// ```
    pub fn wait_for_next(&mut self, value: T) -> WatcherWait<'_, T, T, impl FnMut(&T) -> Option<T>>
    where
        T: PartialEq,
    {
        self.seek(
            move |new: &T| (*new == value).then(|| new.clone()),
            Start::Next,
        )
    }

    /// Waits for the next transition into a value for which `pred` holds: what this watcher has seen already does not count.
    /// Otherwise as [`wait_until`](Self::wait_until).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and there was none.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(0);
    /// let mut watcher = state.watch();
    /// (1..=3).for_each(|n| { state.set(n); });
    /// assert_eq!(watcher.wait_until_next(|n| *n < 9).await, Ok(1));
    /// # });
    /// ```
    pub fn wait_until_next(
        &mut self,
        mut pred: impl FnMut(&T) -> bool,
    ) -> WatcherWait<'_, T, T, impl FnMut(&T) -> Option<T>> {
        self.seek(move |new: &T| pred(new).then(|| new.clone()), Start::Next)
    }
}

impl<U: Clone> Watcher<Option<U>> {
    /// Waits for the first `Some`, from what this watcher saw last on. Otherwise as [`wait_for`](Self::wait_for).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the `Watched` is gone and it never was `Some`.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(None);
    /// let mut watcher = state.watch();
    /// state.set(Some(7));
    /// state.set(None);
    /// assert_eq!(watcher.wait_for_some().await, Ok(7));
    /// # });
    /// ```
    #[doc(alias = "wait_for_not_none")]
    pub fn wait_for_some(
        &mut self,
    ) -> WatcherWait<'_, Option<U>, U, impl FnMut(&Option<U>) -> Option<U>> {
        self.seek(|new: &Option<U>| new.clone(), Start::Now)
    }
}
