//! What do the parts cost that everything is made of?

mod common;

use common::{Findings, Side, waker};
use concurrent_queue::ConcurrentQueue;
use event_listener::{Event, Listener};
use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::Context;

fn main() {
    let Some(mut findings) = Findings::of("floors") else {
        return;
    };
    let mut one = |what: &str, operation: &mut dyn FnMut(u64)| {
        let side = Side::each("alone", operation);
        if findings.wants(what, 1) {
            findings.row(what, 1, vec![side]);
        }
    };
    one("the loop itself", &mut |n| _ = black_box(n));
    let number = AtomicU64::new(0);
    one("atomic load", &mut |_| {
        _ = black_box(number.load(Ordering::Acquire));
    });
    one("atomic exchange", &mut |n| {
        _ = black_box(number.swap(n, Ordering::SeqCst));
    });
    one("atomic compare-exchange", &mut |_| {
        let present = number.load(Ordering::Relaxed);
        let next = present.wrapping_add(1);
        let done = number.compare_exchange(present, next, Ordering::SeqCst, Ordering::Relaxed);
        _ = black_box(done.is_ok());
    });
    one("fence", &mut |_| fence(Ordering::SeqCst));
    let lock = Mutex::new(0);
    one("Mutex: lock, store, unlock", &mut |n| {
        *lock.lock().unwrap() = n;
    });
    let queue = ConcurrentQueue::bounded(16);
    one("bounded queue: push and pop", &mut |n| {
        _ = black_box(queue.push((n, n)).is_ok());
        _ = black_box(queue.pop().is_ok());
    });
    while queue.push((0, 0)).is_ok() {}
    one("full queue: forced push", &mut |n| {
        _ = black_box(queue.force_push((n, n)).is_ok());
    });
    one("full queue: is_full, pop, push", &mut |n| {
        if queue.is_full() {
            _ = black_box(queue.pop().is_ok());
        }
        _ = black_box(queue.push((n, n)).is_ok());
    });
    one("full queue: is_full", &mut |_| {
        _ = black_box(queue.is_full());
    });
    let queue = ConcurrentQueue::unbounded();
    one("unbounded queue: push and pop", &mut |n| {
        _ = black_box(queue.push((n, n)).is_ok());
        _ = black_box(queue.pop().is_ok());
    });
    // Without a queue of its own that is shared: what the lock of the state already guards.
    let mut deque = VecDeque::with_capacity(16);
    one("plain deque: push and pop", &mut |n| {
        deque.push_back((n, n));
        _ = black_box(deque.pop_front());
    });
    let waker = waker();
    one("waker: clone and drop", &mut |_| {
        drop(black_box(waker.clone()));
    });
    let event = Event::<()>::new();
    one("Event: notify, nobody listens", &mut |_| {
        _ = black_box(event.notify(1));
    });
    one("Event: listen and drop", &mut |_| {
        drop(black_box(event.listen()));
    });
    one("Event: listen, poll, notify, poll", &mut |_| {
        event_listener::listener!(event => listener);
        let mut listener = pin!(listener);
        let context = &mut Context::from_waker(&waker);
        assert!(listener.as_mut().poll(context).is_pending());
        event.notify(1);
        assert!(listener.as_mut().poll(context).is_ready());
    });
    one("Event: listen, notify, wait", &mut |_| {
        event_listener::listener!(event => listener);
        event.notify(1);
        listener.wait();
    });
}
