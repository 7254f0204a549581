//! Filters on the command line.

use super::parse;
use clap::Args;
use postrider_protocol::rule::{Condition, Filter};

/// What a rule lets through.
#[derive(Args)]
#[group(id = "filter", multiple = false)]
pub struct FilterArgs {
    /// Let through messages with this value, such as priority=high, size:int=5, urgent:bool=true, sys.subject=OrderCreated;
    /// all that are given must hold
    #[arg(long = "where", value_name = "FIELD=VALUE", value_parser = parse::condition)]
    conditions: Vec<Condition>,
    /// Let everything through
    #[arg(long = "true")]
    everything: bool,
    /// Let nothing through
    #[arg(long = "false")]
    nothing: bool,
}

impl FilterArgs {
    /// The filter, where one was given.
    pub fn filter(self) -> Option<Filter> {
        match (self.everything, self.nothing) {
            (true, _) => Some(Filter::True),
            (_, true) => Some(Filter::False),
            _ => (!self.conditions.is_empty()).then_some(Filter::Correlation(self.conditions)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn filter(words: &[&str]) -> Result<Option<Filter>, clap::Error> {
        Ok(Line::try_parse_from([&["rule"], words].concat())?.filter.filter())
    }

    #[test]
    fn all_conditions_belong_to_one_filter() {
        let Ok(Some(filter)) =
            filter(&["--where", "priority=high", "--where", "sys.subject=New", "--where", "n:int=5"])
        else {
            panic!("no filter")
        };
        assert_eq!(filter.to_string(), "priority = 'high' AND sys.subject = 'New' AND n = 5");
    }

    #[test]
    fn a_filter_is_of_one_kind() {
        assert_eq!(filter(&["--true"]).unwrap(), Some(Filter::True));
        assert_eq!(filter(&["--false"]).unwrap(), Some(Filter::False));
        assert_eq!(filter(&[]).unwrap(), None);
        assert!(filter(&["--true", "--where", "a=b"]).is_err());
        assert!(filter(&["--true", "--false"]).is_err());
    }
}
