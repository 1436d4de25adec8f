//! A pipeline that builds, tests and ships, for ever: `cargo run`, then open what it prints. `cargo run -- 127.0.0.1:8080`.

use onlooker::Watched;
use onlooker_status::{Status, router};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Transitions that a page may be behind.
const KEPT: usize = 12;

/// What comes next, and after how many milliseconds. `0`: in the same tick, so that who polls does not see it.
const SCRIPT: [(&str, u64); 8] = [
    ("queued", 900),
    ("building", 500),
    ("compiled", 0),
    ("testing", 700),
    ("flaky test", 0),
    ("testing again", 400),
    ("shipping", 600),
    ("live", 0),
];

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("http://{}", listener.local_addr()?);

    let pipeline = Watched::with_history("live", KEPT);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let run = since.map_or(0, |since| since.as_secs());
    let state = pipeline.view();
    let app = router(Status { state, run });
    let work = async move {
        for (stage, after) in SCRIPT.iter().cycle() {
            sleep(Duration::from_millis(*after)).await;
            pipeline.set(stage);
        }
    };
    // The work ends with the program, and with it the state: each page gets the last of it, and the server is done.
    let stop = async {
        tokio::select! {
            () = work => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await
}
