//! A `Watched` in one process, its mirror in another, a NATS JetStream key-value bucket between them.
//!
//! Every transition is a revision of one key. A revision carries the transition's number and the *epoch* of its source, so
//! the mirror knows what it has, what comes next, and how much is gone where the bucket's history did not reach.
//!
//! ```text
//! Watched ─ watch_since() ─▶ publish ─ one revision each, in order ─▶ bucket ─ history, then what comes ─▶ mirror ─▶ Watched
//! ```
//!
//! * A revision is written with the revision it must follow, so it lands once however often it is sent, and two sources
//!   cannot write into each other: the second is told so.
//! * While the server is away the source's watcher buffers, and goes on afterwards where it was. A publisher that was
//!   stopped altogether finds in the bucket where it was, and goes on from there with the state's own history.
//! * A mirror that was away asks from the revision after its last one. A bucket keeps 64 revisions of a key at most: what
//!   is older is counted in [`Mirrored::missed`].

use async_nats::jetstream::{self, kv};
use futures_lite::StreamExt;
use onlooker::{View, Watched, Watcher};
use std::time::Duration;

/// How long to wait before asking again a server that did not answer.
const PAUSE: Duration = Duration::from_millis(200);

/// Another source writes to this key.
#[derive(Debug, PartialEq)]
pub struct Taken;

/// One transition of the source, as the mirror has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirrored {
    pub value: String,
    /// Which life of the source: its state begins anew when it starts.
    pub epoch: u64,
    /// The transition's number in that life. 0: the value that the source began with.
    pub seq: u64,
    /// Transitions of that life between the one before and this one, which the bucket has no more.
    pub missed: u64,
}

impl Mirrored {
    fn encode(epoch: u64, seq: u64, value: &str) -> String {
        format!("{epoch} {seq}\n{value}")
    }

    fn parse(record: &[u8]) -> Option<(u64, u64, &str)> {
        let (numbers, value) = std::str::from_utf8(record).ok()?.split_once('\n')?;
        let (epoch, seq) = numbers.split_once(' ')?;
        Some((epoch.parse().ok()?, seq.parse().ok()?, value))
    }

    /// What comes after `last`.
    fn decode(record: &[u8], last: &Self) -> Option<Self> {
        let (epoch, seq, value) = Self::parse(record)?;
        let expected = if epoch == last.epoch { last.seq + 1 } else { 0 };
        Some(Self {
            value: value.to_owned(),
            epoch,
            seq,
            missed: seq.checked_sub(expected)?,
        })
    }
}

/// The bucket of this name, made if there is none. Waits for the server.
pub async fn bucket(url: &str, name: &str) -> Result<kv::Store, async_nats::Error> {
    let client = async_nats::ConnectOptions::new()
        .retry_on_initial_connect()
        .reconnect_delay_callback(|_| PAUSE)
        .connect(url)
        .await?;
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_secs(1));
    loop {
        let config = kv::Config {
            bucket: name.to_owned(),
            history: 64,
            ..kv::Config::default()
        };
        if let Ok(store) = context.create_key_value(config).await {
            return Ok(store);
        }
        if let Ok(store) = context.get_key_value(name).await {
            return Ok(store);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes every transition of the state that the bucket does not have, and those to come, until the state ends. Gives the
/// number of the last one.
///
/// It may be stopped at any point and called again with the same `epoch`. What the state's history
/// ([`Watched::with_history`]) does not reach any more is missing, and the mirror counts it.
pub async fn publish(
    state: View<String>,
    store: &kv::Store,
    key: &str,
    epoch: u64,
) -> Result<u64, Taken> {
    let entry = loop {
        match store.entry(key).await {
            Ok(entry) => break entry,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    let mut last = entry.as_ref().map_or(0, |entry| entry.revision);
    let written = entry.and_then(|entry| {
        let (of, seq, _) = Mirrored::parse(&entry.value)?;
        (of == epoch).then_some(seq)
    });
    let mut watcher = from(&state, written.unwrap_or(0));
    drop(state);
    if written != Some(watcher.seen_version()) {
        let first = Mirrored::encode(epoch, watcher.seen_version(), watcher.seen());
        last = put(store, key, &first, last).await?;
    }
    while let Ok(change) = watcher.recv().await {
        let record = Mirrored::encode(epoch, change.seq, &change.new);
        last = put(store, key, &record, last).await?;
    }
    Ok(watcher.seen_version())
}

/// Watches from `version` on, or from the oldest that the state still knows.
fn from(state: &View<String>, mut version: u64) -> Watcher<String> {
    loop {
        match state.watch_since(version) {
            Ok(watcher) => return watcher,
            Err(forgotten) => version = forgotten.oldest.unwrap_or_else(|| state.version()),
        }
    }
}

/// Writes one revision after `last`, however often that takes, and gives its number.
async fn put(store: &kv::Store, key: &str, record: &str, last: u64) -> Result<u64, Taken> {
    loop {
        if let Ok(revision) = store.update(key, record.to_owned().into(), last).await {
            return Ok(revision);
        }
        // Refused, or no answer: then it may have landed, or may still be on its way and land now.
        match store.entry(key).await {
            Ok(Some(entry)) if entry.value == record.as_bytes() => return Ok(entry.revision),
            Ok(entry) if entry.as_ref().map_or(0, |entry| entry.revision) != last => {
                return Err(Taken);
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Follows the key for ever: every revision that the bucket has becomes a transition of `local`, in order.
pub async fn mirror(store: &kv::Store, key: &str, local: &Watched<Mirrored>) {
    let mut revision = 0;
    loop {
        // Or from the oldest that the bucket still has.
        if let Ok(mut entries) = store.watch_from_revision(key, revision + 1).await {
            while let Some(Ok(entry)) = entries.next().await {
                if entry.revision > revision {
                    revision = entry.revision;
                    if let Some(next) = local.read(|last| Mirrored::decode(&entry.value, last)) {
                        local.replace(next);
                    }
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Mirrored;

    #[test]
    fn what_the_history_does_not_reach_is_missed() {
        let at = |epoch, seq, last: &Mirrored| {
            Mirrored::decode(Mirrored::encode(epoch, seq, "x").as_bytes(), last).unwrap()
        };
        let first = at(7, 0, &Mirrored::default());
        assert_eq!((first.seq, first.missed), (0, 0));
        let late = at(7, 36, &Mirrored::default());
        assert_eq!((late.seq, late.missed), (36, 36));
        let next = at(7, 37, &late);
        assert_eq!((next.seq, next.missed), (37, 0));
        let gap = at(7, 40, &next);
        assert_eq!((gap.seq, gap.missed), (40, 2));
        let restarted = at(8, 0, &gap);
        assert_eq!((restarted.seq, restarted.missed), (0, 0));
    }
}
