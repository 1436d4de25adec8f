//! Whose turn it is at the callbacks of one state, and what is done with it. All of this outside the lock.
//!
//! **A turn cannot be lost**: it is a value whose drop gives it up, and whatever of the user's runs meanwhile is
//! caught. (Models `turn_*`.)

use super::{Shared, State};
use crate::observers::{Hand, Left, Turn};
use crate::park::block_on;
use crate::settle::{AnyState, Chain, Depth, Settles, leave_errand};
use crate::sync::{Arc, MAY_WAIT, Pieces, erase};
use core::task::Waker;

/// Has a ticket called back: at once, or, inside another settlement of this thread, by the outermost setter.
pub(crate) type CallBack<T> = fn(&Arc<Shared<T>>, ticket: u64, &Depth, &mut Pieces);

/// A transition's place in the line of callbacks, and how to have it called back.
pub(crate) type Ticket<T> = (u64, CallBack<T>);

impl<T: Send + 'static> Shared<T> {
    pub(crate) fn call_back_in_turn(
        this: &Arc<Self>,
        ticket: u64,
        depth: &Depth,
        pieces: &mut Pieces,
    ) {
        if depth.is_outermost() {
            this.call_back(ticket, pieces);
        } else {
            leave_errand(erase!(this.clone() => dyn AnyState), ticket);
        }
    }
}

impl<T> Settles for Shared<T> {
    fn take_wakers(&self, chain: &mut Chain, few: &mut [Option<Waker>]) {
        self.lock.enter(|state| {
            for place in few {
                *place = state.observers.dues.wakers.pop(chain);
            }
        });
    }

    fn drop_value(&self, chain: &mut Chain) {
        let value = self
            .lock
            .enter(|state| state.observers.dues.values.pop_value(chain));
        drop(value);
    }

    fn call_back(&self, ticket: u64, pieces: &mut Pieces) {
        // Who was told, and is not the one, tells the next.
        let mut told = false;
        loop {
            let mut mine = Mine {
                shared: self,
                ticket,
                hand: Hand::new(),
                left: Left::new(),
                over: true,
                tell: 0,
            };
            let turn = mine.ask();
            if turn == Turn::Yours {
                mine.take(pieces);
                return;
            }
            if told {
                self.turns.notify(mine.tell);
            }
            // With interrupts whoever has the turn calls this one back as well.
            if turn == Turn::Done || !MAY_WAIT {
                return;
            }
            let listener = self.turns.listen();
            // It may have been given up before we listened.
            if mine.sleeps() {
                block_on(listener);
                told = true;
            }
        }
    }
}

/// The turn, or the wish for it.
struct Mine<'a, T> {
    shared: &'a Shared<T>,
    ticket: u64,
    hand: Hand<T>,
    /// What callbacks and transitions left.
    left: Left<T>,
    /// It is given up, or was never had.
    over: bool,
    /// How many to tell that the turn is free.
    tell: usize,
}

impl<T> Mine<'_, T> {
    /// Asks for the turn, and takes the first callback in hand with it.
    fn ask(&mut self) -> Turn {
        let asked = self.shared.lock.enter(|state| {
            let Some(calls) = &mut state.observers.calls else {
                return Turn::Done;
            };
            let turn = calls.ask(self.ticket);
            self.tell = calls.sleepers_to_tell();
            self.over = turn != Turn::Yours;
            if !self.over {
                self.step(state);
            }
            turn
        });
        asked.unwrap_or(Turn::Done)
    }

    /// Whether to sleep: somebody else still has the turn, and will tell us.
    fn sleeps(&mut self) -> bool {
        let sleeps = self.shared.lock.enter(|state| {
            let calls = state.observers.calls.as_mut();
            calls.is_some_and(|calls| calls.sleeps(self.ticket))
        });
        sleeps.unwrap_or(false)
    }

    fn step(&mut self, state: &mut State<T>) {
        if let Some(calls) = &mut state.observers.calls {
            self.over = !calls.step(self.ticket, &mut self.hand, &mut self.left);
            self.tell = calls.sleepers_to_tell();
        }
        // A callback that is finished may have been the last that looked.
        if self.over {
            state.put_away(&mut self.left);
        }
    }

    /// Calls back all up to the ticket, then gives the turn up.
    fn take(&mut self, pieces: &mut Pieces) {
        loop {
            self.hand.call();
            if !self.left.is_empty() {
                pieces.run(|| self.left.clear());
            }
            if self.over {
                break;
            }
            self.shared.lock.enter(|state| self.step(state));
        }
        if self.tell > 0 {
            self.shared.turns.notify(self.tell);
        }
    }
}

impl<T> Drop for Mine<'_, T> {
    /// Only a panic that nothing could catch (without std) gets here with the turn.
    fn drop(&mut self) {
        if !self.over {
            self.shared.lock.enter(|state| {
                if let Some(calls) = &mut state.observers.calls {
                    calls.abandon(&mut self.left);
                }
            });
            self.shared.turns.notify(usize::MAX);
        }
    }
}
