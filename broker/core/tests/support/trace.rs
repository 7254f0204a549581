//! What happened to a message, as the golden scripts show it.

use super::line::Line;
use super::show::{client_name, time};
use super::world::World;
use postrider_core::verbs::trace::TraceQuery;
use postrider_protocol::name::EntityName;
use postrider_protocol::trace::{Step, StepKind};

/// `journal on`, `journal off`, `journal 2000` bytes.
pub fn journal_bytes(line: &Line) -> u64 {
    match line.args[0].as_str() {
        "on" => 4 << 20,
        "off" => 0,
        bytes => bytes.parse().unwrap(),
    }
}

/// `trace m1`, with `entity=` and `limit=` for the steps of one answer: a line a step, of all shards in order.
pub fn trace(world: &World, line: &Line) -> Vec<String> {
    let entity = line.option("entity").map(|name| EntityName::new(name).unwrap());
    let limit = line.number("limit").unwrap_or(0) as u32;
    let query = TraceQuery { message_id: line.args[0].clone(), entity, from: (0, 0), limit };
    let mut steps: Vec<Step> =
        world.shards.iter().flat_map(|shard| all_steps(world, shard, &query)).collect();
    steps.sort_by_key(|step| step.when_ms);
    if steps.is_empty() {
        return vec![format!("nothing is known of {}", query.message_id)];
    }
    steps.iter().map(step_text).collect()
}

/// The steps of a shard, asked for part by part.
fn all_steps(world: &World, shard: &postrider_core::shard::Shard, query: &TraceQuery) -> Vec<Step> {
    let (mut query, mut steps) = (query.clone(), Vec::new());
    loop {
        let part = shard.trace(&world.rows, &query).unwrap();
        steps.extend(part.steps);
        match part.next {
            Some(next) => query.from = next,
            None => return steps,
        }
    }
}

fn step_text(step: &Step) -> String {
    let place = |address: &str, sequence: u64| match sequence {
        0 => address.to_owned(),
        sequence => format!("{address} {sequence}"),
    };
    let mut text = format!("{} {} {}", time(step.when_ms), step.kind, place(&step.address, step.sequence));
    let to = place(&step.to_address, step.to_sequence);
    text += &match step.kind {
        StepKind::Copied => format!(" of {to}"),
        StepKind::Duplicate => format!(" of {}", step.to_sequence),
        _ if to.is_empty() => String::new(),
        _ => format!(" to {to}"),
    };
    if step.client > 0 {
        text += &format!(" to {}, attempt {}", client_name(step.client), step.attempt);
    }
    if step.until_ms > 0 {
        text += &format!(" until {}", time(step.until_ms));
    }
    if !step.reason.is_empty() {
        text += &format!(": {}", step.reason);
    }
    if !step.description.is_empty() {
        text += &format!(", {}", step.description);
    }
    text
}
