//! Whole programs of operations against a sequential reference of the contract, compared after every step.
//!
//! `MODEL_PROGRAMS` and `MODEL_DEPTH` ask for more than the default; `corpus.txt` is what fuzzing reached most with.

mod reference;

use reference::ops::{Ask, Closure, Face, Guard, Hear, Kind, Until};
use reference::{Op, decode, fails, heap, run, shrink};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

fn asked(variable: &str, default: usize) -> usize {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// `SplitMix64`: all the randomness these tests need.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

#[test]
fn random_programs_do_what_the_reference_does() {
    let mut steps = 0;
    let programs = asked("MODEL_PROGRAMS", 4_000);
    for seed in 0..programs {
        let mut random = Random(seed as u64);
        let length = 8 + random.next() as usize % 120;
        let bytes: Vec<u8> = (0..2 * length).map(|_| random.next() as u8).collect();
        let program = decode(&bytes);
        if fails(&program) {
            panic!(
                "seed {seed} fails; what is left of it: {:?}",
                shrink(program, fails)
            );
        }
        steps += program.len();
    }
    println!("{programs} random programs, {steps} operations compared");
}

#[test]
fn debug() {
    run(&[
        Op::View(0, Face::Root(0)),
        Op::All(3, 14),
        Op::Zip(2, 3, 0),
        Op::Call(2, Face::View(2), Hear::Chain(1, 2)),
        Op::Inside(1, Closure::ReplaceWith, Guard::View(2), true),
    ]);
}
