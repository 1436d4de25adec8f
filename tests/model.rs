//! Whole programs of operations against a sequential reference of the contract, compared after every step.
//!
//! `MODEL_PROGRAMS` and `MODEL_DEPTH` ask for more than the default; `corpus` is what fuzzing reached most with.

mod reference;

use reference::{Ask, Hear, Op, decode, run};
use std::panic::{AssertUnwindSafe, catch_unwind};

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

fn fails(program: &[Op]) -> bool {
    catch_unwind(AssertUnwindSafe(|| run(program))).is_err()
}

/// Takes out whatever the failure does not need.
fn shrink(mut program: Vec<Op>) -> Vec<Op> {
    let mut at = program.len();
    while at > 0 {
        at -= 1;
        let mut shorter = program.clone();
        shorter.remove(at);
        if fails(&shorter) {
            program = shorter;
        }
    }
    program
}

#[test]
fn random_programs_do_what_the_reference_does() {
    let mut steps = 0;
    let programs = asked("MODEL_PROGRAMS", 20_000);
    for seed in 0..programs {
        let mut random = Random(seed as u64);
        let length = 8 + random.next() as usize % 120;
        let bytes: Vec<u8> = (0..2 * length).map(|_| random.next() as u8).collect();
        let program = decode(&bytes);
        if fails(&program) {
            panic!(
                "seed {seed} fails; what is left of it: {:?}",
                shrink(program)
            );
        }
        steps += program.len();
    }
    println!("{programs} random programs, {steps} operations compared");
}

#[test]
fn what_fuzzing_kept_does_what_the_reference_does() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let (mut programs, mut steps) = (0, 0);
    for entry in std::fs::read_dir(corpus).expect("tests/corpus is a folder") {
        let path = entry.expect("it can be read").path();
        let bytes = std::fs::read(&path).expect("a file of bytes");
        let program = decode(&bytes[..bytes.len().min(512)]);
        if fails(&program) {
            panic!("{path:?} fails; what is left of it: {:?}", shrink(program));
        }
        programs += 1;
        steps += program.len();
    }
    assert!(programs > 400, "where has it gone? {programs}");
    println!("{programs} programs that fuzzing kept, {steps} operations compared");
}

/// The alphabet: one of each kind that can meet another within a few steps.
const ALPHABET: [Op; 14] = [
    Op::Set(1),
    Op::Replace(2),
    Op::Watch(0, None),
    Op::Watch(1, Some((1, false))),
    Op::Next(0),
    Op::TryRecv(1),
    Op::DropWatcher(1),
    Op::Wait(0, Ask::For(2)),
    Op::Wait(1, Ask::UntilNext(1)),
    Op::PollWait(0, 0),
    Op::PollWait(1, 1),
    Op::Pace(0, 3),
    Op::PollPaced(0),
    Op::Call(0, Hear::Chain(1)),
];

#[test]
fn every_short_program_does_what_the_reference_does() {
    let depth = asked("MODEL_DEPTH", 5) as u32;
    let mut steps = 0;
    let programs = ALPHABET.len().pow(depth);
    let mut program = vec![ALPHABET[0]; depth as usize];
    for number in 0..programs {
        let mut rest = number;
        for op in &mut program {
            *op = ALPHABET[rest % ALPHABET.len()];
            rest /= ALPHABET.len();
        }
        if fails(&program) {
            panic!("this program fails: {:?}", shrink(program));
        }
        steps += program.len();
    }
    println!("every program of {depth} operations: {programs}, {steps} operations compared");
}
