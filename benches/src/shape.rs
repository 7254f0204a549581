//! What messages have beside their body, and what their queue does with them.

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use postrider_client::{Message, Options};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is not plain about messages and their queue.
#[derive(Args, Debug, Clone, Default)]
pub struct Shape {
    /// An option of the queue, as NAME=VALUE
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Give every message an id of its own
    #[arg(long)]
    ids: bool,
    /// Seconds that messages live
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// Priorities of the messages, from 1, drawn at random
    #[arg(long, value_name = "LEVELS")]
    priorities: Option<u8>,
    /// Capacity units of the messages, from 1, drawn at random
    #[arg(long, value_name = "UNITS")]
    costs: Option<u32>,
    /// Schedule the messages, spread over an hour that begins in so many seconds
    #[arg(long, value_name = "SECONDS")]
    scheduled: Option<u64>,
}

/// Numbers the ids of all producers.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

impl Shape {
    /// The queue's options.
    pub fn options(&self) -> Result<Options> {
        let mut options = Options::new();
        for text in &self.options {
            let (name, value) =
                text.split_once('=').with_context(|| format!("--option {text} is not NAME=VALUE"))?;
            options.set(name, value).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        }
        Ok(options)
    }

    /// A message with a body.
    pub fn message(&self, body: Bytes) -> Message {
        let mut message = Message::new(body);
        if self.ids {
            message = message.with_id(format!("order-{:016}", LAST_ID.fetch_add(1, Ordering::Relaxed)));
        }
        message.time_to_live_ms = self.ttl.map(|seconds| seconds * 1_000);
        message.priority = self.priorities.map(|levels| fastrand::u8(1..=levels));
        message.cost = self.costs.map(|most| fastrand::u32(1..=most));
        message.scheduled_enqueue_time_ms =
            self.scheduled.map(|seconds| now_ms() + seconds * 1_000 + fastrand::u64(0..3_600_000));
        message
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_millis() as u64
}
