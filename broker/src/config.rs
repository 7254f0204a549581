//! The broker's settings: flags over environment over file over default.
//!
//! Every layer brings texts, so that a value is read in one place and an error can say where it came from. Nothing
//! here touches a file or the environment; `cli::serve` brings the texts.

use postrider::{JOURNAL_BYTES, SHARDS};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use tracing_subscriber::filter::LevelFilter;

/// The settings' names as a file has them. The flag is `--` and the name with `-` for `_`, the variable is
/// `POSTRIDER_` and the name in capitals.
pub const NAMES: [&str; 9] = [
    "data_dir",
    "listen",
    "shards",
    "journal_bytes",
    "disk_reserve",
    "backup_dir",
    "token_file",
    "log",
    "log_format",
];

/// The variable that holds the token itself. There is no such flag: other users of the machine could read it.
pub const TOKEN_VARIABLE: &str = "POSTRIDER_TOKEN";

/// Where the broker listens where nothing else is said, and where clients look for it.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7707";

/// The reserve of the disk that goes by its size.
const AUTO: &str = "auto";

/// Texts by a setting's name.
pub type Values = BTreeMap<&'static str, String>;

/// A setting that cannot be used: which, where it came from, and what is allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the token comes from.
#[derive(PartialEq, Eq)]
pub enum Token {
    /// Nobody gave one: a fresh data directory draws its own.
    Unset,
    /// The token itself.
    Given(String),
    /// The file that holds it.
    InFile(PathBuf),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(()),
        }
    }
}

/// The settings in force.
#[derive(PartialEq, Eq)]
pub struct Settings {
    /// Holds everything the broker keeps.
    pub data_dir: PathBuf,
    /// Where it listens; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Shards of a store that is made now; an older one keeps its own number.
    pub shards: u16,
    /// Bytes that each shard's journal may have; 0 for none.
    pub journal_bytes: u64,
    /// Bytes of the disk that are kept for what makes room; 0 for none, `None` for a share of the disk.
    pub disk_reserve: Option<u64>,
    /// Where backups are kept; `None` for nowhere.
    pub backup_dir: Option<PathBuf>,
    /// What clients must show.
    pub token: Token,
    /// The least level that is logged.
    pub log: LevelFilter,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// A configuration file that was read.
#[derive(Default)]
pub struct File {
    name: String,
    values: Values,
}

impl File {
    /// Reads the text of the TOML file `name`. Refuses unknown keys, by name.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| ConfigError(format!("{name}: {}", error.to_string().trim())))?;
        let values =
            table.into_iter().map(|(key, value)| entry(name, &key, value)).collect::<Result<_, _>>()?;
        Ok(File { name: name.to_owned(), values })
    }
}

fn entry(file: &str, key: &str, value: toml::Value) -> Result<(&'static str, String), ConfigError> {
    let known = NAMES.into_iter().find(|name| *name == key);
    let known = known.ok_or_else(|| {
        ConfigError(format!("{file}: {key:?} is not a setting; settings are {}", NAMES.join(", ")))
    })?;
    match value {
        toml::Value::String(text) => Ok((known, text)),
        toml::Value::Integer(number) => Ok((known, number.to_string())),
        other => {
            let found = other.type_str();
            Err(ConfigError(format!("{file}: {key} is of type {found}, texts and numbers are allowed")))
        }
    }
}

/// What the environment says.
#[derive(Default)]
pub struct Environment {
    token: Option<String>,
    values: Values,
}

impl Environment {
    /// Reads all variables there are for settings. An empty variable counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let text = |name: &str| utf8(name, variable(name));
        let mut values = Values::new();
        for name in NAMES {
            values.extend(text(&variable_name(name))?.map(|value| (name, value)));
        }
        Ok(Environment { token: text(TOKEN_VARIABLE)?, values })
    }
}

fn utf8(name: &str, value: Option<OsString>) -> Result<Option<String>, ConfigError> {
    let text = value.filter(|value| !value.is_empty()).map(OsString::into_string).transpose();
    text.map_err(|_| ConfigError(format!("{name} is not UTF-8")))
}

fn variable_name(name: &str) -> String {
    format!("POSTRIDER_{}", name.to_uppercase())
}

fn flag_name(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// The layers, the strongest first.
#[derive(Default)]
pub struct Layers {
    /// From the command line.
    pub flags: Values,
    /// From the environment.
    pub environment: Environment,
    /// From the configuration file.
    pub file: File,
}

impl Layers {
    /// Takes each setting from the strongest layer that has it.
    pub fn settings(self) -> Result<Settings, ConfigError> {
        Ok(Settings {
            data_dir: self.value("data_dir", "postrider-data", "a path", path)?,
            listen: self.value("listen", DEFAULT_ADDRESS, "an address such as 127.0.0.1:7707", parsed)?,
            shards: self.value("shards", "16", "a number from 1 to 1024", |text| {
                parsed(text).filter(|n| SHARDS.contains(n))
            })?,
            journal_bytes: self.value(
                "journal_bytes",
                "4194304",
                "0, or a number from 65536 to 16777216",
                |text| parsed(text).filter(|n| *n == 0 || JOURNAL_BYTES.contains(n)),
            )?,
            disk_reserve: self.value(
                "disk_reserve",
                AUTO,
                "a number of bytes, or auto",
                |text| match text {
                    AUTO => Some(None),
                    text => parsed(text).map(Some),
                },
            )?,
            backup_dir: self.backup_dir()?,
            token: self.token()?,
            log: self.value("log", "info", "one of off, error, warn, info, debug, trace", level)?,
            log_format: self.value("log_format", "text", "one of text, json", parsed)?,
        })
    }

    fn backup_dir(&self) -> Result<Option<PathBuf>, ConfigError> {
        match self.find("backup_dir") {
            None => Ok(None),
            Some(_) => self.value("backup_dir", "", "a path", path).map(Some),
        }
    }

    fn value<T>(
        &self,
        name: &str,
        default: &str,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let (source, text) = self.find(name).unwrap_or_else(|| ("default".to_owned(), default));
        read(text).ok_or_else(|| ConfigError(format!("{source}: {text:?} is not {allowed}")))
    }

    /// The strongest text of a setting, and its source as a user would write it.
    fn find(&self, name: &str) -> Option<(String, &str)> {
        let flag = || self.flags.get(name).map(|text| (flag_name(name), text));
        let variable = || self.environment.values.get(name).map(|text| (variable_name(name), text));
        let file = || self.file.values.get(name).map(|text| (format!("{}: {name}", self.file.name), text));
        flag().or_else(variable).or_else(file).map(|(source, text)| (source, text.as_str()))
    }

    /// A token in the environment is weaker than a file named by a flag and stronger than one named elsewhere.
    fn token(&self) -> Result<Token, ConfigError> {
        match &self.environment.token {
            Some(token) if !self.flags.contains_key("token_file") => Ok(Token::Given(token.clone())),
            _ if self.find("token_file").is_none() => Ok(Token::Unset),
            _ => self.value("token_file", "", "a path", path).map(Token::InFile),
        }
    }
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// A level by its name; the numbers that `LevelFilter` reads as well are nobody's business.
fn level(text: &str) -> Option<LevelFilter> {
    text.parse().ok().filter(|_| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(values: &[(&'static str, &str)]) -> Layers {
        let flags = values.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        Layers { flags, ..Layers::default() }
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| text.into());
        Environment::read(found).unwrap()
    }

    fn problem(layers: Layers) -> String {
        layers.settings().err().expect("a problem").to_string()
    }

    #[test]
    fn defaults_need_nothing() {
        let settings = Layers::default().settings().unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("postrider-data"));
        assert_eq!(settings.listen.to_string(), DEFAULT_ADDRESS);
        assert_eq!(
            (settings.shards, settings.journal_bytes, settings.log, settings.log_format),
            (16, 4 << 20, LevelFilter::INFO, LogFormat::Text)
        );
        assert!(settings.token == Token::Unset);
    }

    #[test]
    fn the_disk_has_a_reserve_and_backups_no_place_unless_it_is_said() {
        let settings = Layers::default().settings().unwrap();
        assert_eq!((settings.disk_reserve, settings.backup_dir), (None, None));
        let layers = flags(&[("disk_reserve", "0"), ("backup_dir", "/backup")]);
        let settings = layers.settings().unwrap();
        assert_eq!((settings.disk_reserve, settings.backup_dir), (Some(0), Some(PathBuf::from("/backup"))));
        assert_eq!(flags(&[("disk_reserve", "auto")]).settings().unwrap().disk_reserve, None);
        let text = problem(flags(&[("disk_reserve", "5%")]));
        assert_eq!(text, "--disk-reserve: \"5%\" is not a number of bytes, or auto");
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let mut layers = flags(&[("listen", "127.0.0.1:1")]);
        layers.environment = environment(&[("POSTRIDER_LISTEN", "127.0.0.1:2"), ("POSTRIDER_SHARDS", "2")]);
        let text = "listen = '127.0.0.1:3'\nshards = 3\nlog = 'debug'\ndata_dir = '/var/lib/postrider'";
        layers.file = File::parse("p.toml", text).unwrap();
        let settings = layers.settings().unwrap();
        assert_eq!((settings.listen.port(), settings.shards, settings.log), (1, 2, LevelFilter::DEBUG));
        assert_eq!(settings.data_dir, PathBuf::from("/var/lib/postrider"));
    }

    #[test]
    fn errors_say_which_source_and_what_is_allowed() {
        assert_eq!(
            problem(flags(&[("log_format", "xml")])),
            "--log-format: \"xml\" is not one of text, json"
        );
        assert_eq!(problem(flags(&[("data_dir", "")])), "--data-dir: \"\" is not a path");
        let layers = Layers { environment: environment(&[("POSTRIDER_SHARDS", "0")]), ..Layers::default() };
        assert_eq!(problem(layers), "POSTRIDER_SHARDS: \"0\" is not a number from 1 to 1024");
        let layers = Layers { file: File::parse("p.toml", "log = 3").unwrap(), ..Layers::default() };
        assert_eq!(problem(layers), "p.toml: log: \"3\" is not one of off, error, warn, info, debug, trace");
    }

    #[test]
    fn a_file_with_an_unknown_key_is_refused_by_name() {
        let problem = File::parse("p.toml", "datadir = 'x'").err().unwrap().to_string();
        assert!(
            problem.starts_with("p.toml: \"datadir\" is not a setting; settings are data_dir, listen"),
            "{problem}"
        );
        assert!(File::parse("p.toml", "token = 'secret'").is_err());
        assert!(
            File::parse("p.toml", "listen = [1]").err().unwrap().to_string().contains("is of type array")
        );
        assert!(File::parse("p.toml", "listen = ").err().unwrap().to_string().starts_with("p.toml: "));
    }

    #[test]
    fn the_token_comes_from_a_flagged_file_then_the_environment_then_another_file() {
        let token = |layers: Layers| layers.settings().unwrap().token;
        let given = [("POSTRIDER_TOKEN", "secret"), ("POSTRIDER_TOKEN_FILE", "other")];
        let mut layers = flags(&[("token_file", "flagged")]);
        layers.environment = environment(&given);
        assert!(token(layers) == Token::InFile("flagged".into()));
        let layers = Layers { environment: environment(&given), ..Layers::default() };
        assert!(token(layers) == Token::Given("secret".to_owned()));
        let layers = Layers { environment: environment(&given[1..]), ..Layers::default() };
        assert!(token(layers) == Token::InFile("other".into()));
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = environment(&[("POSTRIDER_TOKEN", ""), ("POSTRIDER_LISTEN", "")]);
        let layers = Layers { environment, ..Layers::default() };
        assert!(layers.settings().unwrap().token == Token::Unset);
    }
}
