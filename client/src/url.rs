//! `postrider://token@host:port`.

use crate::error::Error;

/// The port a broker listens on where nothing else is said.
pub(crate) const DEFAULT_PORT: u16 = 7707;
const SCHEME: &str = "postrider://";

/// Where a broker is, and the secret it wants.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`.
    pub address: String,
    /// Empty where the URL has none.
    pub token: String,
}

/// Reads a URL. The token may be percent-encoded. No error repeats the token.
pub(crate) fn parse(url: &str) -> Result<Target, Error> {
    let rest = strip_scheme(url).ok_or_else(|| invalid("it does not start with postrider://"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (token, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    if host.contains(['/', '?', '#']) {
        return Err(invalid("there is something behind the port"));
    }
    Ok(Target { address: with_port(host)?, token: percent_decode(token)? })
}

fn strip_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// Checks `host`, `host:port`, `[v6]` or `[v6]:port`, and adds the port where it is missing.
pub(crate) fn with_port(text: &str) -> Result<String, Error> {
    let (host, port) = match text.rfind(']') {
        Some(end) => {
            (&text[..=end], text[end + 1..].strip_prefix(':').or(text[end + 1..].is_empty().then_some("")))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = port.ok_or_else(|| invalid("there is something between the host and the port"))?;
    if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
        return Err(invalid("the host is missing, or is an IPv6 address without brackets"));
    }
    let port = match port {
        "" => DEFAULT_PORT,
        digits => digits.parse().map_err(|_| invalid("the port is not a number from 0 to 65535"))?,
    };
    Ok(format!("{host}:{port}"))
}

fn percent_decode(text: &str) -> Result<String, Error> {
    let bad = || {
        invalid("the token has a % without two hexadecimal digits behind it, or is not UTF-8; write % as %25")
    };
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(bad)?;
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten().ok_or_else(bad)?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

fn invalid(problem: &str) -> Error {
    Error::InvalidArgument(format!("the broker's URL is wrong: {problem}; write postrider://token@host:port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (String, String) {
        let Target { address, token } = parse(url).unwrap();
        (address, token)
    }

    fn pair(address: &str, token: &str) -> (String, String) {
        (address.to_owned(), token.to_owned())
    }

    #[test]
    fn reads_token_host_and_port() {
        assert_eq!(parsed("postrider://secret@broker:1234"), pair("broker:1234", "secret"));
        assert_eq!(parsed("postrider://secret@broker/"), pair("broker:7707", "secret"));
        assert_eq!(parsed("PostRider://127.0.0.1"), pair("127.0.0.1:7707", ""));
        assert_eq!(parsed("postrider://a@b@[::1]:9"), pair("[::1]:9", "a@b"));
        assert_eq!(parsed("postrider://x@[::1]"), pair("[::1]:7707", "x"));
        assert_eq!(parsed("postrider://a%40b%25@h:1"), pair("h:1", "a@b%"));
    }

    #[test]
    fn refuses_without_repeating_the_token() {
        let bad = [
            "http://secret@h",
            "postrider:/",
            "postrider://secret@",
            "postrider://secret@:1",
            "postrider://secret@h:99999",
            "postrider://secret@h:x",
            "postrider://secret@h:1/path",
            "postrider://secret@::1",
            "postrider://secret@[::1]x",
            "postrider://secret%+1@h",
            "postrider://secret%f@h",
            "postrider://secret%ff@h",
            "",
        ];
        for url in bad {
            let text =
                parse(url).err().map(|error| error.to_string()).unwrap_or_else(|| panic!("{url} was taken"));
            assert!(!text.contains("secret") && text.contains("postrider://token@host:port"), "{text}");
        }
    }
}
