//! The words of the golden scripts: `verb argument argument option=value`.

use postrider_core::command::Portion;
use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{OptionSpec, Options};
use postrider_protocol::reply::PeekState;
use postrider_protocol::request::{Cause, Selection, States};
use postrider_protocol::rule::{Condition, Filter, Rule};
use postrider_protocol::value::{Id, Value};

/// One line of input.
#[derive(Debug, Clone)]
pub struct Line {
    /// What to do.
    pub verb: String,
    /// With what.
    pub args: Vec<String>,
    options: Vec<(String, String)>,
    /// All of it.
    pub text: String,
}

impl Line {
    /// Takes a line apart. `a:b=c` is an argument, `b=c` an option.
    pub fn parse(text: &str) -> Line {
        let mut words = text.split_whitespace().map(str::to_owned);
        let mut line = Line {
            verb: words.next().unwrap(),
            args: Vec::new(),
            options: Vec::new(),
            text: text.to_owned(),
        };
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

    /// The entity's options, under their own names or short ones; `unset` brings a default back.
    pub fn entity_options(&self) -> Options {
        let mut options = Options::new();
        for (name, value) in &self.options {
            let (name, value) = match name.as_str() {
                "by" | "stamp" | "floor" | "action" => continue,
                name if name.starts_with("param.") => continue,
                "lock" => ("lock_duration_ms", ms(value).to_string()),
                "max_deliveries" => ("max_delivery_count", value.clone()),
                "ttl" => ("default_ttl_ms", ms(value).to_string()),
                // Words of a value are parted by blanks, which part the options here.
                "retry" => ("retry", value.replace('_', " ")),
                other => (other, value.clone()),
            };
            match OptionSpec::by_name(name).filter(|_| value == "unset") {
                Some(spec) => options = options.with_unset(spec.code),
                None => options.set(name, &value).unwrap(),
            }
        }
        options
    }

    /// The rules in the arguments behind the first: `name:true`, `name:false`, `name:field=value,sys.field=value`,
    /// `name:sql=...`; all of them with `action=...`, parameters `param.name=value` and the word `shadow`. Blanks of SQL
    /// are written `_`.
    pub fn rules(&self) -> Vec<Rule> {
        let rules = self.args[1..].iter().filter_map(|text| text.split_once(':'));
        rules.map(|(name, filter)| self.rule(name, filter_of(filter))).collect()
    }

    fn rule(&self, name: &str, filter: Filter) -> Rule {
        Rule {
            action: self.option("action").map(|text| text.replace('_', " ")),
            parameters: self.named("param."),
            shadow: self.has("shadow"),
            ..Rule::new(name, filter)
        }
    }

    /// The messages in the arguments behind the first: `m1` is a message of this id and body, `x100` are hundred.
    pub fn messages(&self) -> Vec<Message> {
        let words = self.args[1..].iter().filter(|word| *word != "atomic");
        let due_ms = self.ms("at").map(|at| super::world::START_MS + at);
        let due = |message| Message { scheduled_enqueue_time_ms: due_ms, ..message };
        words.flat_map(|word| self.messages_of(word)).map(due).collect()
    }

    /// The numbers in the arguments behind the first; `4-7` are several.
    pub fn sequences(&self) -> Vec<u64> {
        let number = |text: &str| text.parse::<u64>().unwrap();
        let run = |word: &String| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            number(first)..=number(last)
        };
        self.args[1..].iter().flat_map(run).collect()
    }

    /// The portion of a queue: `from= to= limit= states=ready,deferred before=5s cause=reason/description filter=...` and
    /// numbers. Blanks of texts are written `_`.
    pub fn portion(&self) -> Portion {
        let cause = self.option("cause").map(|cause| {
            let (reason, description) = cause.split_once('/').unwrap_or((cause, ""));
            Cause { reason: reason.to_owned(), description: description.replace('_', " ") }
        });
        let selection = Selection {
            states: self.states(),
            filter: self.filter(),
            before_ms: self.ms("before").map_or(0, |ms| super::world::START_MS + ms),
            cause,
            sequences: if self.has("dry") { Vec::new() } else { self.sequences() },
        };
        let number = |name| self.number(name).unwrap_or(0);
        Portion { selection, from: number("from"), to: number("to"), limit: number("limit") as u32 }
    }

    /// The states: `states=ready,deferred`.
    pub fn states(&self) -> States {
        let names = self.option("states").into_iter().flat_map(|names| names.split(','));
        States::of(&names.map(|name| PeekState::by_name(name).unwrap()).collect::<Vec<_>>())
    }

    /// The SQL text of a filter, its blanks written `_`.
    pub fn filter(&self) -> String {
        self.option("filter").unwrap_or("").replace('_', " ")
    }

    fn messages_of(&self, word: &str) -> Vec<Message> {
        if let Some(count) = word.strip_prefix('x').and_then(|count| count.parse().ok()) {
            return vec![self.dressed(Message::new("x")); count];
        }
        let body = self
            .number("size")
            .map_or_else(|| word.to_owned().into(), |size| super::world::body(size as usize));
        vec![self.dressed(Message::new(body).with_id(word))]
    }

    /// A message with what the line says of all its messages.
    fn dressed(&self, message: Message) -> Message {
        let mut message = Message {
            time_to_live_ms: self.ms("ttl"),
            cost: self.number("cost").map(|cost| cost as u32),
            partition_key: self.option("key").map(str::to_owned),
            session_id: self.option("session").map(str::to_owned),
            ..message
        };
        message.subject = self.option("subject").map(str::to_owned);
        message.priority = self.number("priority").map(|priority| priority as u8);
        message.cost = self.number("cost").map(|cost| cost as u32);
        message.properties = self.properties();
        match self.option("id") {
            Some("none") => message.message_id = None,
            Some(id) => message.message_id = Some(id_of(id)),
            None => {}
        }
        message
    }

    /// The properties: `p.name=value`.
    pub fn properties(&self) -> Vec<(String, Value)> {
        self.named("p.")
    }

    fn named(&self, prefix: &str) -> Vec<(String, Value)> {
        let named = self.options.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
        named.map(|(name, value)| (name.to_owned(), value_of(value))).collect()
    }
}

/// An id: `number:7`, `uuid:7`, `bytes:ab`, or a text.
fn id_of(text: &str) -> Id {
    match text.split_once(':') {
        Some(("number", number)) => Id::Number(number.parse().unwrap()),
        Some(("uuid", bits)) => Id::Uuid(bits.parse().unwrap()),
        Some(("bytes", bytes)) => Id::Bytes(bytes.to_owned().into()),
        _ => Id::Text(text.to_owned()),
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
            |sql| Filter::Sql(sql.replace('_', " ")),
        ),
    }
}

fn value_of(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Int)
}

/// Milliseconds from `30s`, `500ms` or `2h`.
pub fn ms(text: &str) -> u64 {
    checked_ms(text).unwrap_or_else(|| panic!("{text} is no duration"))
}

/// The same, of any text.
pub fn checked_ms(text: &str) -> Option<u64> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let number = |unit| text.strip_suffix(unit)?.parse::<u64>().ok();
    units.into_iter().find_map(|(unit, ms)| number(unit)?.checked_mul(ms))
}
