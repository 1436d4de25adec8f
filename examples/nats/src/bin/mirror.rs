//! Prints every transition of the mirror, `SEQ MISSED VALUE`: `mirror URL BUCKET KEY`.

use onlooker::Watched;
use onlooker_nats::{Mirrored, bucket, mirror};

static LOCAL: std::sync::LazyLock<Watched<Mirrored>> = std::sync::LazyLock::new(Watched::default);

#[tokio::main]
async fn main() -> Result<(), async_nats::Error> {
    let mut arguments = std::env::args().skip(1);
    let [url, name, key] = [0; 3].map(|_| arguments.next().expect("mirror URL BUCKET KEY"));
    let store = bucket(&url, &name).await?;
    let mut watcher = LOCAL.watch();
    tokio::spawn(async move { mirror(&store, &key, &LOCAL).await });
    while let Ok(change) = watcher.recv().await {
        println!(
            "{} {} {}",
            change.new.seq, change.new.missed, change.new.value
        );
    }
    Ok(())
}
