//! How many instructions does one operation take?
//!
//! Times move with the machine's mood; instructions under valgrind do not. Each hot path runs in a process of its own
//! under callgrind, once for `SHORT` operations and once for `LONG`; the difference, divided, is what one of them
//! takes, and what starting and stopping takes drops out. `instructions.txt` beside this file keeps the figures.
//!
//! ```text
//! cargo bench --bench instructions              compare with what is kept; fails when one moved by more than 3 %
//! cargo bench --bench instructions -- set       only the paths whose name contains `set`
//! cargo bench --bench instructions -- --update  keep the figures of this run
//! ```

use onlooker::{Callback, Overflow, View, Wait, Watched, Watcher};
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::hint::black_box;
use std::mem::forget;
use std::pin::Pin;
use std::process::{Command, ExitCode, exit};
use std::sync::Mutex;
use std::task::{Context, Waker};

const KEPT: &str = "benches/instructions.txt";
const TOLERANCE: f64 = 0.03;
const WARM_UP: u64 = 512;
/// A multiple of 31 and of 16: an unbounded ring allocates for every 31 transitions, a ring of 16 goes round.
const SHORT: u64 = 992;
const LONG: u64 = 2 * SHORT;
/// More than a run needs.
const ROOM: usize = 4_096;

type Operation = Box<dyn FnMut(u64)>;
/// A name, and what sets it up.
type Path = (&'static str, fn() -> Operation);

/// Lives as long as the process: what is left at the end is not taken apart inside the count.
fn state() -> &'static Watched<u64> {
    Box::leak(Box::new(Watched::new(0)))
}

fn setting(observed: impl FnOnce(&'static Watched<u64>)) -> Operation {
    let state = state();
    observed(state);
    Box::new(move |n| {
        black_box(black_box(state).set(n));
    })
}

fn setting_beside(watchers: usize, capacity: Option<usize>, overflow: Overflow) -> Operation {
    setting(|state| forget(watch(state, watchers, capacity, overflow)))
}

fn watch(
    state: &Watched<u64>,
    watchers: usize,
    capacity: Option<usize>,
    overflow: Overflow,
) -> Vec<Watcher<u64>> {
    (0..watchers)
        .map(|_| match capacity {
            Some(capacity) => state.watch_bounded(capacity, overflow),
            None => state.watch(),
        })
        .collect()
}

/// One transition, and everyone takes it.
fn set_and_drain(count: usize, capacity: Option<usize>) -> Operation {
    let state = state();
    let mut watchers = watch(state, count, capacity, Overflow::DropOldest);
    Box::new(move |n| {
        black_box(state).set(n);
        for watcher in &mut watchers {
            assert!(black_box(watcher.try_recv()).is_ok());
        }
    })
}

/// One watcher with more transitions than a run takes.
fn backlog(capacity: Option<usize>) -> Watcher<u64> {
    let state = state();
    let mut watchers = watch(state, 1, capacity, Overflow::DropOldest);
    (1..=ROOM as u64).for_each(|n| {
        state.set(n);
    });
    watchers.pop().expect("one watcher")
}

fn poll<F: Future + Unpin>(future: &mut F) -> bool {
    Pin::new(future)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// `count` tasks that wait for what never comes.
fn waiting(
    count: u64,
    join: impl Fn(&'static Watched<u64>, u64) -> Wait<'static, u64>,
) -> Operation {
    setting(|state| {
        for own in 0..count {
            let mut wait = join(state, u64::MAX - own);
            assert!(!poll(&mut wait));
            forget(wait);
        }
    })
}

/// Create, poll, and then: a match and the poll that takes it, or drop.
fn wait_cycle(
    met: bool,
    join: impl Fn(&'static Watched<u64>, u64) -> Wait<'static, u64> + 'static,
) -> Operation {
    let state = state();
    Box::new(move |n| {
        let mut wait = join(black_box(state), n);
        assert!(!poll(&mut wait));
        if met {
            state.set(n);
            assert!(poll(&mut wait));
        }
    })
}

/// One transition to one that sleeps.
fn asleep(capacity: Option<usize>) -> Operation {
    let state = state();
    let mut watcher = watch(state, 1, capacity, Overflow::DropOldest).remove(0);
    Box::new(move |n| {
        let mut recv = watcher.recv();
        assert!(!poll(&mut recv));
        state.set(n);
        assert!(poll(&mut recv));
    })
}

/// One transition to so many that sleep. What keeps their futures is counted too.
fn all_asleep(count: usize, capacity: Option<usize>) -> Operation {
    let state = state();
    let mut watchers = watch(state, count, capacity, Overflow::DropOldest);
    Box::new(move |n| {
        let mut asleep: Vec<_> = watchers.iter_mut().map(Watcher::recv).collect();
        assert!(asleep.iter_mut().all(|recv| !poll(recv)));
        state.set(n);
        assert!(asleep.iter_mut().all(poll));
    })
}

/// Of a thousand tasks that wait one is met, looks, and waits again.
fn one_of_a_thousand(
    join: impl Fn(&'static Watched<u64>, u64) -> Wait<'static, u64> + 'static,
) -> Operation {
    let state = state();
    let joined = move |own| {
        let mut wait = join(state, own);
        assert!(!poll(&mut wait));
        wait
    };
    let mut waits: Vec<_> = (0..1_000).map(&joined).collect();
    Box::new(move |n| {
        let own = n % 1_000;
        let wait = &mut waits[own as usize];
        black_box(state).replace(own);
        assert!(poll(wait));
        *wait = joined(own);
    })
}

fn next_until(state: &'static Watched<u64>, own: u64) -> Wait<'static, u64> {
    state.wait_until(move |value| *value == own)
}

/// So many states that derive from the one that is set.
fn derived<U: 'static>(count: u64, derive: impl Fn(&View<u64>, u64) -> View<U>) -> Operation {
    setting(|state| {
        let view = state.view();
        (0..count).for_each(|own| forget(derive(&view, own)));
    })
}

/// What nobody sets.
fn still(value: u64) -> View<u64> {
    let state: &Watched<u64> = Box::leak(Box::new(Watched::new(value)));
    state.view()
}

fn with_callbacks(count: usize) -> Operation {
    setting(|state| {
        for _ in 0..count {
            state.on_change(|change| _ = black_box(change.new)).detach();
        }
    })
}

/// Every hot path, in the order in which they are printed.
fn paths() -> Vec<Path> {
    use Overflow::{DropNewest, DropOldest};
    vec![
        ("floor: nothing, the loop itself", || {
            Box::new(|n| _ = black_box(n))
        }),
        ("floor: lock and store a std Mutex", || {
            let floor: &Mutex<u64> = Box::leak(Box::new(Mutex::new(0)));
            Box::new(move |n| *black_box(floor).lock().expect("no panic") = n)
        }),
        ("get", || {
            let state = state();
            Box::new(move |_| _ = black_box(black_box(state).get()))
        }),
        ("get, observed", || {
            let state = state();
            forget(state.watch());
            Box::new(move |_| _ = black_box(black_box(state).get()))
        }),
        ("Reader::get, unchanged", || {
            let mut reader = state().reader();
            Box::new(move |_| _ = black_box(*black_box(&mut reader).get()))
        }),
        ("set, nobody watches", || setting(|_| ())),
        ("set, equal", || {
            let state = state();
            Box::new(move |_| _ = black_box(black_box(state).set(0)))
        }),
        ("set_if", || {
            let state = state();
            Box::new(move |n| _ = black_box(black_box(state).set_if(n, |value| *value != n)))
        }),
        ("update", || {
            let state = state();
            Box::new(move |_| _ = black_box(black_box(state).update(|value| value + 1)))
        }),
        ("modify", || {
            let state = state();
            Box::new(move |_| _ = black_box(black_box(state).modify(|value| *value += 1)))
        }),
        ("set, 1 full ring, DropOldest", || {
            setting_beside(1, Some(16), DropOldest)
        }),
        ("set, 64 full rings, DropOldest", || {
            setting_beside(64, Some(16), DropOldest)
        }),
        ("set, 1 full ring of 1", || {
            setting_beside(1, Some(1), DropOldest)
        }),
        ("set, 1 full ring, DropNewest", || {
            setting_beside(1, Some(16), DropNewest)
        }),
        ("set, 64 full rings, DropNewest", || {
            setting_beside(64, Some(16), DropNewest)
        }),
        ("set, 1 ring with room", || {
            setting_beside(1, Some(ROOM), DropOldest)
        }),
        ("set, 64 rings with room", || {
            setting_beside(64, Some(ROOM), DropOldest)
        }),
        ("set, 1 unbounded ring", || {
            setting_beside(1, None, DropOldest)
        }),
        ("set, 64 unbounded rings", || {
            setting_beside(64, None, DropOldest)
        }),
        ("set, 1 ring drained each time", || {
            set_and_drain(1, Some(16))
        }),
        ("set, 64 rings drained each time", || {
            set_and_drain(64, Some(16))
        }),
        ("set, 1 unbounded drained each time", || {
            set_and_drain(1, None)
        }),
        ("set, 64 unbounded drained each time", || {
            set_and_drain(64, None)
        }),
        ("try_recv, bounded", || {
            let mut watcher = backlog(Some(ROOM));
            Box::new(move |_| assert!(black_box(watcher.try_recv()).is_ok()))
        }),
        ("try_recv, unbounded", || {
            let mut watcher = backlog(None);
            Box::new(move |_| assert!(black_box(watcher.try_recv()).is_ok()))
        }),
        ("try_recv, empty", || {
            let mut watcher = state().watch();
            Box::new(move |_| assert!(black_box(watcher.try_recv()).is_err()))
        }),
        ("recv, ready", || {
            let mut watcher = backlog(Some(ROOM));
            // It yields now and then.
            Box::new(move |_| while !poll(&mut watcher.recv()) {})
        }),
        ("recv: poll, set, poll", || asleep(Some(16))),
        ("recv, unbounded: poll, set, poll", || asleep(None)),
        ("recv of 64: poll, set, poll", || all_asleep(64, Some(16))),
        ("recv of 64, unbounded: poll, set, poll", || {
            all_asleep(64, None)
        }),
        ("wait_for: create, poll, set, poll", || {
            wait_cycle(true, Watched::wait_for)
        }),
        ("wait_for: create, poll, drop", || {
            wait_cycle(false, Watched::wait_for)
        }),
        ("wait_until: create, poll, set, poll", || {
            wait_cycle(true, next_until)
        }),
        ("wait_until: create, poll, drop", || {
            wait_cycle(false, next_until)
        }),
        ("set, 1,000 value waits, none matches", || {
            waiting(1_000, Watched::wait_for)
        }),
        ("set, 1,000 predicates, none holds", || {
            waiting(1_000, next_until)
        }),
        ("replace, one of 1,000 value waits matches", || {
            one_of_a_thousand(Watched::wait_for_next)
        }),
        ("replace, one of 1,000 predicates holds", || {
            one_of_a_thousand(|state, own| state.wait_until_next(move |value| *value == own))
        }),
        ("set, 1 callback", || with_callbacks(1)),
        ("set, 64 callbacks", || with_callbacks(64)),
        ("set, 1 map", || {
            derived(1, |view, own| view.map(move |value| value + own))
        }),
        ("set, 64 maps", || {
            derived(64, |view, own| view.map(move |value| value + own))
        }),
        ("set, 1 zip", || {
            derived(1, |view, own| view.zip(&still(own)))
        }),
        ("set, 64 zips", || {
            derived(64, |view, own| view.zip(&still(own)))
        }),
        ("set, a diamond", || {
            derived(1, |view, own| {
                let (left, right) = (
                    view.map(move |value| value + own),
                    view.map(|value| value * 2),
                );
                left.zip(&right)
            })
        }),
        ("set, history of 16", || {
            let state: &Watched<u64> = Box::leak(Box::new(Watched::with_history(0, 16)));
            Box::new(move |n| _ = black_box(black_box(state).set(n)))
        }),
        ("view and drop", || {
            let state = state();
            Box::new(move |_| _ = black_box(state).view())
        }),
        ("map and drop", || {
            let view = state().view();
            Box::new(move |_| _ = black_box(&view).map(|value| value + 1))
        }),
        ("View::get", || {
            let view = state().view();
            Box::new(move |_| _ = black_box(black_box(&view).get()))
        }),
        ("View::wait_for: create, poll, set, poll", || {
            let state = state();
            let view = state.view();
            Box::new(move |n| {
                let mut wait = black_box(&view).wait_for(n);
                assert!(!poll(&mut wait));
                state.set(n);
                assert!(poll(&mut wait));
            })
        }),
        ("on_change and drop", || {
            let state = state();
            Box::new(move |_| drop::<Callback>(black_box(state).on_change(|_| ())))
        }),
        ("watch and drop", || {
            let state = state();
            Box::new(move |_| _ = black_box(state).watch())
        }),
        ("watch_bounded(16) and drop", || {
            let state = state();
            Box::new(move |_| _ = black_box(state).watch_bounded(16, DropOldest))
        }),
    ]
}

/// The child: so many operations, then out.
fn run(name: &str, times: u64) -> ! {
    let Some((_, path)) = paths().into_iter().find(|(known, _)| *known == name) else {
        panic!("no path is called {name:?}");
    };
    let mut operation = path();
    (1..=WARM_UP + times).for_each(|n| operation(black_box(n)));
    exit(0);
}

/// Instructions that a process takes for `times` operations.
fn count(name: &str, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("a path to this program"))
        .args(["--run", name, &times.to_string()])
        // What the environment holds moves the stack about.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output()
        .expect("valgrind, of the Debian package of that name");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    said.lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, figure)| figure.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind says how many, not {said}"))
}

/// Figures by name. Lines that begin with `#` are for the reader.
fn kept() -> BTreeMap<String, f64> {
    fs::read_to_string(KEPT)
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .map(|(figure, name)| (name.to_owned(), figure.parse().expect("a figure")))
        .collect()
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "rustc unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [mode, name, times] = &arguments[..]
        && mode == "--run"
    {
        run(name, times.parse().expect("how many times"));
    }
    // `cargo test` runs benches without this flag: then there is nothing to measure.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let update = arguments.iter().any(|argument| argument == "--update");
    let filter: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut kept = kept();
    let mut file = format!(
        "# Instructions of one operation, counted by callgrind. `.ci/instructions --update` writes this file.\n\
         # {}, {}-{}, profile bench\n",
        compiler(),
        env::consts::ARCH,
        env::consts::OS,
    );
    let mut moved = 0;
    println!("    kept      now");
    for (name, _) in paths() {
        let before = kept.remove(name);
        let chosen = filter.is_empty() || filter.iter().any(|part| name.contains(part.as_str()));
        let now = if chosen {
            (count(name, LONG) - count(name, SHORT)) as f64 / (LONG - SHORT) as f64
        } else if let (true, Some(before)) = (update, before) {
            before
        } else {
            continue;
        };
        writeln!(file, "{now:.1}\t{name}").expect("a string takes everything");
        let verdict = match before {
            _ if !chosen => continue,
            None => {
                moved += 1;
                "new: keep it with --update".into()
            }
            Some(before) if (now - before).abs() <= before * TOLERANCE => String::new(),
            Some(before) => {
                moved += 1;
                let by = (now / before - 1.0) * 100.0;
                let advice = if by < 0.0 {
                    ", better: keep it with --update"
                } else {
                    ""
                };
                format!("{by:+.1} %{advice}")
            }
        };
        println!(
            "{:>8} {now:>8.1}  {name}  {verdict}",
            before.map_or("–".into(), |figure| format!("{figure:.1}"))
        );
    }
    if update {
        fs::write(KEPT, file).expect("a place for the figures");
        return ExitCode::SUCCESS;
    }
    if filter.is_empty() {
        for (name, figure) in &kept {
            println!("{figure:>8}        –  {name}  gone: drop it with --update");
            moved += 1;
        }
    }
    if moved > 0 {
        println!("{moved} moved");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
