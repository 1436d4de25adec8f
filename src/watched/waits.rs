//! `wait_…`: registered at the call, decided where the transition happens.

use super::Watched;
use crate::targets::Group;
use crate::transition::Transition;
use crate::wait::{self, Present, Wait};

/// Waiting. Each of these registers at the call, not at the first poll, and is decided where transitions happen: a
/// value that came and went is not missed.
impl<T: Send> Watched<T> {
    /// The value, once the state is or becomes equal to it.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(0);
    /// let two = state.wait_for(2);
    /// (1..=3).for_each(|n| { state.set(n); });
    /// assert_eq!(two.await, 2);
    /// # });
    /// ```
    pub fn wait_for(&self, value: T) -> Wait<'_, T>
    where
        T: Clone + PartialEq,
    {
        wait::for_value(&self.cell, Group::Equal, value, Present::Counts)
    }

    /// The first value that differs, the present one included.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new("starting");
    /// let started = state.wait_for_not("starting");
    /// state.set("ready");
    /// assert_eq!(started.await, "ready");
    /// # });
    /// ```
    pub fn wait_for_not(&self, value: T) -> Wait<'_, T>
    where
        T: Clone + PartialEq,
    {
        wait::for_value(&self.cell, Group::Differs, value, Present::Counts)
    }

    /// The first value for which `pred` holds, the present one included.
    ///
    /// The predicate sees every transition, in order. It runs on setting threads, outside the lock, and may call any
    /// method of any `Watched`. If it panics, the wait ends with that panic (`std`) and nobody else notices.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let level = onlooker::Watched::new(0);
    /// let high = level.wait_until(|level| *level > 90);
    /// level.set(95);
    /// level.set(10);
    /// assert_eq!(high.await, 95);
    /// # });
    /// ```
    pub fn wait_until(&self, mut pred: impl FnMut(&T) -> bool + Send + 'static) -> Wait<'_, T>
    where
        T: Clone + 'static,
    {
        let seek = move |value: &T| pred(value).then(|| value.clone());
        wait::seek(&self.cell, seek, Present::Counts)
    }

    /// The first `Some` that `f` makes of a value, the present one included: narrowing, with no unwrap afterwards.
    /// `f` runs as the predicate of [`wait_until`](Self::wait_until) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let reply = onlooker::Watched::new(Err("not yet"));
    /// let answer = reply.wait_map(|reply| reply.ok());
    /// reply.set(Ok(42));
    /// assert_eq!(answer.await, 42);
    /// # });
    /// ```
    pub fn wait_map<U>(&self, f: impl FnMut(&T) -> Option<U> + Send + 'static) -> Wait<'_, U>
    where
        T: Clone,
        U: Send + 'static,
    {
        wait::seek(&self.cell, f, Present::Counts)
    }

    /// The next transition.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(1);
    /// let change = state.wait_for_change();
    /// state.set(2);
    /// state.set(3);
    /// let change = change.await;
    /// assert_eq!((change.old, change.new), (1, 2));
    /// # });
    /// ```
    #[doc(alias = "changed")]
    pub fn wait_for_change(&self) -> Wait<'_, Transition<T>>
    where
        T: Clone,
    {
        wait::for_change(&self.cell)
    }

    /// The value, at the next transition into it: the present value does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let light = onlooker::Watched::new("green");
    /// let green_again = light.wait_for_next("green");
    /// light.set("red");
    /// light.set("green");
    /// assert_eq!(green_again.await, "green");
    /// # });
    /// ```
    pub fn wait_for_next(&self, value: T) -> Wait<'_, T>
    where
        T: Clone + PartialEq,
    {
        wait::for_value(&self.cell, Group::Equal, value, Present::Passes)
    }

    /// The value of the next transition for which `pred` holds: the present value does not count. Otherwise as
    /// [`wait_until`](Self::wait_until).
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let state = onlooker::Watched::new(8);
    /// let even_again = state.wait_until_next(|n| n % 2 == 0);
    /// state.set(9);
    /// state.set(10);
    /// assert_eq!(even_again.await, 10);
    /// # });
    /// ```
    pub fn wait_until_next(&self, mut pred: impl FnMut(&T) -> bool + Send + 'static) -> Wait<'_, T>
    where
        T: Clone + 'static,
    {
        let seek = move |value: &T| pred(value).then(|| value.clone());
        wait::seek(&self.cell, seek, Present::Passes)
    }
}

impl<U: Clone + Send + 'static> Watched<Option<U>> {
    /// The first `Some`, the present one included.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let address = onlooker::Watched::new(None);
    /// let bound = address.wait_for_some();
    /// address.set(Some("127.0.0.1:80"));
    /// assert_eq!(bound.await, "127.0.0.1:80");
    /// # });
    /// ```
    #[doc(alias = "wait_for_not_none")]
    pub fn wait_for_some(&self) -> Wait<'_, U> {
        wait::seek(&self.cell, Clone::clone, Present::Counts)
    }
}
