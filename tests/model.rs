//! Whole programs of operations against a sequential reference of the contract, compared after every step.
//!
//! `MODEL_PROGRAMS` and `MODEL_DEPTH` ask for more than the default; `corpus.txt` is what fuzzing reached most with.

mod reference;

use reference::ops::{Ask, Closure, Face, Guard, Hear, Kind, Until};
use reference::{Op, decode, fails, heap, shrink};

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

/// What fuzzing kept, a program a line, as hex. To add to it: `cargo +nightly fuzz run programs` keeps what reaches
/// something new in a folder; `xxd -p FILE | tr -d '\\n'` is a file's line.
const CORPUS: &str = include_str!("corpus.txt");

#[test]
fn what_fuzzing_kept_does_what_the_reference_does() {
    let (mut programs, mut steps) = (0, 0);
    for line in CORPUS.lines() {
        let digits = line.as_bytes().chunks_exact(2);
        let byte = |two: &[u8]| {
            let digits = std::str::from_utf8(two).expect("hex digits");
            u8::from_str_radix(digits, 16).expect("two hex digits")
        };
        let bytes: Vec<u8> = digits.map(byte).collect();
        let program = decode(&bytes[..bytes.len().min(512)]);
        if fails(&program) {
            panic!(
                "line {programs} fails; what is left of it: {:?}",
                shrink(program, fails)
            );
        }
        programs += 1;
        steps += program.len();
    }
    assert!(programs > 400, "where has it gone? {programs}");
    println!("{programs} programs that fuzzing kept, {steps} operations compared");
}

/// The alphabet: one of each kind that can meet another within a few steps.
const ALPHABET: [Op; 22] = [
    Op::Set(0, 1),
    Op::Replace(1, 2),
    Op::Watch(0, Face::Root(0), None),
    Op::Watch(1, Face::View(0), Some((1, false))),
    Op::Resume(2, Face::Root(1), 1),
    Op::Next(0),
    Op::TryRecv(1),
    Op::DropWatcher(1),
    Op::Wait(0, Face::Root(0), Ask::For(2), Until::Forever),
    Op::Wait(1, Face::View(1), Ask::UntilNext(1), Until::Unless),
    Op::Wait(2, Face::Root(0), Ask::Unwatched, Until::Forever),
    Op::PollWait(0, 0),
    Op::PollWait(1, 1),
    Op::OpenGate(1),
    Op::Pace(0, 0, 3),
    Op::PollPaced(0),
    Op::Call(0, Face::Root(0), Hear::Chain(1, 1)),
    Op::View(0, Face::Root(0)),
    Op::Map(1, 0, Kind::Turn),
    Op::Zip(1, 0, 1),
    Op::Inside(0, Closure::Update, Guard::View(1), false),
    Op::End(0),
];

#[test]
fn every_short_program_does_what_the_reference_does() {
    let depth = asked("MODEL_DEPTH", 3) as u32;
    let mut steps = 0;
    let programs = ALPHABET.len().pow(depth);
    // Two views are there before it begins: most operations look through one.
    let prefix = [Op::View(0, Face::Root(0)), Op::View(1, Face::Root(1))];
    let mut program = prefix.to_vec();
    for number in 0..programs {
        program.truncate(prefix.len());
        let mut rest = number;
        for _ in 0..depth {
            program.push(ALPHABET[rest % ALPHABET.len()]);
            rest /= ALPHABET.len();
        }
        if fails(&program) {
            panic!("this program fails: {:?}", shrink(program, fails));
        }
        steps += program.len();
    }
    println!("every program of {depth} operations: {programs}, {steps} operations compared");
}
