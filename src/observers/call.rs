//! The calling role: runs callbacks.

use super::{Judged, Observers, Relief};
use crate::callback::Call;
use crate::cell::Shared;
use crate::roll::Key;
use crate::sync::{Panic, catch};
use alloc::boxed::Box;

impl<T> Observers<T> {
    /// Takes back the callback that ran and gives out the next one.
    fn next_call(&mut self, turn: &mut Turn<T>) -> bool {
        if let Some(mut taken) = turn.call.take() {
            if taken.finished {
                self.callbacks.leave(taken.key);
            } else if let Some(seat) = self.callbacks.get(taken.key) {
                seat.call = taken.closure.take();
            }
            turn.spent = taken.closure;
        }
        turn.relief = self.relieve();
        loop {
            match &turn.judged {
                Some(Judged::Transition(transition)) => {
                    while let Some((key, seat)) = self.callbacks.advance() {
                        if seat.since < transition.seq || cfg!(fault = "called_for_the_past") {
                            if let Some(call) = seat.call.take() {
                                turn.call = Some(Taken::new(key, call));
                                return true;
                            }
                        }
                    }
                }
                Some(Judged::Debut(key, _)) if !turn.shown => {
                    turn.shown = true;
                    let call = self.callbacks.get(*key).and_then(|seat| seat.call.take());
                    if let Some(call) = call {
                        turn.call = Some(Taken::new(*key, call));
                        return true;
                    }
                }
                _ => {}
            }
            if turn.judged.is_some() || turn.spent.is_some() || turn.relief.any() {
                turn.done = turn.judged.take();
                return true;
            }
            let Some(judged) = self.judged.pop_front() else {
                self.calling = false;
                return false;
            };
            turn.judged = Some(judged);
            turn.shown = false;
            self.callbacks.rewind();
        }
    }
}

/// A callback in the hands of the thread that runs it.
struct Taken<T> {
    key: Key,
    closure: Option<Box<dyn Call<T>>>,
    finished: bool,
}

impl<T> Taken<T> {
    fn new(key: Key, closure: Box<dyn Call<T>>) -> Self {
        Self {
            key,
            closure: Some(closure),
            finished: false,
        }
    }
}

/// What the calling thread has in hand.
struct Turn<T> {
    call: Option<Taken<T>>,
    spent: Option<Box<dyn Call<T>>>,
    judged: Option<Judged<T>>,
    shown: bool,
    done: Option<Judged<T>>,
    relief: Relief,
    trouble: Option<Panic>,
}

impl<T> Turn<T> {
    fn work(&mut self, shared: &Shared<T>) {
        let trouble = &mut self.trouble;
        let mut run = |f: &mut dyn FnMut()| {
            if let Err(panic) = catch(f) {
                trouble.get_or_insert(panic);
            }
        };
        if self.relief.any() {
            let mut relief = Some(core::mem::take(&mut self.relief));
            run(&mut || {
                if let Some(relief) = relief.take() {
                    relief.give(&shared.relief);
                }
            });
        }
        let mut spent = self.spent.take();
        run(&mut || drop(spent.take()));
        let mut done = self.done.take();
        run(&mut || drop(done.take()));
        if let (Some(taken), Some(judged)) = (&mut self.call, &self.judged) {
            if let Some(call) = &mut taken.closure {
                // A callback that panics stays; its panic has been reported by the hook and ends here.
                taken.finished = catch(|| call.call(judged)).unwrap_or(false);
            }
        }
    }
}

impl<T> Shared<T> {
    /// Calls callbacks until nothing is left. The caller holds the calling role.
    pub(super) fn call(&self) -> Option<Panic> {
        let mut turn = Turn {
            call: None,
            spent: None,
            judged: None,
            shown: false,
            done: None,
            relief: Relief::default(),
            trouble: None,
        };
        while self
            .lock
            .with(|state| state.observers().next_call(&mut turn))
        {
            turn.work(self);
        }
        turn.trouble
    }
}
