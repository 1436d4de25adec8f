//! Who observes a state, and what for: to print when something hangs.

use crate::cell::State;
use crate::observers::Origin;
use alloc::vec::Vec;
use core::fmt;
use core::panic::Location;
use core::time::Duration;

/// Who observes a state, at one moment. Made by [`Watched::inspect`](crate::Watched::inspect) and
/// [`View::inspect`](crate::View::inspect); printed, it is a line and then a row for each observer.
///
/// # Examples
///
/// ```
/// let state = onlooker::Watched::new(0);
/// let watcher = state.watch();
/// state.set(1);
/// let who = state.inspect();
/// assert_eq!(who.version, 1);
/// assert!(who.to_string().contains("watcher"));
/// # drop(watcher);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Inspection {
    /// The version of the state.
    pub version: u64,
    /// How many views and owned waits there are.
    pub views: usize,
    /// All others, by kind, and of a kind in the order in which they joined.
    pub observers: Vec<Observer>,
}

/// One who observes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observer {
    /// `watcher`, `callback`, `paced`, a wait's method, or what is derived: `map`, `zip`, `all`.
    pub what: &'static str,
    /// The version at which it joined; of a watcher that resumed, that from which it did.
    pub since: u64,
    /// What there is to say of its kind.
    pub details: Details,
    /// Where it was made, with the feature `inspect`.
    pub location: Option<&'static Location<'static>>,
}

/// What there is to say of an observer of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Details {
    /// A watcher.
    #[non_exhaustive]
    Watcher {
        /// What lies in its buffer; what it has taken from there in one go is its own.
        len: usize,
        /// `None`: unbounded.
        capacity: Option<usize>,
        /// What it lost.
        missed: u64,
        /// Whether a task or thread sleeps on it.
        asleep: bool,
    },
    /// A wait that has not given its output.
    #[non_exhaustive]
    Wait {
        /// Whether anybody has ever polled it.
        polled: bool,
        /// Whether there is something for it to give.
        decided: bool,
    },
    /// A callback.
    #[non_exhaustive]
    Callback {
        /// Finished calls, those that panicked included.
        runs: u64,
        /// Calls that panicked.
        panics: u64,
        /// The longest call; `None` before the first, and without `std`.
        longest: Option<Duration>,
        /// Whether it is being called now.
        running: bool,
    },
    /// A paced setter in line.
    Paced,
    /// A derived state.
    Derived,
}

impl Inspection {
    pub(crate) fn of<T>(state: &State<T>) -> Self {
        let mut observers = Vec::new();
        each(state, |observer| observers.push(observer));
        Self {
            version: state.seq,
            views: state.observers.views(),
            observers,
        }
    }
}

/// Shows each observer.
fn each<T>(state: &State<T>, mut show: impl FnMut(Observer)) {
    let of = &state.observers;
    let mut add = |what, origin: Origin, details| {
        show(Observer {
            what,
            since: origin.since,
            details,
            location: origin.location(),
        });
    };
    for seat in of.seats.iter() {
        let details = Details::Watcher {
            len: seat.len(),
            capacity: seat.capacity(),
            missed: seat.missed,
            asleep: seat.asleep.is_some(),
        };
        add("watcher", seat.origin, details);
    }
    for (what, origin, polled, decided) in of.waits.iter().flat_map(|waits| waits.list()) {
        add(what, origin, Details::Wait { polled, decided });
    }
    for seat in of.calls.iter().flat_map(|calls| calls.iter()) {
        let details = Details::Callback {
            runs: seat.runs,
            panics: seat.panics,
            longest: seat.longest,
            running: seat.is_running(),
        };
        add("callback", seat.origin, details);
    }
    for place in of.line.iter() {
        add("paced", place.origin, Details::Paced);
    }
    for tie in of.ties.iter().flat_map(|ties| ties.iter()) {
        add(tie.what, tie.origin, Details::Derived);
    }
}

/// `Debug` of a state: its value, and who observes it, a row each, so that whatever holds the state and hangs can be
/// printed as it is. `peek` shows the state, if this thread may look.
pub(crate) fn debug<T: fmt::Debug>(
    mut shown: fmt::DebugStruct<'_, '_>,
    peek: impl FnOnce(&mut dyn FnMut(&T, Option<&State<T>>)) -> Option<()>,
) -> fmt::Result {
    let seen = peek(&mut |value, state| {
        shown.field("value", value);
        if let Some(state) = state {
            shown.field("version", &state.seq);
            shown.field("views", &state.observers.views());
            shown.field("observers", &Rows(state));
        }
    });
    if seen.is_none() {
        shown.field("value", &format_args!("<locked>"));
    }
    shown.finish_non_exhaustive()
}

struct Rows<'a, T>(&'a State<T>);

impl<T> fmt::Debug for Rows<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = f.debug_list();
        each(self.0, |observer| {
            rows.entry(&format_args!("{observer}"));
        });
        rows.finish()
    }
}

/// So many of something.
struct Many(u64, &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(many, what) = self;
        write!(f, "{many} {what}{}", if *many == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version;
        let views = Many(self.views as u64, "view");
        let observers = Many(self.observers.len() as u64, "observer");
        write!(f, "version {version}, {views}, {observers}")?;
        self.observers
            .iter()
            .try_for_each(|observer| write!(f, "\n  {observer}"))
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} since version {}: {}",
            self.what, self.since, self.details
        )?;
        match self.location {
            Some(location) => write!(f, ", at {location}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Details::Watcher {
                len,
                capacity,
                missed,
                asleep,
            } => {
                write!(f, "{len}")?;
                match capacity {
                    Some(capacity) => write!(f, " of {capacity} buffered")?,
                    None => f.write_str(" buffered")?,
                }
                let state = if *asleep { "asleep" } else { "not waiting" };
                write!(f, ", {missed} missed, {state}")
            }
            Details::Wait { polled, decided } => f.write_str(match (decided, polled) {
                (true, _) => "decided, not collected",
                (false, true) => "waiting",
                (false, false) => "waiting, never polled",
            }),
            Details::Callback {
                runs,
                panics,
                longest,
                running,
            } => {
                write!(f, "{}, {}", Many(*runs, "run"), Many(*panics, "panic"))?;
                if let Some(longest) = longest {
                    write!(f, ", the longest {longest:?}")?;
                }
                f.write_str(if *running { ", running" } else { "" })
            }
            Details::Paced => f.write_str("waits for room"),
            Details::Derived => f.write_str("follows"),
        }
    }
}
