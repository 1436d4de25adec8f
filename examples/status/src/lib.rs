//! A state machine, live in the browser: server-sent events whose `id:` is the version, and `Last-Event-ID` the way back.
//!
//! ```text
//! Watched ─ view() ─▶ router ─ watch_since(id) ─▶ one stream for each client ─▶ EventSource
//! ```
//!
//! * A client that was away says what it saw last, and goes on from there: no gap, nothing twice.
//! * One that was away for longer than the history reaches is told so (`forgotten`), and so is one that comes from before a
//!   restart (`restarted`): the id names the server's run as well.
//! * The router has a [`View`]: it cannot set. When the state ends, each stream sends what is left, the last state included,
//!   and ends, and so does the server.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use futures_lite::{Stream, StreamExt, stream};
use onlooker::{View, Watcher};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

/// What is shown: a view of the state, and a mark of this run of the server, whose versions begin at 0.
#[derive(Clone)]
pub struct Status<T> {
    pub state: View<T>,
    pub run: u64,
}

/// `/`: the page. `/events`: the stream. `/now`: the present version and value, for those who ask. `/who`: who watches.
pub fn router<T>(status: Status<T>) -> Router
where
    T: Clone + Display + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/events", get(events::<T>))
        .route("/now", get(now::<T>))
        .route("/who", get(who::<T>))
        .with_state(status)
}

async fn now<T: Clone + Display>(State(status): State<Status<T>>) -> impl IntoResponse {
    // Value and version of one moment.
    let now = status.state.watch();
    let now = format!("{} {}", now.seen_version(), now.seen());
    ([(header::CACHE_CONTROL, "no-store")], now)
}

async fn who<T>(State(status): State<Status<T>>) -> impl IntoResponse {
    let who = status.state.inspect();
    ([(header::CACHE_CONTROL, "no-store")], who.to_string())
}

/// `since`: an id, for who cannot send the header. `most`: end the stream after so many, and let the client come back.
async fn events<T>(
    State(status): State<Status<T>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> impl IntoResponse
where
    T: Clone + Display + Send + Sync + 'static,
{
    let header = headers.get("last-event-id");
    let last = header.and_then(|id| id.to_str().ok());
    let last = last.or(query.get("since").map(String::as_str));
    let most = query.get("most").and_then(|most| most.parse().ok());
    let stream = status.from(last).take(most.unwrap_or(usize::MAX));
    Sse::new(stream.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::default())
}

impl<T: Clone + Display + Send + Sync + 'static> Status<T> {
    /// Everything after the event with this id.
    fn from(&self, last: Option<&str>) -> impl Stream<Item = Event> + Send + use<T> {
        let run = self.run;
        let (told, watcher) = match last.map(|last| self.version(last)) {
            // It knows nothing yet.
            None => (None, self.state.watch()),
            Some(None) => (Some(("restarted", String::new())), self.state.watch()),
            Some(Some(version)) => match self.state.watch_since(version) {
                Ok(watcher) => return stream::iter(None).chain(changes(run, watcher)).boxed(),
                Err(_) => {
                    let watcher = oldest(&self.state);
                    let gone = format!("{} {}", version, watcher.seen_version());
                    (Some(("forgotten", gone)), watcher)
                }
            },
        };
        let told = told.map(|(event, data)| Event::default().event(event).data(data));
        let id = format!("{run}-{}", watcher.seen_version());
        let value = watcher.seen().to_string();
        let snapshot = Event::default().event("value").id(id).data(value);
        let snapshot = snapshot.retry(Duration::from_millis(200));
        let begin = stream::iter(told.into_iter().chain([snapshot]));
        begin.chain(changes(run, watcher)).boxed()
    }

    /// The version in an id, if it is of this run.
    fn version(&self, id: &str) -> Option<u64> {
        let (run, version) = id.split_once('-')?;
        let version = version.parse().ok()?;
        (run.parse() == Ok(self.run)).then_some(version)
    }
}

fn changes<T>(run: u64, watcher: Watcher<T>) -> impl Stream<Item = Event> + Send
where
    T: Clone + Display + Send + Sync + 'static,
{
    watcher.map(move |change| {
        let event = Event::default().event("value");
        event
            .id(format!("{run}-{}", change.seq))
            .data(change.new.to_string())
    })
}

/// As far back as the history goes.
fn oldest<T: Clone>(state: &View<T>) -> Watcher<T> {
    let mut version = 0;
    loop {
        match state.watch_since(version) {
            Ok(watcher) => return watcher,
            Err(forgotten) => version = forgotten.oldest.unwrap_or_else(|| state.version()),
        }
    }
}
