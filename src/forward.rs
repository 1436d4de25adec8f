//! The `Arc` of targets without compare-and-swap cannot forget the type of what it holds. There a second one holds the
//! first (`sync::erase`), which then has to be all that the state in it is.

use crate::cell::Shared;
use crate::settle::{AnyState, Chain, Flow, Settles, Source};
use crate::slab::Key;
use crate::sync::{Arc, Panic, Pieces};
use crate::wait::Asks;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::{Poll, Waker};

impl<T> Settles for Arc<Shared<T>> {
    fn take_wakers(&self, chain: &mut Chain, few: &mut [Option<Waker>]) {
        (**self).take_wakers(chain, few);
    }

    fn drop_value(&self, chain: &mut Chain) {
        (**self).drop_value(chain);
    }

    fn call_back(&self, ticket: u64, pieces: &mut Pieces) {
        (**self).call_back(ticket, pieces);
    }
}

impl<T: Send + 'static> AnyState for Arc<Shared<T>> {
    fn pass_on(&self, flow: &mut Flow<'_>) {
        (**self).pass_on(flow);
    }

    fn advance(&self, this: &Arc<dyn AnyState>, flow: &mut Flow<'_>) {
        (**self).advance(this, flow);
    }

    fn source_ended(&self) -> (Box<dyn Send>, Vec<Arc<dyn AnyState>>) {
        (**self).source_ended()
    }

    fn unfollow(&self, key: Key) -> (Box<dyn Send>, Vec<Source>) {
        (**self).unfollow(key)
    }
}

impl<T: Send + 'static> Asks for Arc<Shared<T>> {
    fn ask(
        &self,
        key: Key,
        waker: Option<&Waker>,
        polled: &mut bool,
        done: &mut bool,
        into: &mut dyn Any,
    ) -> Poll<Result<(), Option<Panic>>> {
        (**self).ask(key, waker, polled, done, into)
    }

    fn leave_wait(&self, key: Key) {
        (**self).leave_wait(key);
    }

    fn leave_view(&self) {
        (**self).leave_view();
    }

    fn is_inside(&self) -> bool {
        (**self).is_inside()
    }
}
