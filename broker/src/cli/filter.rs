//! Rules and their filters on the command line.

use super::parse;
use clap::Args;
use postrider_protocol::rule::{Condition, Filter, Rule};
use postrider_protocol::value::Value;

/// What a rule lets through.
#[derive(Args)]
#[group(id = "filter", multiple = false)]
pub struct FilterArgs {
    /// Let through messages that this SQL condition is true for, such as "region = 'eu' AND total > 100"
    #[arg(long = "filter", value_name = "SQL")]
    sql: Option<String>,
    /// Let through messages with this value, such as priority=high, size:int=5, urgent:bool=true, sys.subject=OrderCreated;
    /// all that are given must hold
    #[arg(long = "where", visible_alias = "correlation", value_name = "FIELD=VALUE", value_parser = parse::condition)]
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
        match (self.everything, self.nothing, self.sql) {
            (true, ..) => Some(Filter::True),
            (_, true, _) => Some(Filter::False),
            (.., Some(sql)) => Some(Filter::Sql(sql)),
            _ => (!self.conditions.is_empty()).then_some(Filter::Correlation(self.conditions)),
        }
    }
}

/// A rule, but for its name.
#[derive(Args)]
pub struct RuleArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// A value for @NAME in filter and action, such as region=eu or least:int=100
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse::property, requires = "filter")]
    parameters: Vec<(String, Value)>,
    /// Make a copy of its own of each message and change it, such as "SET size = 'large'; REMOVE trace"
    #[arg(long, value_name = "SQL", requires = "filter")]
    action: Option<String>,
    /// Only count what it would let through; `postrider rule promote` makes it real
    #[arg(long, requires = "filter")]
    shadow: bool,
}

impl RuleArgs {
    /// The rule, where a filter was given.
    pub fn rule(self, name: &str) -> Option<Rule> {
        let (action, parameters, shadow) = (self.action, self.parameters, self.shadow);
        self.filter.filter().map(|filter| Rule { name: name.to_owned(), filter, action, parameters, shadow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        rule: RuleArgs,
    }

    fn rule(words: &[&str]) -> Result<Option<Rule>, clap::Error> {
        Ok(Line::try_parse_from([&["rule"], words].concat())?.rule.rule("r"))
    }

    fn filter(words: &[&str]) -> Result<Option<Filter>, clap::Error> {
        Ok(rule(words)?.map(|rule| rule.filter))
    }

    #[test]
    fn parameters_and_action_belong_to_a_filter() {
        let words = ["--filter", "n > @n", "--param", "n:int=5", "--action", "SET big = TRUE", "--shadow"];
        let expected =
            Rule::sql("r", "n > @n").with_parameter("n", 5i64).with_action("SET big = TRUE").as_shadow();
        assert_eq!(rule(&words).unwrap(), Some(expected));
        for alone in [&words[2..4], &words[4..6], &words[6..]] {
            assert!(rule(alone).is_err(), "{alone:?}");
        }
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
        assert!(filter(&["--filter", "a = 1", "--where", "a=b"]).is_err());
    }
}
