//! Linearizability: what threads saw must be explained by *some* order of their calls, each of which took effect at one moment
//! between its beginning and its end.
//!
//! Small programs of several threads run on fresh states at full speed; beginnings and ends are stamped by one counter, and
//! a search in the manner of Wing and Gong looks for the order. `HISTORIES=100000` sets how many.
//!
//! Waits are decided in the commit, those with a predicate too: what they answer is explained like anything else. Only
//! `version` is read without the lock: it may count a transition that is being committed at that moment, before others
//! have it.

mod one;
mod pair;
mod search;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

fn poll<F: Future + Unpin>(future: &mut Option<F>) -> Option<F::Output> {
    let waiting = future.as_mut()?;
    match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => {
            *future = None;
            Some(output)
        }
        Poll::Pending => None,
    }
}
