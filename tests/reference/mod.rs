//! The contract as plain sequential code, and an interpreter that runs a program of operations on both: on the crate
//! and on the reference, compared after every step.
//!
//! ```text
//! ops       what programs are made of, and how bytes are one        any bytes are a program
//! contract  states, who observes them, what a commit owes whom     the reference: plain and sequential
//! steps     each operation, as the contract has it
//! world     each operation, as the crate does it
//! pending   waits of all kinds
//! user      values, wakers, closures, payloads: they count their calls, and panic where they are told to
//! heap      a counting allocator
//! ```
//!
//! A new operation is a line in `ops`, one in `steps`, one in `world`; a new thing that can be seen, one in `compare`.

#![allow(dead_code, unreachable_pub)] // the fuzz target and the tests take different parts

mod compare;
pub mod contract;
pub mod heap;
pub mod ops;
pub mod pending;
mod steps;
pub mod user;
pub mod world;

#[allow(unused_imports)] // the tests take different halves
pub use compare::{fails, run, shrink};
#[allow(unused_imports)] // the fuzz target takes the bytes
pub use ops::{Op, decode};
