//! The harness: sides of a comparison in interleaved rounds, so that what disturbs one disturbs all.
//!
//! Every round of every side is kept in `target/bench/<question>.tsv` (question, row, x, who, unit, rounds);
//! `benches/report.py` makes tables and plots of these. Only ratios within one run mean anything.
//!
//! `BENCH_QUICK` in the environment: a third of the rounds. `BENCH_ROWS`: these rows alone, each a line of row and x.

#![allow(dead_code)]

use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::{Barrier, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 21;
const ROUND: Duration = Duration::from_millis(2);

/// Runs its operation so many times and says how long that took. Setting up and clearing away stay out of it.
type Run<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// One of those compared.
pub(crate) struct Side<'a> {
    who: String,
    /// How many figures one operation stands for: watchers served, transitions handed over.
    per: u64,
    /// What a round may not exceed: the room there is.
    most: u64,
    /// What one round should take.
    round: Duration,
    run: Run<'a>,
}

impl<'a> Side<'a> {
    pub(crate) fn new(who: &str, run: impl FnMut(u64) -> Duration + 'a) -> Self {
        Self {
            who: who.into(),
            per: 1,
            most: 1_000_000,
            round: ROUND,
            run: Box::new(run),
        }
    }

    /// The operation over and over; it is told how often it has run.
    pub(crate) fn each(who: &str, mut operation: impl FnMut(u64) + 'a) -> Self {
        let mut n = 0;
        Self::new(who, move |times| {
            timed(|| {
                for _ in 0..times {
                    n += 1;
                    operation(black_box(n));
                }
            })
        })
    }

    /// The operation, and after each round `between`, which is not counted.
    pub(crate) fn with_room(
        who: &str,
        room: u64,
        mut operation: impl FnMut(u64) + 'a,
        mut between: impl FnMut() + 'a,
    ) -> Self {
        let mut n = 0;
        Self::new(who, move |times| {
            let spent = timed(|| {
                for _ in 0..times {
                    n += 1;
                    operation(black_box(n));
                }
            });
            between();
            spent
        })
        .most(room)
    }

    pub(crate) fn per(mut self, per: u64) -> Self {
        self.per = per;
        self
    }

    pub(crate) fn most(mut self, most: u64) -> Self {
        self.most = most;
        self
    }

    /// Rounds of ten times the length: for threads, which take turns on a core.
    pub(crate) fn long(mut self) -> Self {
        self.round *= 10;
        self
    }

    /// Runs it, and nobody looks at the clock.
    pub(crate) fn once(&mut self, times: u64) {
        (self.run)(times);
    }

    fn round(&mut self, times: u64) -> f64 {
        (self.run)(times).as_secs_f64() * 1e9 / (times * self.per) as f64
    }

    /// How often the operation fits into a round.
    fn fitting(&mut self) -> u64 {
        let mut times = 1;
        loop {
            // The first run of a length warms up.
            (self.run)(times);
            let spent = (self.run)(times);
            if times == self.most || spent * 2 > self.round {
                let fits = self.round.as_secs_f64() / spent.as_secs_f64().max(1e-9) * times as f64;
                return (fits as u64).clamp(1, self.most);
            }
            times = (times * 4).min(self.most);
        }
    }
}

/// Runs `own` on this thread and `other` with each number below `others` on threads of their own, all at once: the time
/// from the first start to the last end. Starting the threads stays out of it.
pub(crate) fn together(others: u64, other: impl Fn(u64) + Sync, own: impl FnOnce()) -> Duration {
    let ready = Barrier::new(others as usize + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..others)
            .map(|number| {
                let (ready, other) = (&ready, &other);
                scope.spawn(move || {
                    ready.wait();
                    let start = Instant::now();
                    other(number);
                    (start, Instant::now())
                })
            })
            .collect();
        ready.wait();
        let mut first = Instant::now();
        own();
        let mut last = Instant::now();
        for thread in threads {
            let (start, end) = thread.join().unwrap();
            first = first.min(start);
            last = last.max(end);
        }
        last - first
    })
}

pub(crate) fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

/// What a bench file found.
pub(crate) struct Findings {
    question: &'static str,
    quick: bool,
    /// All of them, unless it says which.
    rows: Option<Vec<String>>,
    lines: String,
}

impl Findings {
    /// `None` under `cargo test`, which runs benches without the flag: then there is nothing to measure.
    pub(crate) fn of(question: &'static str) -> Option<Self> {
        std::env::args()
            .any(|argument| argument == "--bench")
            .then(|| {
                println!("{question}: median ns (quartiles), ratio of the first to each");
                Self {
                    question,
                    quick: std::env::var_os("BENCH_QUICK").is_some(),
                    rows: std::env::var("BENCH_ROWS")
                        .ok()
                        .map(|rows| rows.lines().map(str::to_owned).collect()),
                    lines: String::new(),
                }
            })
    }

    /// So many where the time is there, a third of them where it is not.
    pub(crate) const fn or_fewer(&self, many: u64) -> u64 {
        if self.quick { many.div_ceil(3) } else { many }
    }

    /// Whether this row is asked for. What is not is not even set up.
    pub(crate) fn wants(&self, row: &str, x: u64) -> bool {
        self.rows
            .as_ref()
            .is_none_or(|rows| rows.contains(&format!("{row}\t{x}")))
    }

    /// Those of the row's places that are asked for.
    pub(crate) fn wanted<const N: usize>(&self, row: &str, xs: [u64; N]) -> Vec<u64> {
        xs.into_iter().filter(|x| self.wants(row, *x)).collect()
    }

    /// Times the sides beside each other. The first is the one whose ratio to the others is printed.
    pub(crate) fn row(&mut self, row: &str, x: u64, mut sides: Vec<Side<'_>>) {
        let times: Vec<_> = sides.iter_mut().map(Side::fitting).collect();
        let mut rounds = vec![Vec::new(); sides.len()];
        for round in 0..self.or_fewer(ROUNDS) as usize {
            // Nobody always comes first.
            for place in 0..sides.len() {
                let side = (round + place) % sides.len();
                rounds[side].push(sides[side].round(times[side]));
            }
        }
        for (side, figures) in sides.iter().zip(&rounds) {
            let ratios = rounds[0]
                .iter()
                .zip(figures)
                .map(|(own, theirs)| own / theirs);
            let (low, middle, high) = quartiles(figures.clone());
            println!(
                "{row:<34} {x:>7}  {:<28} {middle:>11.1} ({low:.1}–{high:.1})  {:.3}",
                side.who,
                quartiles(ratios.collect()).1,
            );
            self.keep(row, x, &side.who, "ns", figures);
        }
    }

    /// A figure that is counted, not timed.
    pub(crate) fn count(&mut self, row: &str, x: u64, who: &str, unit: &str, figure: f64) {
        self.keep_all(row, x, who, unit, &[figure]);
    }

    /// Figures of rounds that the bench runs itself.
    pub(crate) fn keep_all(&mut self, row: &str, x: u64, who: &str, unit: &str, figures: &[f64]) {
        let (low, middle, high) = quartiles(figures.to_vec());
        println!("{row:<34} {x:>7}  {who:<28} {middle:>11.1} ({low:.1}–{high:.1}) {unit}");
        self.keep(row, x, who, unit, figures);
    }

    fn keep(&mut self, row: &str, x: u64, who: &str, unit: &str, figures: &[f64]) {
        let figures: Vec<_> = figures
            .iter()
            .map(|figure| format!("{figure:.3}"))
            .collect();
        let question = self.question;
        writeln!(
            self.lines,
            "{question}\t{row}\t{x}\t{who}\t{unit}\t{}",
            figures.join(" ")
        )
        .expect("a string takes everything");
    }
}

impl Drop for Findings {
    fn drop(&mut self) {
        let folder = "target/bench";
        let kept = fs::create_dir_all(folder)
            .and_then(|()| fs::write(format!("{folder}/{}.tsv", self.question), &self.lines));
        if let Err(error) = kept {
            eprintln!("{}: not kept: {error}", self.question);
        }
    }
}

fn quartiles(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| figures[(figures.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// A waker as executors have it: cloning and dropping it count references.
pub(crate) fn waker() -> Waker {
    Waker::from(Arc::new(Idle))
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> bool {
    Pin::new(future)
        .poll(&mut Context::from_waker(waker))
        .is_ready()
}

/// What a reader of the article writes by hand: the value behind a mutex, and a queue per consumer.
pub(crate) struct ByHand<T> {
    value: Mutex<T>,
    queues: Mutex<Vec<async_channel::Sender<(T, T)>>>,
}

impl<T: Clone + PartialEq> ByHand<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            queues: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn get(&self) -> T {
        self.value.lock().unwrap().clone()
    }

    pub(crate) fn watch(&self, capacity: Option<usize>) -> async_channel::Receiver<(T, T)> {
        let (sender, receiver) = match capacity {
            Some(capacity) => async_channel::bounded(capacity),
            None => async_channel::unbounded(),
        };
        self.queues.lock().unwrap().push(sender);
        receiver
    }

    pub(crate) fn set(&self, value: T) {
        let old = {
            let mut present = self.value.lock().unwrap();
            if *present == value {
                return;
            }
            std::mem::replace(&mut *present, value.clone())
        };
        for queue in self.queues.lock().unwrap().iter() {
            let _ = queue.try_send((old.clone(), value.clone()));
        }
    }
}

type Call = Box<dyn FnMut(&u64, &u64) + Send>;

/// Callbacks by hand: the value and the closures behind one mutex, called under it.
pub(crate) struct CallsByHand(Mutex<(u64, Vec<Call>)>);

impl CallsByHand {
    pub(crate) fn new(calls: Vec<Call>) -> Self {
        Self(Mutex::new((0, calls)))
    }

    pub(crate) fn set(&self, value: u64) {
        let (present, calls) = &mut *self.0.lock().unwrap();
        if *present != value {
            let old = std::mem::replace(present, value);
            for call in calls {
                call(&old, &value);
            }
        }
    }
}
