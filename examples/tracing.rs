//! Every transition as a `tracing` event, with the span of the thread that set: `cargo run --example tracing`.

use onlooker::{Callback, Transition, Watched};
use tracing::{Level, info, info_span};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Down,
    Up,
    Closing,
}

/// Logs a state's transitions for as long as the guard lives.
///
/// A callback runs on the setting thread before `set` returns (or on the thread that delivers at that moment), so the
/// event stands in the setter's span.
fn traced(name: &'static str, state: &Watched<Link>) -> Callback {
    state.on_change(move |change: &Transition<Link>| {
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
    let _log = traced("link", &link);

    info_span!("dial", attempt = 1).in_scope(|| link.set(Link::Up));
    info_span!("peer").in_scope(|| {
        link.set(Link::Closing);
        link.set(Link::Down);
    });
    info!(state = ?link, "at the end");
}
