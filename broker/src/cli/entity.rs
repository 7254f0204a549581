//! What queues, topics and subscriptions have in common: the verbs, and how one is shown.

use super::connect::Global;
use super::failure::Failure;
use super::output::Row;
use super::parse::rfc3339_ms;
use postrider_protocol::entity::{Counters, EntityInfo};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{EntityKind, OptionValue, Options};
use postrider_protocol::rule::Rule;
use serde_json::{Value, json};

/// The name of the subscription `name` of `topic`. Refuses what cannot be a name.
pub fn subscription_name(topic: &str, name: &str) -> Result<String, Failure> {
    EntityName::new(topic)?;
    EntityName::new(name)?;
    Ok(format!("{topic}/subscriptions/{name}"))
}

/// Creates an entity.
pub async fn create(
    global: &Global,
    kind: EntityKind,
    name: &str,
    options: Options,
    rules: Vec<Rule>,
) -> Result<(), Failure> {
    let client = global.connect().await?;
    client.admin().create(name, kind, options, rules).await.map_err(Failure::about(kind))?;
    done(global, kind, name, "created")
}

/// Lists the entities of a kind whose names start with `prefix`.
pub async fn list(global: &Global, kind: EntityKind, prefix: &str) -> Result<(), Failure> {
    let client = global.connect().await?;
    let found = client.admin().list(Some(kind), prefix).await.map_err(Failure::about(kind))?;
    let rows: Vec<_> = found.iter().map(row).collect();
    Ok(global.printer().list(&rows, &format!("no {kind}s"))?)
}

/// Shows one entity.
pub async fn show(global: &Global, kind: EntityKind, name: &str) -> Result<(), Failure> {
    let client = global.connect().await?;
    let info = client.admin().get(name).await.map_err(Failure::about(kind))?;
    check_kind(&info, kind)?;
    Ok(global.printer().one(&row(&info))?)
}

/// Changes the options of an entity.
pub async fn update(global: &Global, kind: EntityKind, name: &str, options: Options) -> Result<(), Failure> {
    let options = super::options::some(options)?;
    let client = global.connect().await?;
    check_kind(&client.admin().get(name).await.map_err(Failure::about(kind))?, kind)?;
    client.admin().update(name, options).await.map_err(Failure::about(kind))?;
    done(global, kind, name, "updated")
}

/// Deletes an entity and what it holds.
pub async fn delete(global: &Global, kind: EntityKind, name: &str) -> Result<(), Failure> {
    let client = global.connect().await?;
    check_kind(&client.admin().get(name).await.map_err(Failure::about(kind))?, kind)?;
    client.admin().delete(name).await.map_err(Failure::about(kind))?;
    done(global, kind, name, "deleted")
}

/// Names are unique over all kinds, so that `queue delete` could meet a topic.
fn check_kind(info: &EntityInfo, kind: EntityKind) -> Result<(), Failure> {
    if info.kind == kind {
        return Ok(());
    }
    let failure = Failure::refused(format!("{} is a {}, not a {kind}", info.name, info.kind));
    Err(failure.hint(format!("look at it with: postrider {} show {}", info.kind, info.name)))
}

fn done(global: &Global, kind: EntityKind, name: &str, what: &str) -> Result<(), Failure> {
    let row = Row::new().column("kind", kind.name()).column("name", name).column("result", what);
    Ok(global.printer().done(&format!("{kind} {name} {what}"), &row)?)
}

/// An entity as it is shown: its name, its columns, then all else there is to say.
fn row(info: &EntityInfo) -> Row {
    let columns = columns(info.kind);
    let row = named(info).data("kind", info.kind.name());
    let counters = info.counters.list();
    let row = counters.iter().fold(row, |row, (name, value)| match name {
        &"breaker" => broken(row, info),
        &"breaker_opened" | &"breaker_until_ms" => row,
        name if columns.contains(name) => row.column(name, *value),
        name if details(info.kind).contains(name) => row.detail(name, *value),
        name => row.data(name, *value),
    });
    let row = ruled(row, info).detail("created", rfc3339_ms(info.created_ms));
    info.options.iter().fold(row, |row, (spec, value)| row.detail(spec.name, option_value(value)))
}

/// The circuit breaker of an entity that has one: its state, how often it opened, and when it tries again.
fn broken(row: Row, info: &EntityInfo) -> Row {
    let Counters { breaker_opened, breaker_until_ms, .. } = info.counters;
    let Some(state) = info.counters.breaker_state() else { return row };
    let row = row.detail("breaker", state.name()).detail("breaker_opened", breaker_opened);
    if breaker_until_ms == 0 { row } else { row.detail("breaker_probes", rfc3339_ms(breaker_until_ms)) }
}

/// The counters that say something about a kind.
fn columns(kind: EntityKind) -> &'static [&'static str] {
    match kind {
        EntityKind::Topic => &["bytes", "subscriptions", "last_sequence", "unmatched"],
        EntityKind::Queue | EntityKind::Subscription => {
            &["active", "locked", "dead_letters", "bytes", "receivers", "last_sequence"]
        }
    }
}

/// The counters that are shown where an entity is shown by itself.
fn details(kind: EntityKind) -> &'static [&'static str] {
    match kind {
        EntityKind::Topic => &["duplicates", "retained"],
        EntityKind::Queue | EntityKind::Subscription => &[
            "scheduled",
            "deferred",
            "delayed",
            "expired",
            "duplicates",
            "dropped",
            "sessions",
            "filter_errors",
            "replaying",
        ],
    }
}

fn named(info: &EntityInfo) -> Row {
    let name = EntityName::new(&info.name).ok();
    match name.as_ref().and_then(EntityName::subscription) {
        Some((topic, name)) => {
            Row::new().column("topic", topic).column("subscription", name).data("name", info.name.as_str())
        }
        None => Row::new().column("name", info.name.as_str()),
    }
}

fn ruled(row: Row, info: &EntityInfo) -> Row {
    if info.kind != EntityKind::Subscription {
        return row;
    }
    let real = info.rules.iter().filter(|rule| !rule.shadow);
    let filters: Vec<_> = real.map(|rule| rule.filter.to_string()).collect();
    let rules: Vec<_> = info.rules.iter().map(rule).collect();
    row.column("filter", filters.join(" OR ")).data("rules", rules)
}

fn rule(rule: &Rule) -> Value {
    let mut shown = json!({ "name": rule.name, "filter": rule.filter.to_string() });
    if let Some(action) = &rule.action {
        shown["action"] = json!(action);
    }
    if rule.shadow {
        shown["shadow"] = json!(true);
    }
    shown
}

fn option_value(value: &OptionValue) -> Value {
    match value {
        OptionValue::Number(number) => json!(number),
        OptionValue::Flag(flag) => json!(flag),
        OptionValue::Text(text) => json!(text),
        OptionValue::Unset => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::{Output, Printer};
    use super::*;
    use postrider_protocol::options::LOCK_DURATION_MS;
    use postrider_protocol::rule::Filter;

    fn shown(output: Output, info: &EntityInfo) -> String {
        let mut out = Vec::new();
        Printer::new(output, &mut out).list(&[row(info)], "").unwrap();
        String::from_utf8(out).unwrap()
    }

    fn info(kind: EntityKind, name: &str, rules: Vec<Rule>) -> EntityInfo {
        EntityInfo {
            name: name.to_owned(),
            kind,
            created_ms: 0,
            options: Options::new().with_number(LOCK_DURATION_MS, 30_000),
            rules,
            counters: Counters { active: 3, last_sequence: 7, ..Counters::default() },
        }
    }

    #[test]
    fn a_queue_is_a_line_of_counters() {
        let queue = info(EntityKind::Queue, "email-queue", vec![]);
        let expected = "\
NAME         ACTIVE  LOCKED  DEAD_LETTERS  BYTES  RECEIVERS  LAST_SEQUENCE
email-queue       3       0             0      0          0              7
";
        assert_eq!(shown(Output::Table, &queue), expected);
        let json = shown(Output::Jsonl, &queue);
        assert!(json.contains(r#""created":"1970-01-01T00:00:00.000Z","lock_duration_ms":30000"#), "{json}");
    }

    #[test]
    fn a_breaker_says_when_it_tries_again() {
        let mut queue = info(EntityKind::Queue, "email-queue", vec![]);
        assert!(!shown(Output::Jsonl, &queue).contains("breaker"), "it has none");
        queue.counters.breaker = 1;
        let json = shown(Output::Jsonl, &queue);
        assert!(json.contains(r#""breaker":"closed","breaker_opened":0,"#), "{json}");
        queue.counters =
            Counters { breaker: 2, breaker_opened: 4, breaker_until_ms: 5_000, ..queue.counters };
        let json = shown(Output::Jsonl, &queue);
        let expected = r#""breaker":"open","breaker_opened":4,"breaker_probes":"1970-01-01T00:00:05.000Z""#;
        assert!(json.contains(expected), "{json}");
    }

    #[test]
    fn a_subscription_shows_its_filter() {
        let filter = Filter::properties([("priority", "high")]);
        let rules = vec![Rule::new("urgent", filter)];
        let subscription = info(EntityKind::Subscription, "order-events/subscriptions/payment", rules);
        let table = shown(Output::Table, &subscription);
        assert!(table.contains("priority = 'high'"), "{table}");
        let json = shown(Output::Jsonl, &subscription);
        assert!(json.contains(r#""topic":"order-events","subscription":"payment""#), "{json}");
        assert!(json.contains(r#""rules":[{"name":"urgent","filter":"priority = 'high'"}]"#), "{json}");
    }
}
