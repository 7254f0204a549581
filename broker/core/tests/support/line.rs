//! The words of the golden scripts: `verb argument argument option=value`.

use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::Options;
use postrider_protocol::rule::{Condition, Filter, Rule};
use postrider_protocol::value::Value;

/// One line of input.
#[derive(Debug, Clone)]
pub struct Line {
    /// What to do.
    pub verb: String,
    /// With what.
    pub args: Vec<String>,
    options: Vec<(String, String)>,
}

impl Line {
    /// Takes a line apart. `a:b=c` is an argument, `b=c` an option.
    pub fn parse(text: &str) -> Line {
        let mut words = text.split_whitespace().map(str::to_owned);
        let mut line = Line { verb: words.next().unwrap(), args: Vec::new(), options: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if !name.contains(':') => {
                    line.options.push((name.to_owned(), value.to_owned()));
                }
                _ => line.args.push(word),
            }
        }
        line
    }

    /// The text of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The number of an option.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.option(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    }

    /// The milliseconds of an option.
    pub fn ms(&self, name: &str) -> Option<u64> {
        self.option(name).map(ms)
    }

    /// Whether a bare word stands in the line.
    pub fn has(&self, word: &str) -> bool {
        self.args.iter().any(|arg| arg == word)
    }

    /// The entity in the first argument.
    pub fn entity(&self) -> EntityName {
        EntityName::new(&self.args[0]).unwrap()
    }

    /// The address in an argument.
    pub fn address(&self, at: usize) -> Address {
        Address::parse(&self.args[at]).unwrap()
    }

    /// The entity's options, under their own names or short ones.
    pub fn entity_options(&self) -> Options {
        let mut options = Options::new();
        for (name, value) in &self.options {
            let (name, value) = match name.as_str() {
                "by" | "stamp" | "floor" => continue,
                "lock" => ("lock_duration_ms", ms(value).to_string()),
                "max_deliveries" => ("max_delivery_count", value.clone()),
                other => (other, value.clone()),
            };
            options.set(name, &value).unwrap();
        }
        options
    }

    /// The rules in the arguments behind the first: `name:true`, `name:false`, `name:field=value,sys.field=value`.
    pub fn rules(&self) -> Vec<Rule> {
        let rules = self.args[1..].iter().filter_map(|text| text.split_once(':'));
        rules.map(|(name, filter)| Rule { name: name.to_owned(), filter: filter_of(filter) }).collect()
    }

    /// The messages in the arguments behind the first: `m1` is a message of this id and body, `x100` are hundred.
    pub fn messages(&self) -> Vec<Message> {
        let words = self.args[1..].iter().filter(|word| *word != "atomic");
        words.flat_map(|word| self.messages_of(word)).collect()
    }

    fn messages_of(&self, word: &str) -> Vec<Message> {
        if let Some(count) = word.strip_prefix('x').and_then(|count| count.parse().ok()) {
            return vec![Message::new("x"); count];
        }
        let body = self
            .number("size")
            .map_or_else(|| word.to_owned().into(), |size| super::world::body(size as usize));
        let mut message = Message { time_to_live_ms: self.ms("ttl"), ..Message::new(body) }.with_id(word);
        message.session_id = self.option("session").map(str::to_owned);
        message.subject = self.option("subject").map(str::to_owned);
        for (name, value) in &self.options {
            if let Some(name) = name.strip_prefix("p.") {
                message = message.with_property(name, value_of(value));
            }
        }
        vec![message]
    }
}

fn filter_of(text: &str) -> Filter {
    let condition = |text: &str| {
        let (name, value) = text.split_once('=').unwrap();
        let (system, name) = name.strip_prefix("sys.").map_or((false, name), |name| (true, name));
        Condition { system, name: name.to_owned(), value: value_of(value) }
    };
    match text {
        "true" => Filter::True,
        "false" => Filter::False,
        text => text.strip_prefix("sql=").map_or_else(
            || Filter::Correlation(text.split(',').map(condition).collect()),
            |sql| Filter::Sql(sql.to_owned()),
        ),
    }
}

fn value_of(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Int)
}

/// Milliseconds from `30s`, `500ms` or `2h`.
pub fn ms(text: &str) -> u64 {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let parsed = units.iter().find_map(|(unit, ms)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * ms));
    parsed.unwrap_or_else(|| panic!("{text} is no duration"))
}
