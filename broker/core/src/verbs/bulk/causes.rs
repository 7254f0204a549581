//! Why dead letters are there: their reasons, and what their descriptions have in common.

use crate::context::{Damage, Rows};
use crate::key::QueueId;
use crate::shard::Shard;
use crate::verbs::bulk::walk::Span;
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::message::{DeadLetterInfo, Record};
use postrider_protocol::name::Address;
use postrider_protocol::reply::{CauseInfo, Reply};
use postrider_protocol::request::Cause;
use std::collections::BTreeMap;

/// Characters of a normalised description.
const NORMALISED_CHARS: usize = 200;
/// Digits and letters of a hexadecimal word that tells messages apart and not causes.
const HEX_CHARS: usize = 8;

impl Shard {
    /// Groups dead letters by cause, as many as one request looks at and one answer holds.
    pub(crate) fn causes(
        &self,
        rows: &dyn Rows,
        address: &Address,
        queue: QueueId,
        from: u64,
        limit: u32,
    ) -> Result<Reply, Damage> {
        if let Err(refusal) = require_dead_letters(address, queue) {
            return Ok(Reply::Refused(refusal));
        }
        let (mut causes, mut bytes) = (BTreeMap::<Cause, CauseInfo>::new(), 0);
        let span = Span { from, to: 0, limit: u64::from(limit), numbers: &[] };
        let examined = self.examine(rows, queue, span, &mut |found| {
            let record = found.record()?;
            let info = record.dead_letter.clone().unwrap_or_default();
            let cause = Cause { description: normalised(&info.description), reason: info.reason.clone() };
            if !causes.contains_key(&cause) {
                if bytes >= BATCH_BYTES || causes.len() >= LISTING_ENTRIES as usize {
                    return Ok(false);
                }
                bytes += cause.reason.len() + cause.description.len();
            }
            let entry = causes.entry(cause.clone()).or_insert_with(|| first_of(cause, &info));
            count(entry, found.number, &record, &info);
            Ok(true)
        })?;
        Ok(Reply::Causes { causes: causes.into_values().collect(), next: examined.next })
    }
}

/// Refuses what is about dead letters where there are none.
pub(crate) fn require_dead_letters(address: &Address, queue: QueueId) -> Result<(), Refusal> {
    if queue.lane.keeps_failed() {
        return Ok(());
    }
    let text = format!("is not a dead-letter queue; its own is {}/$dead-letter", address.entity);
    Err(Refusal::invalid("address", text).about(address.to_string()))
}

fn first_of(cause: Cause, info: &DeadLetterInfo) -> CauseInfo {
    CauseInfo { cause, first_ms: info.time_ms, ..CauseInfo::default() }
}

fn count(entry: &mut CauseInfo, number: u64, record: &Record, info: &DeadLetterInfo) {
    entry.messages += 1;
    entry.redriven += u64::from(record.redrive_count > 0);
    entry.first_ms = entry.first_ms.min(info.time_ms);
    entry.last_ms = entry.last_ms.max(info.time_ms);
    entry.sample = number;
}

/// What descriptions of one cause have in common: what tells messages apart is replaced.
///
/// | found | becomes |
/// | --- | --- |
/// | a text in `'` or `"` | `<text>` |
/// | a UUID | `<uuid>` |
/// | a word of 8 or more hexadecimal digits, with at least one digit and one letter | `<hex>` |
/// | digits | `<n>` |
///
/// An apostrophe within a word does not begin a text. The result has at most 200 characters.
pub(crate) fn normalised(description: &str) -> String {
    let (mut out, mut rest, mut before) = (String::new(), description, ' ');
    while let Some(next) = rest.chars().next().filter(|_| out.chars().nth(NORMALISED_CHARS - 1).is_none()) {
        let (taken, placeholder) = match next {
            '\'' | '"' if !before.is_alphanumeric() => (quoted(rest, next), "<text>"),
            _ if before.is_alphanumeric() => (digits(rest), "<n>"),
            _ => word(rest),
        };
        if taken > 0 {
            out.push_str(placeholder);
        } else {
            out.push(next);
        }
        let taken = taken.max(next.len_utf8());
        before = rest[..taken].chars().next_back().unwrap_or(' ');
        rest = &rest[taken..];
    }
    out.chars().take(NORMALISED_CHARS).collect()
}

/// Bytes of the text in quotes that `rest` begins with; 0 where it does not end.
fn quoted(rest: &str, quote: char) -> usize {
    rest[1..].find(quote).map_or(0, |end| end + 2)
}

fn digits(rest: &str) -> usize {
    rest.bytes().take_while(u8::is_ascii_digit).count()
}

/// Bytes of what is to be replaced at the beginning of a word, and by what.
fn word(rest: &str) -> (usize, &'static str) {
    if is_uuid(rest) {
        return (UUID.len(), "<uuid>");
    }
    let prefix = if rest.starts_with("0x") { 2 } else { 0 };
    let run = rest[prefix..].bytes().take_while(u8::is_ascii_hexdigit).count();
    let hex = &rest[prefix..prefix + run];
    let is_mixed =
        hex.contains(|c: char| c.is_ascii_digit()) && hex.contains(|c: char| c.is_ascii_alphabetic());
    if run >= HEX_CHARS && (is_mixed || prefix > 0) && !goes_on(&rest[prefix + run..]) {
        return (prefix + run, "<hex>");
    }
    (digits(rest), "<n>")
}

/// The shape of a UUID.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

fn is_uuid(rest: &str) -> bool {
    let fits =
        |(found, shape): (u8, u8)| if shape == b'-' { found == b'-' } else { found.is_ascii_hexdigit() };
    rest.len() >= UUID.len() && rest.bytes().zip(UUID.bytes()).all(fits) && !goes_on(&rest[UUID.len()..])
}

fn goes_on(rest: &str) -> bool {
    rest.starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_tells_messages_apart_is_replaced() {
        for (description, expected) in [
            ("", ""),
            ("no stock", "no stock"),
            (
                "10 deliveries failed; max_delivery_count is 10",
                "<n> deliveries failed; max_delivery_count is <n>",
            ),
            ("order 4711 of 2026-11-21", "order <n> of <n>-<n>-<n>"),
            ("line12: x1y22", "line<n>: x<n>y<n>"),
            ("customer 3f2504e0-4f89-11d3-9a0c-0305e82c3301 unknown", "customer <uuid> unknown"),
            ("3f2504e0-4f89-11d3-9a0c-0305e82c3301a", "<hex>-<n>f<n>-<n>d<n>-<n>a<n>c-<hex>"),
            ("commit deadbeef01 failed", "commit <hex> failed"),
            ("at 0xdeadbeef", "at <hex>"),
            ("0x12", "<n>x<n>"),
            ("effaced, a word", "effaced, a word"),
            ("12345678", "<n>"),
            ("key 'a b' and \"c\"", "key <text> and <text>"),
            ("isn't there, 'tis", "isn't there, 'tis"),
            ("open 'quote 12", "open 'quote <n>"),
            ("Größe 5 überschritten, 'ä'", "Größe <n> überschritten, <text>"),
        ] {
            assert_eq!(normalised(description), expected, "{description}");
        }
    }

    #[test]
    fn long_descriptions_are_cut() {
        assert_eq!(normalised(&"ä".repeat(500)), "ä".repeat(200));
        assert_eq!(normalised(&"1 ".repeat(500)).chars().count(), 200);
    }

    proptest! {
        #[test]
        fn any_text_has_a_short_form(text in ".*") {
            prop_assert!(normalised(&text).chars().count() <= NORMALISED_CHARS);
        }
    }
}
