//! Whose turn it is at the callbacks of one state, and what is done with it. All of this outside the lock.
//!
//! **A turn cannot be lost**: it is a value whose drop gives it up, and whatever of the user's runs meanwhile is
//! caught. (Models `turn_*`.)

use super::Shared;
use crate::observers::{Hand, Left, Report, Turn};
use crate::park::block_on;
use crate::settle::{Chain, Settles};
use crate::sync::{MAY_WAIT, Pieces, catch, clock};
use core::task::Waker;

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
            .enter(|state| state.observers.dues.values.pop(chain));
        drop(value);
    }

    fn call_back(&self, ticket: u64, pieces: &mut Pieces) {
        loop {
            let mut mine = Mine {
                shared: self,
                ticket,
                hand: Hand::new(),
                over: true,
                wanted: false,
            };
            match mine.ask() {
                Turn::Yours => return mine.take(pieces),
                Turn::Taken if MAY_WAIT => {
                    let listener = self.turns.listen();
                    // It may have been given up before we listened.
                    if mine.ask_again() {
                        block_on(listener);
                    }
                }
                // Whoever has the turn calls this one back as well, or has done so.
                Turn::Taken | Turn::Done => return,
            }
        }
    }
}

/// The turn, or the wish for it.
struct Mine<'a, T> {
    shared: &'a Shared<T>,
    ticket: u64,
    hand: Hand<T>,
    /// It is given up, or was never had.
    over: bool,
    /// Others wait to be told that it was given up.
    wanted: bool,
}

impl<T> Mine<'_, T> {
    /// Asks for the turn, and takes the first callback in hand with it.
    fn ask(&mut self) -> Turn {
        let asked = self.shared.lock.enter(|state| {
            let Some(calls) = &mut state.observers.calls else {
                return Turn::Done;
            };
            let turn = calls.ask(self.ticket);
            self.over = turn != Turn::Yours;
            if !self.over {
                self.over = !calls.step(self.ticket, &mut self.hand);
                self.wanted = self.over && calls.somebody_waits();
            }
            turn
        });
        asked.unwrap_or(Turn::Done)
    }

    /// Whether somebody else still has the turn; then who gives it up will tell us.
    fn ask_again(&mut self) -> bool {
        let waits = self.shared.lock.enter(|state| {
            let calls = state.observers.calls.as_mut();
            calls.is_some_and(|calls| calls.wait_for_turn(self.ticket))
        });
        waits.unwrap_or(false)
    }

    /// Calls back all up to the ticket, then gives the turn up.
    fn take(mut self, pieces: &mut Pieces) {
        loop {
            self.call();
            let hand = &mut self.hand;
            let spent = &mut hand.spent;
            pieces.run(|| spent.heard = None);
            pieces.run(|| spent.call = None);
            while let Some(seat) = spent.seats.pop() {
                pieces.run(|| drop(seat));
            }
            if self.over {
                break;
            }
            let mut left = Left::new();
            self.shared.lock.enter(|state| {
                if let Some(calls) = &mut state.observers.calls {
                    self.over = !calls.step(self.ticket, &mut self.hand);
                    self.wanted = self.over && calls.somebody_waits();
                }
                // A callback that is finished may have been the last that looked.
                if self.over {
                    state.observers.let_sources_go(&mut left);
                }
            });
            pieces.run(|| drop(left));
        }
        if self.wanted {
            self.shared.turns.notify(usize::MAX);
        }
    }

    /// Runs the callback in hand. One that panics stays registered, and its panic ends here.
    fn call(&mut self) {
        let Some((call, heard)) = self.hand.ready() else {
            return;
        };
        let began = clock();
        let result = catch(|| call.call(heard));
        let took = clock().zip(began).map(|(now, began)| now - began);
        let panicked = result.is_err();
        let finished = result.unwrap_or(false);
        self.hand.report = Some(Report {
            finished,
            panicked,
            took,
        });
    }
}

impl<T> Drop for Mine<'_, T> {
    /// Only a panic that nothing could catch (without std) gets here with the turn.
    fn drop(&mut self) {
        if !self.over {
            self.shared.lock.enter(|state| {
                if let Some(calls) = &mut state.observers.calls {
                    calls.abandon(&mut self.hand);
                }
            });
            self.shared.turns.notify(usize::MAX);
        }
    }
}
