//! What one case came to.

use serde::Serialize;

/// The figures of one case end to end; what does not apply is absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// What was measured.
    pub scenario: String,
    /// How producers published.
    pub mode: &'static str,
    /// Bytes of a body.
    pub size: usize,
    /// Messages a second: confirmed in a fill, completed in everything else.
    pub rate: Option<f64>,
    /// Messages a second that were confirmed meanwhile.
    pub published: Option<f64>,
    /// Microseconds of CPU that the broker took for each of these messages.
    pub server_us: Option<f64>,
    /// Microseconds of CPU that all clients together took for each.
    pub client_us: Option<f64>,
    /// Messages for each commit, which is one sync.
    pub per_commit: Option<f64>,
    /// Resident memory of the broker at the end, MiB.
    pub resident_mib: Option<f64>,
    /// Half of the messages are received within so many microseconds of being published.
    pub p50_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
}

impl Figures {
    /// The medians of several runs of one case.
    pub fn medians(runs: &[Figures]) -> Figures {
        let of = |figure: fn(&Figures) -> Option<f64>| median(runs.iter().filter_map(figure).collect());
        Figures {
            rate: of(|run| run.rate),
            published: of(|run| run.published),
            server_us: of(|run| run.server_us),
            client_us: of(|run| run.client_us),
            per_commit: of(|run| run.per_commit),
            resident_mib: of(|run| run.resident_mib),
            p50_us: of(|run| run.p50_us),
            p99_us: of(|run| run.p99_us),
            ..runs.first().cloned().unwrap_or_default()
        }
    }
}

/// The middle one; of two in the middle, the lower.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// The figures of the backlog.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Backlog {
    /// Messages in it.
    pub messages: u64,
    /// Messages a second over its first tenth.
    pub rate_at_start: f64,
    /// Messages a second over its last tenth.
    pub rate_at_end: f64,
    /// Resident memory of the broker with the backlog in it, MiB.
    pub resident_mib: f64,
    /// The most resident memory there was, MiB.
    pub peak_mib: f64,
    /// Milliseconds from starting the program again, after SIGKILL, until it takes connections.
    pub restart_ms: f64,
    /// Milliseconds from there to the first message received.
    pub first_delivery_ms: f64,
    /// Resident memory of the broker after that, MiB.
    pub resident_after_restart_mib: f64,
}

/// The figures of accepting sessions; each pair is the median and the 99th percentile, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sessions {
    /// Sessions in the queue at first.
    pub sessions: u64,
    /// How many were accepted, one after the other.
    pub accepts: u64,
    /// From asking for the next session until its lock.
    pub accept_us: (f64, f64),
    /// Until its first message.
    pub first_message_us: (f64, f64),
    /// Until that was completed and the session let go of.
    pub whole_us: (f64, f64),
    /// Resident memory of the broker at the end, MiB.
    pub resident_mib: f64,
}

/// The figures of work that capacity units bound, from what its consumers saw.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capacity {
    /// Messages that were worked on.
    pub messages: u64,
    /// Milliseconds of work on each.
    pub work_ms: u64,
    /// Units of the queue.
    pub units: u64,
    /// The most units that were in flight.
    pub most: u64,
    /// Units that are worked on, as their mean over the time with a backlog, of all units.
    pub worked_on: f64,
    /// Units from delivery until the answer to the completion, in the same way.
    pub in_use: f64,
    /// How long all took.
    pub seconds: f64,
}

/// The figures of a part alone.
#[derive(Debug, Clone, Serialize)]
pub struct Micro {
    /// What was measured.
    pub what: &'static str,
    /// Bytes of a body.
    pub size: usize,
    /// Messages of one frame or turn.
    pub messages: usize,
    /// Nanoseconds a message.
    pub ns: f64,
}
