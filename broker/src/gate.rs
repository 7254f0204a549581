//! Admits: who are you?
//!
//! Tokens are random; only their SHA-256 is kept, in the file `tokens` of the data directory: one line each, the
//! digest in hexadecimal and a name. Comparing takes the same time whatever is wrong.

use postrider_protocol::error::{ErrorCode, Refusal};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use subtle::{Choice, ConstantTimeEq};

type TokenDigest = [u8; 32];

/// Who a connection speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name beside the token.
    pub name: String,
}

/// Knows the tokens.
#[derive(Debug)]
pub struct Gate {
    tokens: Vec<(TokenDigest, String)>,
}

/// The name of the token that a data directory starts with.
const FIRST: &str = "first";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 24;

impl Gate {
    /// Reads the tokens of a data directory. A directory without tokens gets its first one, which is returned to be
    /// shown once: `given`, or a random one. A `given` token that is not known yet is added.
    pub fn open(data_dir: &Path, given: Option<&str>) -> Result<(Self, Option<String>), String> {
        let path = data_dir.join("tokens");
        let mut gate = Gate { tokens: read_tokens(&path)? };
        let token = match given {
            Some("") => return Err("the token is empty; give at least one character".to_owned()),
            Some(token) if gate.find(token).is_some() => return Ok((gate, None)),
            Some(token) => token.to_owned(),
            None if !gate.tokens.is_empty() => return Ok((gate, None)),
            None => random_token()?,
        };
        let name =
            if gate.tokens.is_empty() { FIRST.to_owned() } else { format!("given-{}", gate.tokens.len()) };
        append_token(&path, &token, &name)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        gate.tokens.push((digest(&token), name));
        Ok((gate, given.is_none().then_some(token)))
    }

    /// Whom the token belongs to; refuses with `Unauthorized`.
    pub fn admit(&self, token: &str) -> Result<Principal, Refusal> {
        let refusal = || {
            let text =
                "the token is not known; connect with postrider://TOKEN@HOST:PORT, or set POSTRIDER_TOKEN";
            Refusal::new(ErrorCode::Unauthorized, text)
        };
        self.find(token).map(|name| Principal { name: name.clone() }).ok_or_else(refusal)
    }

    /// Compares with every token, whichever fits.
    fn find(&self, token: &str) -> Option<&String> {
        let wanted = digest(token);
        let fits = |known: &TokenDigest| -> Choice { known.ct_eq(&wanted) };
        self.tokens
            .iter()
            .fold(None, |found, (known, name)| if fits(known).into() { Some(name) } else { found })
    }
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn random_token() -> Result<String, String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bits for a token: {error}"))?;
    Ok(hexadecimal(&bytes))
}

fn read_tokens(path: &Path) -> Result<Vec<(TokenDigest, String)>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let line = |(number, line): (usize, &str)| {
        let problem = || {
            format!("{} line {}: expected a SHA-256 in hexadecimal and a name", path.display(), number + 1)
        };
        parse_line(line).ok_or_else(problem)
    };
    text.lines().enumerate().map(line).collect()
}

fn parse_line(line: &str) -> Option<(TokenDigest, String)> {
    let (digits, name) = line.split_once(' ')?;
    if digits.len() != 64 || !digits.is_ascii() || name.is_empty() {
        return None;
    }
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((digest, name.to_owned()))
}

fn append_token(path: &Path, token: &str, name: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    writeln!(file, "{} {name}", hexadecimal(&digest(token)))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_directory_gets_a_token_that_only_it_admits() {
        let dir = tempfile::tempdir().unwrap();
        let (gate, token) = Gate::open(dir.path(), None).unwrap();
        let token = token.unwrap();
        assert_eq!(gate.admit(&token).unwrap().name, "first");
        assert_eq!(gate.admit("").unwrap_err().code, ErrorCode::Unauthorized);
        let (again, shown) = Gate::open(dir.path(), None).unwrap();
        assert_eq!(shown, None);
        assert!(again.admit(&token).is_ok());
        let stored = fs::read_to_string(dir.path().join("tokens")).unwrap();
        assert!(!stored.contains(&token), "the token itself is never stored");
    }

    #[test]
    fn a_given_token_is_added_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (_, shown) = Gate::open(dir.path(), Some("a")).unwrap();
        assert_eq!(shown, None);
        let (gate, _) = Gate::open(dir.path(), Some("b")).unwrap();
        assert!(gate.admit("a").is_ok() && gate.admit("b").is_ok() && gate.admit("c").is_err());
        assert!(Gate::open(dir.path(), Some("")).is_err());
    }

    #[test]
    fn a_line_that_is_no_token_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["", "abc first", &format!("{} ", "0".repeat(64))] {
            fs::write(dir.path().join("tokens"), format!("{bad}\n")).unwrap();
            assert!(Gate::open(dir.path(), None).unwrap_err().contains("line 1"), "{bad:?}");
        }
    }
}
