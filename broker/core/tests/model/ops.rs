//! What happens in a random history. Numbers are taken modulo what there is, so that every history makes sense.

/// Names of queues and topics, and of subscriptions below the topics.
pub const QUEUES: [&str; 3] = ["orders", "mail", "Bills"];
pub const TOPICS: [&str; 2] = ["events", "alarms"];
pub const SUBSCRIPTIONS: [&str; 3] = ["all", "high", "none"];
/// Clients, each with two receivers.
pub const CLIENTS: usize = 3;
pub const HANDLES: u32 = 2;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Op {
    CreateQueue {
        name: usize,
        setup: Setup,
    },
    CreateTopic {
        name: usize,
        window_s: u64,
    },
    CreateSubscription {
        topic: usize,
        name: usize,
        setup: Setup,
    },
    Update {
        entity: usize,
        setup: Setup,
    },
    Delete {
        entity: usize,
    },
    PutRule {
        subscription: usize,
        rule: usize,
        filter: usize,
        replace: bool,
    },
    DeleteRule {
        subscription: usize,
        rule: usize,
    },
    Publish {
        entity: usize,
        messages: Vec<Sent>,
        atomic: bool,
    },
    Purge {
        entity: usize,
        dead: bool,
        part: Part,
    },
    Redrive {
        entity: usize,
        dead: bool,
        part: Part,
        dry_run: bool,
    },
    /// Cancels scheduled messages, or delivers them now.
    Scheduled {
        entity: usize,
        now: bool,
        picks: Vec<usize>,
    },
    ReceiveDeferred {
        client: usize,
        handle: u32,
        picks: Vec<usize>,
    },
    Open {
        client: usize,
        handle: u32,
        entity: usize,
        dead: bool,
        delete: bool,
        lock_s: u64,
        let_go: bool,
        hold: bool,
        wish: Wish,
    },
    RenewSession {
        client: usize,
        handle: u32,
    },
    GetState {
        client: usize,
        handle: u32,
    },
    /// So many bytes; `None` clears it.
    SetState {
        client: usize,
        handle: u32,
        bytes: Option<usize>,
    },
    Flow {
        client: usize,
        handle: u32,
        credit: u32,
        behind: u64,
        drain: bool,
    },
    Close {
        client: usize,
        handle: u32,
    },
    Disconnect {
        client: usize,
    },
    /// A new connection, while the broker takes the old one for alive.
    Reconnect {
        client: usize,
    },
    Settle {
        items: Vec<Item>,
    },
    Again {
        request: usize,
    },
    Confirm {
        client: usize,
        keep: u64,
    },
    Farewell {
        client: usize,
    },
    /// What comes next waits for the rest of the turn.
    Gather {
        commands: usize,
    },
    /// What was read does not arrive for some turns.
    HoldReads {
        turns: usize,
    },
    Advance {
        ms: u64,
    },
    Reload {
        shard: usize,
    },
    MoveClock {
        seconds: i64,
    },
}

/// What an entity is created with, or changed to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    pub lock_s: u64,
    pub max: u64,
    /// 0 leaves it as it is.
    pub ttl_s: u64,
    pub keeps_expired: bool,
    pub levels: u64,
    /// Seconds between attempts; 0 leaves it as it is.
    pub retry_s: u64,
    /// Seconds for which ids are remembered.
    pub window_s: Change,
    pub max_messages: Change,
    pub max_bytes: Change,
    pub drops: bool,
    /// Which status; the usual one is 0.
    pub status: usize,
    /// Which balance; the usual one is 0.
    pub balance: usize,
    pub units: Change,
    /// Whether there is a fair key.
    pub fair: Option<bool>,
    pub by_session: bool,
}

/// Which session a receiver wants of a queue that has some.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Which one by name; 0 for the next one.
    pub session: usize,
    pub wait_s: u64,
    /// Whether it asks for a session where there is none, and the other way round.
    pub wrong: bool,
}

/// What becomes of an option that can be taken away.
#[derive(Debug, Clone, Copy, Default)]
pub enum Change {
    #[default]
    Leave,
    Unset,
    Set(u64),
}

/// A part of a queue.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Which messages, of those that are there.
    pub picks: Vec<usize>,
    /// Which state; all of them where there is no such.
    pub state: usize,
    /// Older than so many seconds; 0 for all.
    pub age_s: u64,
    pub from: u64,
    /// Numbers from the first one on; 0 for all.
    pub span: u64,
    pub limit: u32,
}

/// A message to publish.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which properties it has, for the rules.
    pub properties: usize,
    pub bytes: usize,
    pub refused: bool,
    /// Seconds to live; 0 for as long as the entity says.
    pub ttl_s: u64,
    pub priority: u8,
    /// Seconds until it is due, where it is scheduled.
    pub due_s: Option<i64>,
    /// Which of some ids it has; 0 for one of its own.
    pub id: u64,
    /// Units; 0 where it does not say.
    pub cost: u32,
    /// Which key; 0 for none.
    pub key: u32,
    /// Which session; 0 for none.
    pub session: u32,
}

/// Settling a run of places.
#[derive(Debug, Clone)]
pub struct Item {
    /// Which delivery, counted from the last one.
    pub delivery: usize,
    pub place: u16,
    pub run: u16,
    pub how: How,
    pub guessed: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum How {
    Complete,
    Abandon { delay_s: u64, change: bool },
    DeadLetter { change: bool },
    Defer { change: bool },
    Release,
    Renew(u64),
}
