//! Reading and writing a policy's text.

use super::{Delays, Response, RetryPolicy};
use crate::error::Refusal;
use crate::limits;
use std::fmt;
use std::ops::RangeInclusive;

const FIELD: &str = "retry";
const DELAYS: &str =
    "immediate | list 1s,5s | linear 1s max 1m | exponential 1s max 10m [factor 2] [jitter 20%]";
const DEFAULT_FACTOR: u32 = 2;
const FACTORS: RangeInclusive<u32> = 2..=100;
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl RetryPolicy {
    /// Reads a policy. Refuses with what was found and what is allowed.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let chars = text.chars().count();
        if chars > limits::RETRY_CHARS {
            let most = limits::RETRY_CHARS;
            return Err(Refusal::invalid(
                FIELD,
                format!("has {chars} characters, at most {most} are allowed"),
            ));
        }
        let mut parts = text.split(';');
        let mut policy =
            RetryPolicy { delays: Delays::parse(parts.next().unwrap_or_default())?, overrides: Vec::new() };
        for part in parts {
            policy.add_override(part)?;
        }
        Ok(policy)
    }

    fn add_override(&mut self, text: &str) -> Result<(), Refusal> {
        let named = text.trim().strip_prefix("on ").and_then(|rest| rest.split_once(':'));
        let (reason, response) = named.ok_or_else(|| wrong(text, "on <reason>: <delays or dead-letter>"))?;
        let (reason, most) = (reason.trim(), limits::ID_CHARS);
        if reason.is_empty() || reason.chars().count() > most {
            return Err(wrong(reason, &format!("a reason of 1 to {most} characters")));
        }
        if self.overrides.iter().any(|(known, _)| known == reason) {
            return Err(wrong(reason, "each reason once"));
        }
        let response = match response.trim() {
            "dead-letter" => Response::DeadLetter,
            delays => Response::Delays(Delays::parse(delays)?),
        };
        self.overrides.push((reason.to_owned(), response));
        Ok(())
    }
}

/// The words of a part of a policy, and what they are.
struct Words<'a> {
    whole: &'a str,
    words: std::str::SplitWhitespace<'a>,
}

impl Delays {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut words = Words { whole: text, words: text.split_whitespace() };
        let delays = match words.next()? {
            "immediate" => Delays::Immediate,
            "list" => return Self::parse_list(text),
            "linear" => {
                let (first_ms, most_ms) = words.bounds()?;
                Delays::Linear { first_ms, most_ms }
            }
            "exponential" => Self::parse_exponential(&mut words)?,
            _ => return Err(wrong(text, DELAYS)),
        };
        words.finish()?;
        Ok(delays)
    }

    fn parse_list(text: &str) -> Result<Self, Refusal> {
        let list = text.trim_start().trim_start_matches("list");
        let delays = list.split(',').map(|delay| parse_duration(delay.trim(), 0));
        Ok(Delays::List(delays.collect::<Result<_, _>>()?))
    }

    fn parse_exponential(words: &mut Words<'_>) -> Result<Self, Refusal> {
        let (first_ms, most_ms) = words.bounds()?;
        let factor = match words.after("factor")? {
            None => DEFAULT_FACTOR,
            Some(word) => parse_number(word, FACTORS).ok_or_else(|| wrong(word, "a factor from 2 to 100"))?,
        };
        let jitter_percent = match words.after("jitter")? {
            None => 0,
            Some(word) => parse_percent(word).ok_or_else(|| wrong(word, "a jitter of 0% to 100%"))?,
        };
        Ok(Delays::Exponential { first_ms, most_ms, factor, jitter_percent })
    }
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, Refusal> {
        self.words.next().ok_or_else(|| wrong(self.whole, DELAYS))
    }

    /// The word behind `keyword`, if that is what comes now.
    fn after(&mut self, keyword: &str) -> Result<Option<&'a str>, Refusal> {
        if self.words.clone().next() != Some(keyword) {
            return Ok(None);
        }
        self.next()?;
        self.next().map(Some)
    }

    /// A first delay and the most it grows to.
    fn bounds(&mut self) -> Result<(u64, u64), Refusal> {
        let first_ms = parse_duration(self.next()?, 1)?;
        let most = self.after("max")?.ok_or_else(|| wrong(self.whole, DELAYS))?;
        let most_ms = parse_duration(most, 1)?;
        if most_ms < first_ms {
            return Err(wrong(most, "a max that is not below the first delay"));
        }
        Ok((first_ms, most_ms))
    }

    fn finish(mut self) -> Result<(), Refusal> {
        match self.words.next() {
            None => Ok(()),
            Some(_) => Err(wrong(self.whole, DELAYS)),
        }
    }
}

fn wrong(found: &str, allowed: &str) -> Refusal {
    let found: String = found.trim().chars().take(64).collect();
    Refusal::invalid(FIELD, format!("found {found:?}, allowed is {allowed}"))
}

/// A number of plain digits.
fn parse_number(text: &str, allowed: RangeInclusive<u32>) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten()?;
    allowed.contains(&number).then_some(number)
}

fn parse_percent(text: &str) -> Option<u32> {
    parse_number(text.strip_suffix('%')?, 0..=100)
}

/// Reads a duration of at least `least` milliseconds.
fn parse_duration(text: &str, least: u64) -> Result<u64, Refusal> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let ms = unit.and_then(|(_, ms)| number.parse::<u64>().ok()?.checked_mul(*ms));
    ms.filter(|ms| (least..=limits::RETRY_DELAY_MS).contains(ms))
        .ok_or_else(|| wrong(text, &format!("a duration of {least}ms to 720h, as in 250ms, 5s, 10m, 1h")))
}

/// A duration in its largest unit without a remainder.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, ms): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*ms);
        let (unit, ms) = UNITS.iter().rev().find(whole).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / ms)
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delays::Immediate => f.write_str("immediate"),
            Delays::List(delays) => {
                let delays: Vec<_> = delays.iter().map(|delay| Duration(*delay).to_string()).collect();
                write!(f, "list {}", delays.join(","))
            }
            Delays::Linear { first_ms, most_ms } => {
                write!(f, "linear {} max {}", Duration(*first_ms), Duration(*most_ms))
            }
            Delays::Exponential { first_ms, most_ms, factor, jitter_percent } => {
                write!(f, "exponential {} max {}", Duration(*first_ms), Duration(*most_ms))?;
                if *factor != DEFAULT_FACTOR {
                    write!(f, " factor {factor}")?;
                }
                if *jitter_percent != 0 {
                    write!(f, " jitter {jitter_percent}%")?;
                }
                Ok(())
            }
        }
    }
}

/// The canonical text: units as large as they can be, and nothing that is the default.
impl fmt::Display for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.delays.fmt(f)?;
        for (reason, response) in &self.overrides {
            match response {
                Response::Delays(delays) => write!(f, "; on {reason}: {delays}")?,
                Response::DeadLetter => write!(f, "; on {reason}: dead-letter")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_canonical_text() {
        for (text, canonical) in [
            ("immediate", "immediate"),
            (" list  1000ms , 90s,0s ", "list 1s,90s,0ms"),
            ("linear 60s max 120m", "linear 1m max 2h"),
            ("exponential 1s max 10m factor 2 jitter 0%", "exponential 1s max 10m"),
            ("exponential 1s max 10m jitter 20%", "exponential 1s max 10m jitter 20%"),
            (
                "exponential 1s max 1h factor 3;on  Bad Input :dead-letter ; on LockExpired:immediate",
                "exponential 1s max 1h factor 3; on Bad Input: dead-letter; on LockExpired: immediate",
            ),
        ] {
            let policy = RetryPolicy::parse(text).unwrap();
            assert_eq!(policy.to_string(), canonical);
            assert_eq!(RetryPolicy::parse(canonical).unwrap(), policy);
        }
    }

    #[test]
    fn refuses_what_is_no_policy_and_says_what_is() {
        for (text, part) in [
            ("", "found \"\", allowed is immediate"),
            ("often", "found \"often\""),
            ("dead-letter", "found \"dead-letter\""),
            ("immediate now", "found \"immediate now\""),
            ("list", "found \"\", allowed is a duration of 0ms to 720h"),
            ("list 1s,", "found \"\""),
            ("list 1s 2s", "found \"1s 2s\""),
            ("listing 1s", "found \"listing 1s\""),
            ("linear 1s", "found \"linear 1s\""),
            ("linear 0s max 1m", "found \"0s\", allowed is a duration of 1ms to 720h"),
            ("linear 1m max 1s", "found \"1s\", allowed is a max that is not below"),
            ("linear 1s max 721h", "found \"721h\""),
            ("linear 1s max 99999999999999999999h", "found \"99999999999999999999h\""),
            ("linear +1s max 1m", "found \"+1s\""),
            ("linear 1d max 1m", "found \"1d\""),
            ("linear 1s max 1m factor 2", "found \"linear 1s max 1m factor 2\""),
            ("exponential 1s max 1m factor 1", "found \"1\", allowed is a factor from 2 to 100"),
            ("exponential 1s max 1m jitter 20", "found \"20\", allowed is a jitter of 0% to 100%"),
            ("exponential 1s max 1m jitter 101%", "found \"101%\""),
            ("exponential 1s max 1m jitter 20% factor 2", "found \"exponential"),
            ("immediate;", "found \"\", allowed is on <reason>"),
            ("immediate; on X", "found \"on X\""),
            ("immediate; on : immediate", "allowed is a reason of 1 to 128 characters"),
            ("immediate; on X: immediate; on X: dead-letter", "found \"X\", allowed is each reason once"),
        ] {
            let refusal = RetryPolicy::parse(text).unwrap_err();
            assert_eq!(refusal.field, "retry");
            assert!(refusal.message.contains(part), "{text:?}: {}", refusal.message);
        }
        let long = format!("list {}", "1s,".repeat(400));
        assert!(RetryPolicy::parse(&long).unwrap_err().message.contains("has 1205 characters"));
    }
}
