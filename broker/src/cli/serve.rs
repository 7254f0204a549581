//! `postrider serve`.

use super::failure::Failure;
use crate::config::{Environment, File, Layers, LogFormat, Settings, Token, Values};
use clap::Args;
use postrider::{Server, ServerConfig};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run a broker
///
/// A setting is taken from its flag, else from its environment variable, else from the file named by --config, else
/// its default. SIGTERM and SIGINT stop the broker in order; a second one stops it at once.
///
/// The token that clients must show is never a flag. Without one, a fresh data directory draws its own and prints it
/// once.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider serve --data-dir /var/lib/postrider",
    "postrider serve --config /etc/postrider.toml --log debug",
    "postrider serve --listen 0.0.0.0:7707 --token-file /run/secrets/postrider-token",
))]
pub struct Serve {
    /// A TOML file with settings: data_dir, listen, shards, journal_bytes, disk_reserve,
    /// backup_dir, token_file, log, log_format
    #[arg(long, env = "POSTRIDER_CONFIG", hide_env_values = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Where to keep everything [env: POSTRIDER_DATA_DIR] [default: postrider-data]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<String>,
    /// Where to listen; port 0 lets the system choose [env: POSTRIDER_LISTEN] [default: 127.0.0.1:7707]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Shards of a fresh store [env: POSTRIDER_SHARDS] [default: 16]
    #[arg(long, value_name = "NUMBER")]
    shards: Option<String>,
    /// Bytes of what was decided lately that each shard keeps for `postrider trace`; 0 for none
    /// [env: POSTRIDER_JOURNAL_BYTES] [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    journal_bytes: Option<String>,
    /// Bytes of the disk that publishers leave to consumers; 0 for none, auto for the larger of 1 GiB and 5 %
    /// [env: POSTRIDER_DISK_RESERVE] [default: auto]
    #[arg(long, value_name = "BYTES")]
    disk_reserve: Option<String>,
    /// Where `postrider backup` has backups made; without it they are refused [env: POSTRIDER_BACKUP_DIR]
    #[arg(long, value_name = "PATH")]
    backup_dir: Option<String>,
    /// A file with the token, instead of POSTRIDER_TOKEN [env: POSTRIDER_TOKEN_FILE]
    #[arg(long, value_name = "PATH")]
    token_file: Option<String>,
    /// What to log: off, error, warn, info, debug, trace [env: POSTRIDER_LOG] [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How to log: text, json [env: POSTRIDER_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Serve {
    /// Serves until a signal comes.
    pub async fn run(self) -> Result<(), Failure> {
        let settings = self.settings()?;
        let mut signals =
            Signals::new().map_err(|error| Failure::usage(format!("cannot wait for signals: {error}")))?;
        start_log(&settings);
        raise_file_limit();
        let config = server_config(settings)?;
        let data_dir = config.data_dir.clone();
        let server = tokio::select! {
            started = Server::start(config) => started.map_err(|error| Failure::usage(error.to_string()))?,
            () = signals.next() => return Ok(()),
        };
        greet(&data_dir, server.local_addr(), server.new_token());
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::select! {
            _ = server.stop() => Ok(()),
            () = signals.next() => Err(Failure::refused("stopped at once; what was acknowledged is safe")),
        }
    }

    fn settings(self) -> Result<Settings, Failure> {
        let file = self.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let environment = Environment::read(|name| std::env::var_os(name))?;
        Ok(Layers { flags: self.flags(), environment, file }.settings()?)
    }

    fn flags(self) -> Values {
        let flags = [
            ("data_dir", self.data_dir),
            ("listen", self.listen),
            ("shards", self.shards),
            ("journal_bytes", self.journal_bytes),
            ("disk_reserve", self.disk_reserve),
            ("backup_dir", self.backup_dir),
            ("token_file", self.token_file),
            ("log", self.log),
            ("log_format", self.log_format),
        ];
        flags.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let name = path.to_string_lossy();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(&name, &error))?;
    Ok(File::parse(&name, &text)?)
}

fn server_config(settings: Settings) -> Result<ServerConfig, Failure> {
    let Settings { data_dir, listen, shards, journal_bytes, disk_reserve, backup_dir, token, .. } = settings;
    let token = match token {
        Token::Unset => None,
        Token::Given(token) => Some(token),
        Token::InFile(path) => Some(read_token(&path)?),
    };
    Ok(ServerConfig { data_dir, listen, shards, journal_bytes, disk_reserve, backup_dir, token })
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let name = path.to_string_lossy();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(&name, &error))?;
    match text.trim() {
        "" => Err(Failure::usage(format!("{name}: the token file is empty"))),
        token => Ok(token.to_owned()),
    }
}

/// Every connection is an open file: takes as many as the system lets this process have.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files allowed"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

fn start_log(settings: &Settings) {
    let log = tracing_subscriber::fmt().with_max_level(settings.log).with_writer(io::stderr);
    match settings.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Says how to reach the broker. Whoever started it may have closed our output, which is no reason to stop.
fn greet(data_dir: &Path, address: SocketAddr, new_token: Option<&str>) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "{}", greeting(data_dir, address, new_token)).and_then(|()| out.flush());
}

fn greeting(data_dir: &Path, address: SocketAddr, new_token: Option<&str>) -> String {
    let token = new_token.map(|token| {
        format!(
            "{} is new. Clients need this token, which is shown only now:\n\n  export POSTRIDER_URL=postrider://{token}@{}\n\n",
            data_dir.display(),
            reachable(address)
        )
    });
    format!("{}listening on {address}\n", token.unwrap_or_default())
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The signals that ask for a stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_ends_with_the_address_and_shows_a_new_token_once() {
        let address = "0.0.0.0:7707".parse().unwrap();
        assert_eq!(greeting(Path::new("d"), address, None), "listening on 0.0.0.0:7707\n");
        let first = greeting(Path::new("d"), address, Some("abc"));
        assert!(first.contains("export POSTRIDER_URL=postrider://abc@127.0.0.1:7707\n"), "{first}");
        assert!(first.ends_with("\nlistening on 0.0.0.0:7707\n"), "{first}");
    }
}
