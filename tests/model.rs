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

/// What a thread keeps for good it allocates at first: programs that fall asleep, block, and call back.
fn warm_up() {
    run(&decode(&(0..=255).collect::<Vec<u8>>()));
    run(&[
        Op::View(0, Face::Root(0)),
        Op::Wait(0, Face::View(0), Ask::For(1), Until::Unless),
        Op::WaitNow(Face::Root(0), Ask::For(1)),
        Op::Call(0, Face::Root(0), Hear::Chain(1, 1)),
        Op::Set(0, 1),
    ]);
}

#[test]
fn random_programs_do_what_the_reference_does() {
    warm_up();
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
