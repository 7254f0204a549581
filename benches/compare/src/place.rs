//! Where a load works: a server with fresh and empty queues.

use anyhow::Result;
use futures_util::{FutureExt, Stream, StreamExt};
use postrider_benches::client::{Consumer, Publisher};
use postrider_benches::process;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What queues, streams and topics are called.
pub const NAME: &str = "postrider-compare";

/// How long a consumer waits for messages before it looks around.
const WAIT: Duration = Duration::from_millis(50);
/// How often a server is looked at whether it rests.
const LOOK: Duration = Duration::from_millis(500);
/// A server that takes less of one processor is at rest.
const REST: f64 = 0.1;
/// How long a server may take to come to rest.
const REST_WITHIN: Duration = Duration::from_secs(30);

/// Fresh queues on one server, and how its own client reaches them.
pub trait Place: Sized {
    /// A producer's connection.
    type Publisher: Publisher;
    /// A consumer's connection.
    type Consumer: Consumer;

    /// The server's process.
    fn pid(&self) -> u32;

    /// Connects a producer.
    async fn publisher(&self) -> Result<Self::Publisher>;

    /// Connects a consumer of the queue of this number.
    async fn consumer(&self, queue: usize) -> Result<Self::Consumer>;

    /// Removes the queues and all that is in them; returns when the server is at rest.
    async fn remove(self) -> Result<()>;
}

/// Waits until a server is done with what it does after the work: files to remove, segments to compact.
pub async fn rest(pid: u32) -> Result<()> {
    let until = Instant::now() + REST_WITHIN;
    let mut before = process::cpu_time(pid)?;
    while Instant::now() < until {
        sleep(LOOK).await;
        let now = process::cpu_time(pid)?;
        if (now - before).as_secs_f64() < REST * LOOK.as_secs_f64() {
            break;
        }
        before = now;
    }
    Ok(())
}

/// What a stream of messages has by now, `most` at once; nothing when nothing came for a while.
pub async fn gather<T, E>(
    messages: &mut (impl Stream<Item = Result<T, E>> + Unpin),
    most: usize,
) -> Result<Vec<T>>
where
    anyhow::Error: From<E>,
{
    let mut gathered = Vec::new();
    let mut next = timeout(WAIT, messages.next()).await.unwrap_or_default();
    while let Some(message) = next {
        gathered.push(message?);
        next = match gathered.len() < most {
            true => messages.next().now_or_never().flatten(),
            false => None,
        };
    }
    Ok(gathered)
}
