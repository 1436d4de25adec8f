//! Who saw what, when, and what was missed: `cargo run --example timeline`.
//!
//! Time runs downwards, one line a tick. `--plain`, `NO_COLOR` or a pipe instead of a terminal: no colours, no waiting.

use futures_lite::future::{block_on, poll_once};
use onlooker::{Overflow, Transition, Watched, Watcher};
use std::fmt::Display;
use std::io::{IsTerminal, Write, stdout};
use std::thread;
use std::time::Duration;

const SEEN: &str = "32";
const LOST: &str = "31";
const QUIET: &str = "2";
const TITLE: &str = "1";

/// A table that is drawn line by line.
struct Picture {
    alive: bool,
    widths: Vec<usize>,
}

/// One field: its text and colour.
type Field = (String, &'static str);

fn seen(text: impl Display) -> Field {
    (text.to_string(), SEEN)
}

fn lost(text: impl Display) -> Field {
    (text.to_string(), LOST)
}

fn quiet(text: impl Display) -> Field {
    (text.to_string(), QUIET)
}

fn nothing() -> Field {
    quiet("·")
}

impl Picture {
    fn new(title: &str, columns: &[(&str, usize)]) -> Self {
        let plain = std::env::args().any(|argument| argument == "--plain")
            || std::env::var_os("NO_COLOR").is_some();
        let picture = Self {
            alive: stdout().is_terminal() && !plain,
            widths: columns.iter().map(|(_, width)| *width).collect(),
        };
        println!("\n{title}\n");
        picture.line(columns.iter().map(|(name, _)| (name.to_string(), TITLE)));
        let rules = columns.iter().map(|(_, width)| quiet("─".repeat(*width)));
        picture.line(rules);
        picture
    }

    fn line(&self, fields: impl IntoIterator<Item = Field>) {
        let mut line = String::new();
        for ((text, colour), width) in fields.into_iter().zip(&self.widths) {
            let padding = width.saturating_sub(text.chars().count());
            if self.alive {
                line += &format!("\x1b[{colour}m{text}\x1b[0m");
            } else {
                line += &text;
            }
            line += &" ".repeat(padding + 2);
        }
        println!("{}", line.trim_end());
        if self.alive {
            stdout().flush().expect("a terminal");
            thread::sleep(Duration::from_millis(350));
        }
    }
}

/// Takes what has come, at most so many.
fn take<T: Clone>(watcher: &mut Watcher<T>, most: usize) -> Vec<Transition<T>> {
    let next = || watcher.try_recv().ok();
    std::iter::from_fn(next).take(most).collect()
}

fn joined<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    values.join(" ")
}

/// Two states in one tick: whoever looks at the present value misses the first.
fn one_tick() {
    let picture = Picture::new(
        "A connection closes in one tick. Its readers run after it, once a tick.",
        &[
            ("tick", 4),
            ("set", 15),
            ("looks now and then", 18),
            ("wait_for(closing)", 17),
            ("watch()", 15),
        ],
    );
    let state = Watched::new("open");
    let mut closing = Some(state.wait_for("closing"));
    let mut watcher = state.watch();
    let mut last = state.get();
    let script: [&[&str]; 5] = [&[], &["busy"], &[], &["closing", "closed"], &[]];
    for (tick, sets) in (1..).zip(script) {
        for value in sets {
            state.set(value);
        }
        let now = state.get();
        let looks = match now == last {
            true => nothing(),
            false if now == "closed" => lost("closed"),
            false => seen(now),
        };
        last = now;
        let waits = match closing.as_mut().map(|wait| block_on(poll_once(wait))) {
            Some(Some(value)) => {
                closing = None;
                seen(format!("got {value}"))
            }
            Some(None) => quiet("waiting"),
            None => nothing(),
        };
        let watched = take(&mut watcher, usize::MAX);
        let watched = match watched.is_empty() {
            true => nothing(),
            false => seen(joined(watched.iter().map(|change| change.new))),
        };
        let set = match sets.is_empty() {
            true => nothing(),
            false => (joined(sets), TITLE),
        };
        picture.line([quiet(tick), set, looks, waits, watched]);
    }
    println!("\nWho looks at the present value never saw `closing`.");
    println!("The wait was decided at the moment at which it was set.");
}

/// Bursts of three against readers that take one a tick.
fn overflow() {
    let picture = Picture::new(
        "Bursts, and readers that take one transition a tick. +n: missed before it.",
        &[
            ("tick", 4),
            ("set", 8),
            ("unbounded", 10),
            ("2, DropOldest", 13),
            ("2, DropNewest", 13),
            ("set_paced", 9),
            ("2, paced", 8),
        ],
    );
    let state = Watched::new(0);
    let mut watchers = [
        state.watch(),
        state.watch_bounded(2, Overflow::DropOldest),
        state.watch_bounded(2, Overflow::DropNewest),
    ];
    let paced_state = Watched::new(0);
    let mut paced_watcher = paced_state.watch_bounded(2, Overflow::DropNewest);
    // A setter that can wait: the same values, one after the other.
    let mut paced = (1..=7).map(|value| (value, paced_state.set_paced(value)));
    let mut waiting = None;
    let mut allowed = 0;

    let bursts = [3, 0, 1, 3, 0, 0, 0, 0];
    let mut value = 0;
    for (tick, burst) in (1..).zip(bursts) {
        let sets: Vec<_> = (value + 1..=value + burst).collect();
        value += burst;
        allowed += burst;
        for value in &sets {
            state.set(*value);
        }
        let mut done = Vec::new();
        let mut held = false;
        while allowed > 0 {
            let Some((value, mut set)) = waiting.take().or_else(|| paced.next()) else {
                break;
            };
            if block_on(poll_once(&mut set)).is_none() {
                waiting = Some((value, set));
                held = true;
                break;
            }
            done.push(value);
            allowed -= 1;
        }
        let mut line = vec![quiet(tick)];
        line.push(match sets.is_empty() {
            true => nothing(),
            false => (joined(sets), TITLE),
        });
        for watcher in &mut watchers {
            line.push(received(watcher));
        }
        line.push(match (done.is_empty(), held) {
            (true, true) => quiet("waits"),
            (true, false) => nothing(),
            (false, true) => (joined(done) + " ...", TITLE),
            (false, false) => (joined(done), TITLE),
        });
        line.push(received(&mut paced_watcher));
        picture.line(line);
    }
    let [unbounded, oldest, newest] = watchers;
    println!(
        "\nmissed: unbounded {}, DropOldest {} (ends on {}), DropNewest {} (ends on {}), paced {}",
        unbounded.missed(),
        oldest.missed(),
        oldest.seen(),
        newest.missed(),
        newest.seen(),
        paced_watcher.missed(),
    );
    assert_eq!((unbounded.missed(), paced_watcher.missed()), (0, 0));
    assert_eq!(*oldest.seen(), state.get());
}

/// One transition, and what was missed before it.
fn received(watcher: &mut Watcher<i32>) -> Field {
    match take(watcher, 1).first() {
        None => nothing(),
        Some(change) if change.missed > 0 => lost(format!("{} +{}", change.new, change.missed)),
        Some(change) => seen(change.new),
    }
}

fn main() {
    one_tick();
    overflow();
}
