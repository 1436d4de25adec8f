//! Each line of the input becomes the state: `source URL BUCKET KEY`.

use onlooker::Watched;
use onlooker_nats::{bucket, publish};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Transitions that the publisher may be behind when it begins.
const KEPT: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), async_nats::Error> {
    let mut arguments = std::env::args().skip(1);
    let [url, name, key] = [0; 3].map(|_| arguments.next().expect("source URL BUCKET KEY"));
    let store = bucket(&url, &name).await?;
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let state = Watched::with_history(String::new(), KEPT);
    let view = state.view();
    let publishing = tokio::spawn(async move { publish(view, &store, &key, epoch).await });
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        state.set(line);
    }
    drop(state);
    match publishing.await? {
        Ok(last) => println!("published up to {last}"),
        Err(taken) => {
            eprintln!("{taken:?}: another source writes to this key");
            std::process::exit(1);
        }
    }
    Ok(())
}
