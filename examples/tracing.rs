//! Every transition as a `tracing` event, with the span of the thread that set: `cargo run --example tracing`.

use onlooker::{Callback, Transition, View, Watched};
use std::fmt::Debug;
use tracing::{Level, info, info_span};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Down,
    Up,
    Closing,
}

/// Logs a state's transitions for as long as the guard lives.
///
/// The setter itself calls it, before `set` returns, so the event stands in the setter's span.
fn traced<T: Clone + Debug + Send + 'static>(name: &'static str, state: &View<T>) -> Callback {
    state.on_change(move |change: &Transition<T>| {
        info!(state = name, seq = change.seq, old = ?change.old, new = ?change.new, "transition");
    })
}

fn main() {
    tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .without_time()
        .with_ansi(false)
        .init();
    let link = Watched::new(Link::Down);
    let _log = traced("link", &link.view());
    // What is made of a state is a state, and is logged like one.
    let usable = link.view().map(|link| *link == Link::Up);
    let _usable = traced("usable", &usable);

    info_span!("dial", attempt = 1).in_scope(|| link.set(Link::Up));
    info_span!("peer").in_scope(|| {
        link.set(Link::Closing);
        link.set(Link::Down);
    });
    info!(state = ?link, "at the end");
}
