//! Any bytes are a program of operations; the interpreter is the tests'.
//!
//! `cargo +nightly fuzz run programs`. What is worth keeping becomes a line of `tests/corpus.txt` (`tests/model.rs` says
//! how), and a line becomes a file by `xxd -r -p`.

#![no_main]

#[path = "../../tests/reference/mod.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Longer programs meet nothing new, and a watcher that is always ready yields after 512 transitions.
    let program = reference::decode(&bytes[..bytes.len().min(512)]);
    reference::run(&program);
});
