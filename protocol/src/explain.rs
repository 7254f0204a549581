//! What the rules of a topic say of a message, before anybody sends it.

use crate::limits;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// A page of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explained {
    /// Whether there is more behind the last rule of the last subscription.
    pub more: bool,
    /// Whether no subscription of the topic, on whatever page, gets a copy or a dead letter.
    pub unmatched: bool,
    /// The full name of the subscription that gets the message then; empty where none does.
    pub fall_through: String,
    /// In the order of their names.
    pub subscriptions: Vec<ExplainedSubscription>,
}

/// What a subscription does with a message. Its rules may go on on the next page, under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainedSubscription {
    /// Its full name.
    pub name: String,
    /// Its status, where it takes nothing in and its rules decide nothing; else empty.
    pub disabled: String,
    /// In the order of their names.
    pub rules: Vec<ExplainedRule>,
    /// What comes of the rules that are here. That of the rules without an action, which make one copy together, is
    /// with the first part of the subscription.
    pub outcomes: Vec<Outcome>,
}

/// What a rule says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedRule {
    /// Its name.
    pub name: String,
    /// Whether it is a shadow, which lets nothing through.
    pub shadow: bool,
    /// What it does to its own copy; empty for none.
    pub action: String,
    /// What it says.
    pub verdict: Verdict,
    /// Its filter, and what each part of it came to.
    pub filter: Vec<Part>,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The message does not pass.
    False,
    /// It passes.
    True,
    /// That depends on a value that is missing, null or of another kind: it does not pass.
    Unknown,
    /// The filter failed on the message.
    Failed,
}

/// A part of a filter. The parts of a part follow it, one deeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How deep it is, from 0.
    pub depth: u16,
    /// The part as a filter is written.
    pub text: String,
    /// `TRUE`, `FALSE`, `UNKNOWN`, a value, `missing`, `error: ` and why, or `not looked at`.
    pub value: String,
}

/// What comes of a rule with an action, or of all rules without one together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The rule whose own copy it is, or that failed; empty for the copy of the rules without an action.
    pub rule: String,
    /// What becomes of the message there.
    pub fate: Fate,
}

/// What becomes of a message in a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The subscription gets a copy: the message as the action makes it, without its body. `None`: as it was sent.
    Copy(Option<Bytes>),
    /// Its dead letters get one.
    DeadLetter {
        /// The reason.
        reason: String,
        /// The description.
        description: String,
    },
    /// The rule failed, and the subscription does not keep what rules fail on.
    Dropped(String),
}

/// Where an explanation goes on; empty texts: at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct After {
    /// The full name of a subscription.
    pub subscription: String,
    /// The last of its rules that is known; empty: those of the next subscription come next.
    pub rule: String,
}

impl Explained {
    /// Where the next page begins.
    pub fn end(&self) -> After {
        let last = self.subscriptions.last();
        let rule = last.and_then(|last| last.rules.last()).map(|rule| rule.name.clone());
        After {
            subscription: last.map(|last| last.name.clone()).unwrap_or_default(),
            rule: rule.unwrap_or_default(),
        }
    }

    /// Writes the page: bool more, bool unmatched, text fall_through, list of subscription.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.more));
        out.put_u8(u8::from(self.unmatched));
        wire::put_text(out, &self.fall_through);
        wire::put_list(out, &self.subscriptions, |out, subscription| subscription.put(out));
    }

    /// Reads it.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        const MOST: usize = limits::SUBSCRIPTIONS_PER_TOPIC;
        Ok(Explained {
            more: reader.bool("more")?,
            unmatched: reader.bool("unmatched")?,
            fall_through: reader.text("fall_through")?,
            subscriptions: reader.list(
                "subscriptions",
                ExplainedSubscription::LEAST_BYTES,
                MOST,
                ExplainedSubscription::read,
            )?,
        })
    }
}

impl ExplainedSubscription {
    const LEAST_BYTES: usize = 12;

    /// Writes the part: text name, text disabled, list of rule, list of outcome.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        wire::put_text(out, &self.disabled);
        wire::put_list(out, &self.rules, |out, rule| rule.put(out));
        wire::put_list(out, &self.outcomes, |out, outcome| outcome.put(out));
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        const MOST: usize = limits::LISTING_ENTRIES as usize;
        Ok(ExplainedSubscription {
            name: reader.text("subscription.name")?,
            disabled: reader.text("subscription.disabled")?,
            rules: reader.list("rules", ExplainedRule::LEAST_BYTES, MOST, ExplainedRule::read)?,
            // Each rule may have one, and those without an action one together.
            outcomes: reader.list("outcomes", Outcome::LEAST_BYTES, MOST + 1, Outcome::read)?,
        })
    }
}

impl ExplainedRule {
    const LEAST_BYTES: usize = 10;

    /// Writes the rule: text name, bool shadow, text action, u8 verdict, list of part.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        out.put_u8(u8::from(self.shadow));
        wire::put_text(out, &self.action);
        out.put_u8(self.verdict.code());
        wire::put_list(out, &self.filter, |out, part| part.put(out));
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ExplainedRule {
            name: reader.text("rule.name")?,
            shadow: reader.bool("rule.shadow")?,
            action: reader.text("rule.action")?,
            verdict: Verdict::read(reader)?,
            filter: reader.list("rule.filter", Part::LEAST_BYTES, limits::RULE_BYTES, Part::read)?,
        })
    }
}

impl Part {
    const LEAST_BYTES: usize = 6;

    fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.depth);
        wire::put_text(out, &self.text);
        wire::put_text(out, &self.value);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let depth = reader.u16("part.depth")?;
        // Each level of a filter takes a character at least; whoever builds the tree may rely on it.
        if usize::from(depth) >= limits::FILTER_CHARS {
            let most = limits::FILTER_CHARS - 1;
            return Err(Malformed::new("part.depth", format!("is {depth}, at most {most} are allowed")));
        }
        Ok(Part { depth, text: reader.text("part.text")?, value: reader.text("part.value")? })
    }
}

impl Verdict {
    fn code(self) -> u8 {
        match self {
            Verdict::False => 0,
            Verdict::True => 1,
            Verdict::Unknown => 2,
            Verdict::Failed => 3,
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("rule.verdict")? {
            0 => Verdict::False,
            1 => Verdict::True,
            2 => Verdict::Unknown,
            3 => Verdict::Failed,
            other => {
                return Err(Malformed::new("rule.verdict", format!("found {other}, verdicts are 0 to 3")));
            }
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::False => "FALSE",
            Verdict::True => "TRUE",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Failed => "error",
        })
    }
}

impl Outcome {
    const LEAST_BYTES: usize = 4;

    /// Writes the outcome: text rule, u8 kind (0 copy, 1 dead letter, 2 dropped), then its content.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.rule);
        match &self.fate {
            Fate::Copy(message) => {
                out.put_u8(0);
                wire::put_optional_blob(out, message.as_ref());
            }
            Fate::DeadLetter { reason, description } => {
                out.put_u8(1);
                wire::put_text(out, reason);
                wire::put_text(out, description);
            }
            Fate::Dropped(error) => {
                out.put_u8(2);
                wire::put_text(out, error);
            }
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let rule = reader.text("outcome.rule")?;
        let fate = match reader.u8("outcome.kind")? {
            0 => Fate::Copy(reader.optional_blob("outcome.message")?),
            1 => Fate::DeadLetter {
                reason: reader.text("outcome.reason")?,
                description: reader.text("outcome.description")?,
            },
            2 => Fate::Dropped(reader.text("outcome.error")?),
            other => return Err(Malformed::new("outcome.kind", format!("found {other}, kinds are 0 to 2"))),
        };
        Ok(Outcome { rule, fate })
    }
}

impl After {
    /// Writes it: text subscription, text rule.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.subscription);
        wire::put_text(out, &self.rule);
    }

    /// Reads it.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(After { subscription: reader.text("after.subscription")?, rule: reader.text("after.rule")? })
    }
}
