//! A real server, and a real client that goes away and comes back.

use futures_lite::{Stream, StreamExt};
use onlooker::Watched;
use onlooker_status::{Status, router};
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(30);

/// The server of one state, for as long as the test runs. Gives its address.
async fn serve(state: &Watched<u64>, run: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = state.view();
    let app = router(Status { state, run });
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

impl Event {
    fn value(run: u64, version: u64, value: u64) -> Self {
        Self {
            name: "value".into(),
            id: format!("{run}-{version}"),
            data: value.to_string(),
        }
    }
}

type Bytes = Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>;

/// A connection of a client. Dropped, it is closed.
struct Client {
    bytes: Bytes,
    read: String,
}

impl Client {
    async fn connect(address: &str, last: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(format!("{address}/events"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response
            .bytes_stream()
            .map(|part| part.map(|part| part.to_vec()));
        Self {
            bytes: Box::pin(bytes),
            read: String::new(),
        }
    }

    /// The next event; `None` once the server has ended the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((text, rest)) = self.read.split_once("\n\n") {
                let mut event = Event::default();
                for line in text.lines() {
                    match line
                        .split_once(": ")
                        .unwrap_or((line.trim_end_matches(':'), ""))
                    {
                        ("event", name) => event.name = name.into(),
                        ("id", id) => event.id = id.into(),
                        ("data", data) => event.data = data.into(),
                        _ => {}
                    }
                }
                self.read = rest.to_owned();
                if !event.name.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let part = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let part = part.expect("the server says nothing")?.ok()?;
            self.read += &String::from_utf8(part).unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_that_was_away_goes_on_without_a_gap() {
    let state = Watched::with_history(0, 100);
    let server = serve(&state, 7).await;
    let mut client = Client::connect(&server, None).await;
    assert_eq!(client.next().await, Some(Event::value(7, 0, 0)));
    (1..=3).for_each(|n| assert!(state.set(10 * n)));
    for n in 1..=3 {
        assert_eq!(client.next().await, Some(Event::value(7, n, 10 * n)));
    }
    drop(client);
    (4..=9).for_each(|n| assert!(state.set(10 * n)));
    let mut client = Client::connect(&server, Some("7-3")).await;
    for n in 4..=9 {
        assert_eq!(client.next().await, Some(Event::value(7, n, 10 * n)));
    }
    state.set(100);
    assert_eq!(client.next().await, Some(Event::value(7, 10, 100)));
}

#[tokio::test]
async fn one_that_was_away_too_long_is_told_so_and_gets_what_there_is() {
    let state = Watched::with_history(0, 4);
    let server = serve(&state, 7).await;
    (1..=20).for_each(|n| assert!(state.set(n)));
    let mut client = Client::connect(&server, Some("7-3")).await;
    let forgotten = client.next().await.unwrap();
    assert_eq!((&*forgotten.name, &*forgotten.data), ("forgotten", "3 16"));
    for n in 16..=20 {
        assert_eq!(client.next().await, Some(Event::value(7, n, n)));
    }
}

#[tokio::test]
async fn one_from_before_a_restart_is_not_taken_for_one_of_today() {
    let state = Watched::with_history(5, 100);
    let server = serve(&state, 8).await;
    for last in ["7-3", "8-", "nonsense"] {
        let mut client = Client::connect(&server, Some(last)).await;
        assert_eq!(client.next().await.unwrap().name, "restarted");
        assert_eq!(client.next().await, Some(Event::value(8, 0, 5)));
    }
}

#[tokio::test]
async fn when_the_state_ends_each_client_gets_the_last_of_it_and_then_the_end() {
    let state = Watched::with_history(0, 100);
    let server = serve(&state, 7).await;
    let mut client = Client::connect(&server, None).await;
    assert_eq!(client.next().await, Some(Event::value(7, 0, 0)));
    state.set(1);
    drop(state);
    assert_eq!(client.next().await, Some(Event::value(7, 1, 1)));
    assert_eq!(client.next().await, None);
    // Who comes afterwards is served from the history all the same.
    let mut client = Client::connect(&server, Some("7-0")).await;
    assert_eq!(client.next().await, Some(Event::value(7, 1, 1)));
    assert_eq!(client.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_drops_a_hundred_times_sees_each_value_once() {
    const MANY: u64 = 5_000;
    let state = Watched::with_history(0, usize::MAX);
    let server = serve(&state, 7).await;
    let setter = std::thread::spawn(move || {
        for n in 1..=MANY {
            state.set(n);
            if n % 50 == 0 {
                std::thread::yield_now();
            }
        }
        state
    });
    let (mut seen, mut last) = (0, "7-0".to_owned());
    while seen < MANY {
        let mut client = Client::connect(&server, Some(&last)).await;
        for _ in 0..MANY / 100 {
            let event = client.next().await.unwrap();
            seen += 1;
            assert_eq!(event, Event::value(7, seen, seen));
            last = event.id;
        }
    }
    drop(setter.join().unwrap());
}
