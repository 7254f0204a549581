//! The options of entities on the command line: a flag for the common ones, `--option` for all.

use super::failure::Failure;
use super::parse;
use clap::Args;
use postrider_protocol::options::{
    LOCK_DURATION_MS, MAX_DELIVERY_COUNT, MAX_MESSAGE_BYTES, OptionSpec, OptionValue, Options,
};

/// Flags of what holds messages for consumers.
#[derive(Args)]
pub struct LockFlags {
    /// How long a delivered message stays locked, such as 30s
    #[arg(long, value_name = "DURATION", value_parser = parse::milliseconds)]
    lock_duration: Option<u64>,
    /// Failed deliveries after which a message is dead-lettered
    #[arg(long, value_name = "NUMBER")]
    max_delivery_count: Option<u64>,
}

/// Flags of what messages are sent to.
#[derive(Args)]
pub struct SizeFlags {
    /// The largest message taken, header and body
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<u64>,
}

/// Any option, by its name.
#[derive(Args)]
pub struct MoreFlags {
    /// Sets any option by its name; repeat it for more
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse::option)]
    options: Vec<(String, String)>,
}

/// The options of a queue.
#[derive(Args)]
pub struct QueueOptions {
    #[command(flatten)]
    lock: LockFlags,
    #[command(flatten)]
    size: SizeFlags,
    #[command(flatten)]
    more: MoreFlags,
}

/// The options of a topic.
#[derive(Args)]
pub struct TopicOptions {
    #[command(flatten)]
    size: SizeFlags,
    #[command(flatten)]
    more: MoreFlags,
}

/// The options of a subscription.
#[derive(Args)]
pub struct SubscriptionOptions {
    #[command(flatten)]
    lock: LockFlags,
    #[command(flatten)]
    more: MoreFlags,
}

impl QueueOptions {
    /// What was set.
    pub fn options(&self) -> Result<Options, Failure> {
        collect(self.lock.numbers().into_iter().chain([self.size.number()]), &self.more)
    }
}

impl TopicOptions {
    /// What was set.
    pub fn options(&self) -> Result<Options, Failure> {
        collect([self.size.number()], &self.more)
    }
}

impl SubscriptionOptions {
    /// What was set.
    pub fn options(&self) -> Result<Options, Failure> {
        collect(self.lock.numbers(), &self.more)
    }
}

type Number = (u8, Option<u64>);

impl LockFlags {
    fn numbers(&self) -> [Number; 2] {
        [(LOCK_DURATION_MS, self.lock_duration), (MAX_DELIVERY_COUNT, self.max_delivery_count)]
    }
}

impl SizeFlags {
    fn number(&self) -> Number {
        (MAX_MESSAGE_BYTES, self.max_message_bytes)
    }
}

/// A flag wins over `--option` of the same name. What is out of bounds is refused here, by name.
fn collect(numbers: impl IntoIterator<Item = Number>, more: &MoreFlags) -> Result<Options, Failure> {
    let mut options = Options::new();
    for (name, text) in &more.options {
        options.set(name, text)?;
    }
    for (code, number) in numbers {
        if let (Some(number), Some(spec)) = (number, OptionSpec::by_code(code)) {
            spec.check(&OptionValue::Number(number))?;
            options = options.with_number(code, number);
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

    fn more(options: &[(&str, &str)]) -> MoreFlags {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        MoreFlags { options: options.iter().map(own).collect() }
    }

    #[test]
    fn flags_win_over_named_options() {
        let more = more(&[("lock_duration_ms", "5000"), ("max-delivery-count", "3")]);
        let options =
            collect([(LOCK_DURATION_MS, Some(9000)), (MAX_MESSAGE_BYTES, None)], &more).ok().unwrap();
        assert_eq!(options.number(LOCK_DURATION_MS, 0), 9000);
        assert_eq!(options.number(MAX_DELIVERY_COUNT, 0), 3);
        assert_eq!(options.iter().count(), 2);
    }

    #[test]
    fn values_out_of_bounds_and_unknown_names_are_refused() {
        assert!(collect([(LOCK_DURATION_MS, Some(1))], &more(&[])).is_err());
        assert!(collect([], &more(&[("no_such", "1")])).is_err());
        assert!(some(Options::new()).is_err());
    }
}
