//! The calendar of schedules: cron expressions in IANA time zones.

use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use postrider_core::context::Calendar;

/// Expressions of five fields, or six that begin with seconds, and `@daily` and its like. Zones are those of the
/// machine's database, or of the one that was built in.
#[derive(Debug, Clone, Copy)]
pub struct Cron;

impl Calendar for Cron {
    fn next_ms(&self, cron: &str, zone: &str, after_ms: u64) -> Result<u64, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let parsed =
            parser.parse(cron).map_err(|error| format!("{cron:?} is no cron expression: {error}"))?;
        let after = in_zone(zone, after_ms)?;
        let next = parsed
            .find_next_occurrence(&after, false)
            .map_err(|error| format!("{cron:?} in {zone} has no moment to come: {error}"))?;
        u64::try_from(next.timestamp().as_millisecond())
            .map_err(|_| format!("{cron:?} in {zone} has its next moment before 1970"))
    }
}

fn in_zone(zone: &str, moment_ms: u64) -> Result<Zoned, String> {
    let found = TimeZone::get(zone).map_err(|error| format!("{zone:?} is no IANA time zone: {error}"))?;
    let moment = i64::try_from(moment_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map(|moment| moment.to_zoned(found)).ok_or_else(|| format!("{moment_ms} is beyond the calendar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    /// The next moments in Berlin, in UTC. Summer begins on 2026-03-29 at 2:00, which is 3:00, and ends on 2026-10-25
    /// at 3:00, which is 2:00.
    fn next(cron: &str, after: &str, count: usize) -> Vec<String> {
        let mut at_ms = ms(after);
        let mut next = || {
            let next_ms = Cron.next_ms(cron, "Europe/Berlin", at_ms).unwrap();
            assert!(next_ms > at_ms, "{cron} goes on");
            at_ms = next_ms;
            Timestamp::from_millisecond(next_ms as i64).unwrap().to_string()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_day_has_the_hours_of_its_zone() {
        let expected = ["2026-01-10T02:00:00Z", "2026-01-11T02:00:00Z"];
        assert_eq!(next("0 3 * * *", "2026-01-09T02:00:00Z", 2), expected);
        assert_eq!(next("@daily", "2026-07-01T00:00:00Z", 1), ["2026-07-01T22:00:00Z"]);
        assert_eq!(next("*/20 * * * * *", "2026-01-09T02:00:05Z", 1), ["2026-01-09T02:00:20Z"]);
    }

    #[test]
    fn what_falls_into_the_gap_comes_right_behind_it() {
        let fixed = ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z", 2), fixed);
        let steps = ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"];
        assert_eq!(next("*/30 * * * *", "2026-03-29T00:00:00Z", 3), steps);
    }

    #[test]
    fn what_falls_into_the_overlap_comes_once_and_steps_go_on() {
        let fixed = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        assert_eq!(next("30 2 * * *", "2026-10-24T12:00:00Z", 2), fixed);
        let steps = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(next("*/30 * * * *", "2026-10-25T00:00:00Z", 3), steps);
    }

    #[test]
    fn what_means_nothing_is_named() {
        let refused = |cron, zone| Cron.next_ms(cron, zone, ms("2026-01-01T00:00:00Z")).unwrap_err();
        assert!(refused("often", "UTC").starts_with("\"often\" is no cron expression"));
        assert!(refused("@daily", "Mars/Olympus").starts_with("\"Mars/Olympus\" is no IANA time zone"));
        assert!(refused("0 0 30 2 *", "UTC").contains("has no moment to come"));
        assert!(Cron.next_ms("@daily", "UTC", u64::MAX).is_err());
    }
}
