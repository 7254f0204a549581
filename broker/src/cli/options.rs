//! The options of entities on the command line: a flag for the common ones, `--option` for all.

use super::failure::Failure;
use super::parse;
use clap::Args;
use postrider_protocol::options::{
    DEDUP_WINDOW_MS, DEFAULT_TTL_MS, FALL_THROUGH, FORWARD_DEAD_LETTERS_TO, FORWARD_TO, GROUP,
    LOCK_DURATION_MS, MAX_DELIVERY_COUNT, MAX_MESSAGE_BYTES, MAX_MESSAGES, OptionSpec, Options,
    REQUIRES_SESSION, RETAIN_MS, RETRY,
};

/// Flags of what holds messages for consumers.
#[derive(Args)]
pub struct HoldFlags {
    /// How long a delivered message stays locked, such as 30s
    #[arg(long, value_name = "DURATION", value_parser = parse::milliseconds_or_none)]
    lock_duration: Option<String>,
    /// Failed deliveries after which a message is dead-lettered
    #[arg(long, value_name = "NUMBER")]
    max_delivery_count: Option<String>,
    /// Delays between attempts, such as 'exponential 1s max 10m jitter 20%'
    #[arg(long, value_name = "POLICY")]
    retry: Option<String>,
    /// Messages it may hold
    #[arg(long, value_name = "NUMBER")]
    max_messages: Option<String>,
    /// Whether messages belong to sessions, delivered in order: true or false; fixed at creation
    #[arg(long, value_name = "FLAG", num_args = 0..=1, default_missing_value = "true")]
    requires_session: Option<String>,
    /// The queue or topic that messages are passed on to
    #[arg(long, value_name = "ENTITY")]
    forward_to: Option<String>,
    /// The queue or topic that dead letters are passed on to
    #[arg(long, value_name = "ENTITY")]
    forward_dead_letters_to: Option<String>,
}

/// Flags of everything.
#[derive(Args)]
pub struct LifeFlags {
    /// The longest a message lives, and its life where it sets none, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = parse::milliseconds_or_none)]
    default_ttl: Option<String>,
}

/// Flags of what messages are sent to.
#[derive(Args)]
pub struct SizeFlags {
    /// The largest message taken, header and body
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<String>,
    /// How long a message id is remembered, so that it is stored once, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = parse::milliseconds_or_none)]
    dedup_window: Option<String>,
    /// Entities of one group can be in one transaction; fixed at creation
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// Any option, by its name.
#[derive(Args)]
pub struct MoreFlags {
    /// Sets any option by its name; none brings its default back; repeat it for more
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse::option)]
    options: Vec<(String, String)>,
}

/// The options of a queue.
#[derive(Args)]
pub struct QueueOptions {
    #[command(flatten)]
    hold: HoldFlags,
    #[command(flatten)]
    life: LifeFlags,
    #[command(flatten)]
    size: SizeFlags,
    #[command(flatten)]
    more: MoreFlags,
}

/// The options of a topic.
#[derive(Args)]
pub struct TopicOptions {
    #[command(flatten)]
    life: LifeFlags,
    #[command(flatten)]
    size: SizeFlags,
    /// The subscription that gets what no other one wanted, by its own name
    #[arg(long, value_name = "SUBSCRIPTION")]
    fall_through: Option<String>,
    /// How long messages are kept for replays, whoever has settled them, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = parse::milliseconds_or_none)]
    retain: Option<String>,
    #[command(flatten)]
    more: MoreFlags,
}

/// The options of a subscription.
#[derive(Args)]
pub struct SubscriptionOptions {
    #[command(flatten)]
    hold: HoldFlags,
    #[command(flatten)]
    life: LifeFlags,
    #[command(flatten)]
    more: MoreFlags,
}

impl QueueOptions {
    /// What was set.
    pub fn options(&self) -> Result<Options, Failure> {
        collect([self.hold.flags(), self.life.flags(), self.size.flags()].concat(), &self.more)
    }
}

impl TopicOptions {
    /// What was set.
    pub fn options(&self) -> Result<Options, Failure> {
        let own = vec![(FALL_THROUGH, &self.fall_through), (RETAIN_MS, &self.retain)];
        collect([self.life.flags(), self.size.flags(), own].concat(), &self.more)
    }
}

impl SubscriptionOptions {
    /// What was set.
    pub fn options(&self) -> Result<Options, Failure> {
        collect([self.hold.flags(), self.life.flags()].concat(), &self.more)
    }
}

/// An option's code and its text.
type Flag<'a> = (u8, &'a Option<String>);

impl HoldFlags {
    fn flags(&self) -> Vec<Flag<'_>> {
        vec![
            (LOCK_DURATION_MS, &self.lock_duration),
            (MAX_DELIVERY_COUNT, &self.max_delivery_count),
            (RETRY, &self.retry),
            (MAX_MESSAGES, &self.max_messages),
            (REQUIRES_SESSION, &self.requires_session),
            (FORWARD_TO, &self.forward_to),
            (FORWARD_DEAD_LETTERS_TO, &self.forward_dead_letters_to),
        ]
    }
}

impl LifeFlags {
    fn flags(&self) -> Vec<Flag<'_>> {
        vec![(DEFAULT_TTL_MS, &self.default_ttl)]
    }
}

impl SizeFlags {
    fn flags(&self) -> Vec<Flag<'_>> {
        vec![
            (MAX_MESSAGE_BYTES, &self.max_message_bytes),
            (DEDUP_WINDOW_MS, &self.dedup_window),
            (GROUP, &self.group),
        ]
    }
}

/// A flag wins over `--option` of the same name. What is out of bounds is refused here, by name.
fn collect(flags: Vec<Flag<'_>>, more: &MoreFlags) -> Result<Options, Failure> {
    let mut options = Options::new();
    for (name, text) in &more.options {
        options.set(name, text)?;
    }
    for (code, text) in flags {
        if let (Some(text), Some(spec)) = (text, OptionSpec::by_code(code)) {
            options.set(spec.name, text)?;
        }
    }
    Ok(options)
}

/// Refuses an update that changes nothing.
pub fn some(options: Options) -> Result<Options, Failure> {
    if options.is_empty() {
        Err(Failure::usage("nothing to change; give --option NAME=VALUE"))
    } else {
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_protocol::options::OptionValue;

    fn more(options: &[(&str, &str)]) -> MoreFlags {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        MoreFlags { options: options.iter().map(own).collect() }
    }

    #[test]
    fn flags_win_over_named_options() {
        let more = more(&[("lock_duration_ms", "5000"), ("max-delivery-count", "3")]);
        let (lock, size) = (Some("9000".to_owned()), None);
        let flags = vec![(LOCK_DURATION_MS, &lock), (MAX_MESSAGE_BYTES, &size)];
        let options = collect(flags, &more).ok().unwrap();
        assert_eq!(options.number(LOCK_DURATION_MS, 0), 9000);
        assert_eq!(options.number(MAX_DELIVERY_COUNT, 0), 3);
        assert_eq!(options.iter().count(), 2);
    }

    #[test]
    fn values_out_of_bounds_and_unknown_names_are_refused() {
        assert!(collect(vec![(LOCK_DURATION_MS, &Some("1".to_owned()))], &more(&[])).is_err());
        assert!(collect(vec![], &more(&[("no_such", "1")])).is_err());
        assert!(some(Options::new()).is_err());
    }

    #[test]
    fn none_brings_a_default_back() {
        let none = Some("none".to_owned());
        let options = collect(vec![(DEFAULT_TTL_MS, &none)], &more(&[("max_bytes", "none")])).ok().unwrap();
        assert!(options.iter().all(|(_, value)| *value == OptionValue::Unset));
        assert_eq!(options.iter().count(), 2);
    }
}
