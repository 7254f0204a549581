//! Values on the command line.

use humantime::{parse_duration, parse_rfc3339_weak};
use postrider_client::Start;
use postrider_protocol::options::UNSET;
use postrider_protocol::reply::PeekState;
use postrider_protocol::rule::Condition;
use postrider_protocol::value::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A duration with a unit: `30s`, `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}; write it with a unit, such as 500ms, 30s, 5m, 1h"))
}

/// A duration in whole milliseconds.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    u64::try_from(duration(text)?.as_millis()).map_err(|_| "is too long".to_owned())
}

/// A duration in milliseconds as the text of an option, or `none`.
pub fn milliseconds_or_none(text: &str) -> Result<String, String> {
    if text == UNSET { Ok(text.to_owned()) } else { Ok(milliseconds(text)?.to_string()) }
}

/// UTC milliseconds of an RFC 3339 time, not before 1970.
pub fn time_ms(text: &str) -> Result<u64, String> {
    let milliseconds = timestamp(text).and_then(|ms| u64::try_from(ms).ok());
    milliseconds.ok_or_else(|| format!("{text:?} is not a time such as 2026-01-31T12:00:00Z"))
}

/// Where a replay begins: a number, a time, or so long ago.
pub fn start(text: &str) -> Result<Start, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Start::Sequence(sequence));
    }
    match text.strip_suffix(" ago") {
        Some(age) => Ok(Start::Time(before(duration(age)?))),
        None => time_ms(text).map(|ms| Start::Time(UNIX_EPOCH + Duration::from_millis(ms))).map_err(|_| {
            format!("{text:?} is neither a number nor a time such as 2026-01-31T12:00:00Z or '2h ago'")
        }),
    }
}

/// So long ago, not before 1970.
fn before(age: Duration) -> SystemTime {
    SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH)
}

/// The state of a message.
pub fn state(text: &str) -> Result<PeekState, String> {
    let names = PeekState::ALL.map(PeekState::name).join(", ");
    PeekState::by_name(text).ok_or_else(|| format!("{text:?} is not a state; states are {names}"))
}

/// `name=value`, for an option.
pub fn option(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    let value = match value.parse::<u64>() {
        Err(_) if name.ends_with("_ms") || name.ends_with("-ms") => milliseconds_or_none(value)?,
        _ => value.to_owned(),
    };
    Ok((name.to_owned(), value))
}

/// `name=value` or `name:kind=value`, for an application property.
pub fn property(text: &str) -> Result<(String, Value), String> {
    let (left, value) = text.split_once('=').ok_or("write it as name=value or name:kind=value")?;
    let (name, kind) = left.rsplit_once(':').unwrap_or((left, "text"));
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Ok((name.to_owned(), typed(kind, value)?))
}

/// As [`property`]; a name that starts with `sys.` is a system property.
pub fn condition(text: &str) -> Result<Condition, String> {
    let (name, value) = property(text)?;
    let system = name.get(..4).filter(|start| start.eq_ignore_ascii_case("sys."));
    let name = system.map_or(name.as_str(), |start| &name[start.len()..]);
    Ok(Condition { system: system.is_some(), name: name.to_owned(), value })
}

fn typed(kind: &str, text: &str) -> Result<Value, String> {
    let value = match kind {
        "text" => Some(Value::Text(text.to_owned())),
        "int" => text.parse().ok().map(Value::Int),
        "bool" => text.parse().ok().map(Value::Bool),
        "float" => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
        "time" => timestamp(text).map(Value::Timestamp),
        "uuid" => uuid(text).map(Value::Uuid),
        _ => return Err(format!("{kind:?} is not a kind; kinds are text, int, float, bool, time, uuid")),
    };
    value.ok_or_else(|| format!("{text:?} is not of kind {kind}"))
}

/// UTC milliseconds of an RFC 3339 time.
pub fn timestamp(text: &str) -> Option<i64> {
    let time = parse_rfc3339_weak(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// The bits of a UUID: 32 hexadecimal digits, hyphens where one likes.
pub fn uuid(text: &str) -> Option<u128> {
    let digits = text.replace('-', "");
    let hexadecimal = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

/// A time as RFC 3339 in UTC, to the millisecond. Times past the year 9999 are shown as its end.
pub fn rfc3339(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_millis(LAST_MS);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

/// As [`rfc3339`], of UTC milliseconds.
pub fn rfc3339_ms(milliseconds: u64) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_millis(milliseconds.min(LAST_MS)))
}

/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(milliseconds("1m 30s"), Ok(90_000));
        assert!(milliseconds("30").unwrap_err().contains("write it with a unit"));
        assert!(milliseconds("999999999999y").is_err());
    }

    #[test]
    fn options_in_milliseconds_take_a_duration() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(option("lock_duration_ms=30s"), pair("lock_duration_ms", "30000"));
        assert_eq!(option("lock-duration-ms=30000"), pair("lock-duration-ms", "30000"));
        assert_eq!(option("default_ttl_ms=none"), pair("default_ttl_ms", "none"));
        assert_eq!(option("forward_to=a=b"), pair("forward_to", "a=b"));
        assert!(option("lock_duration_ms").is_err());
    }

    #[test]
    fn times_and_states_say_what_is_allowed() {
        assert_eq!(time_ms("1970-01-01T00:00:01Z"), Ok(1_000));
        assert!(time_ms("tomorrow").unwrap_err().contains("2026-01-31T12:00:00Z"));
        assert_eq!(state("deferred"), Ok(PeekState::Deferred));
        assert!(state("dead").unwrap_err().contains("ready, locked, scheduled, deferred, delayed"));
    }

    #[test]
    fn a_replay_begins_at_a_number_or_a_time() {
        assert_eq!(start("4711"), Ok(Start::Sequence(4_711)));
        assert_eq!(start("1970-01-01T00:00:01Z"), Ok(Start::Time(UNIX_EPOCH + Duration::from_secs(1))));
        let before = SystemTime::now() - Duration::from_secs(7_200);
        let Ok(Start::Time(found)) = start("2h ago") else { panic!("a time") };
        assert!(before <= found && found <= SystemTime::now() - Duration::from_secs(7_200));
        assert_eq!(start("900y ago"), Ok(Start::Time(UNIX_EPOCH)));
        for (wrong, part) in [("2h", "'2h ago'"), ("x ago", "with a unit"), ("-1", "neither a number")] {
            assert!(start(wrong).unwrap_err().contains(part), "{wrong}");
        }
    }

    #[test]
    fn properties_have_kinds() {
        let value = |text: &str| property(text).map(|(_, value)| value);
        assert_eq!(property("priority=high"), Ok(("priority".to_owned(), Value::Text("high".to_owned()))));
        assert_eq!(value("n:int=-5"), Ok(Value::Int(-5)));
        assert_eq!(value("n:bool=true"), Ok(Value::Bool(true)));
        assert_eq!(value("n:float=1.5"), Ok(Value::Float(1.5)));
        assert_eq!(value("n:time=1970-01-01T00:00:01Z"), Ok(Value::Timestamp(1000)));
        assert_eq!(value("n:uuid=00000000-0000-0000-0000-0000000000ff"), Ok(Value::Uuid(255)));
        assert_eq!(value("n="), Ok(Value::Text(String::new())));
        assert_eq!(property("urn:a:text=x=y"), Ok(("urn:a".to_owned(), Value::Text("x=y".to_owned()))));
        for bad in ["n", "=x", "n:int=x", "n:int=1.5", "n:bool=yes", "n:float=nan", "n:what=1", "n:uuid=+1"] {
            assert!(property(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn system_properties_are_told_by_their_scope() {
        let found = condition("sys.subject=OrderCreated").unwrap();
        assert_eq!((found.system, found.name.as_str()), (true, "subject"));
        assert!(condition("SYS.Subject=x").unwrap().system);
        assert!(!condition("system=x").unwrap().system);
        assert!(!condition("ä=x").unwrap().system);
    }

    #[test]
    fn any_time_can_be_shown() {
        assert_eq!(rfc3339_ms(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339_ms(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
