//! SQL filters: reading one, and asking it about messages with ten properties.

use super::{Rounds, repeat};
use crate::figures::Micro;
use anyhow::{Result, anyhow, ensure};
use postrider_core::filter::{Filter, Truth};
use postrider_protocol::message::Message;
use std::hint::black_box;

const FILTER: &str = "priority = 'high' AND amount > 1000 AND region IN ('tw','jp')";
/// Messages that a filter is asked about in one round.
const MESSAGES: usize = 1_000;

/// Measures a filter that has to look at all its operands, one that ends at the first, one on a system property, and
/// reading.
pub fn measure() -> Result<Vec<Micro>> {
    Ok(vec![
        asked("filter: three of ten properties", FILTER, Truth::True)?,
        asked(
            "filter: FALSE by the first of three",
            "amount > 9000 AND region = 'tw' AND a = 1",
            Truth::False,
        )?,
        asked("filter: a system property", "sys.Subject = 'order-created'", Truth::True)?,
        asked("filter: LIKE", "region LIKE '_p' AND customer LIKE '%-00%-7%'", Truth::True)?,
        read()?,
    ])
}

fn asked(what: &'static str, text: &str, wanted: Truth) -> Result<Micro> {
    let (filter, message) = (parse(text)?, message());
    let mut rounds = Rounds::default();
    repeat(|| {
        let met = rounds.time(|| {
            let said = |_: &usize| black_box(&filter).matches(black_box(&message)) == Ok(wanted);
            (0..MESSAGES).filter(said).count()
        });
        ensure!(met == MESSAGES, "{text} is not {wanted:?}");
        Ok(())
    })?;
    Ok(rounds.micro(what, 0, MESSAGES))
}

fn read() -> Result<Micro> {
    let mut rounds = Rounds::default();
    repeat(|| rounds.time(|| parse(black_box(FILTER))).map(|filter| drop(black_box(filter))))?;
    Ok(rounds.micro("filter: read", 0, 1))
}

fn parse(text: &str) -> Result<Filter> {
    Filter::parse(text, &[]).map_err(|refusal| anyhow!("{refusal}"))
}

/// What the filters ask for is neither first nor last.
fn message() -> Message {
    Message::new("body")
        .with_subject("order-created")
        .with_property("source", "web")
        .with_property("customer", "c-0042-7")
        .with_property("tenant", "cloudmart")
        .with_property("priority", "high")
        .with_property("currency", "jpy")
        .with_property("amount", 4_200)
        .with_property("items", 3)
        .with_property("region", "jp")
        .with_property("express", true)
        .with_property("version", 2)
}
