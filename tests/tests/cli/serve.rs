//! `serve`: settings and where they come from, the first token, signals.

use postrider_tests::broker::{Process, postrider};
use postrider_tests::command::finish;
use rustix::process::Signal;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// `serve` on a free port, with its data in `data` of this folder.
fn serve(folder: &TempDir) -> Command {
    let mut command = postrider();
    command.current_dir(folder.path()).args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    command
}

/// All lines up to the address, and the address.
fn greeting(process: &Process) -> (Vec<String>, String) {
    let mut lines = Vec::new();
    loop {
        let line = process.line().unwrap_or_else(|| panic!("it ended: {}", process.stderr()));
        if let Some(address) = line.strip_prefix("listening on ") {
            return (lines, address.to_owned());
        }
        lines.push(line);
    }
}

fn stop(mut process: Process) {
    process.signal(Signal::TERM);
    assert!(process.wait().success(), "{}", process.stderr());
}

#[test]
fn the_first_token_is_printed_once_and_works() {
    let folder = folder();
    let first = Process::start(&mut serve(&folder));
    let (lines, address) = greeting(&first);
    let url = lines.iter().find_map(|line| line.trim().strip_prefix("export POSTRIDER_URL=")).expect("a URL");
    assert!(url.ends_with(&address), "{url}");
    assert_eq!(
        finish(postrider().args(["queue", "create", "q", "--url", url]), "").done(),
        "queue q created\n"
    );
    let token = url.trim_start_matches("postrider://").split('@').next().expect("a token");
    assert!(token.len() >= 32 && !first.stderr().contains(token), "a token in the log");
    stop(first);
    let second = Process::start(&mut serve(&folder));
    let (lines, address) = greeting(&second);
    assert_eq!(lines, Vec::<String>::new(), "a token is shown only once");
    let listed = finish(
        postrider().args(["queue", "list", "-o", "json", "--url", &format!("postrider://{token}@{address}")]),
        "",
    );
    assert_eq!(listed.json()[0]["name"], "q");
    stop(second);
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let folder = folder();
    fs::write(folder.path().join("p.toml"), "data_dir = 'from-file'\nlisten = '127.0.0.1:0'\nlog = 'off'")
        .expect("written");
    let start = |command: &mut Command| {
        let process = Process::start(command.current_dir(folder.path()).env("POSTRIDER_TOKEN", "t"));
        greeting(&process);
        stop(process);
    };
    start(postrider().args(["serve", "--config", "p.toml"]));
    assert!(folder.path().join("from-file").is_dir());
    let environment = |command: &mut Command| {
        command.env("POSTRIDER_DATA_DIR", "from-environment").env("POSTRIDER_CONFIG", "p.toml");
    };
    let mut command = postrider();
    environment(&mut command);
    start(command.arg("serve"));
    assert!(folder.path().join("from-environment").is_dir());
    let mut command = postrider();
    environment(&mut command);
    start(command.args(["serve", "--data-dir", "from-flag"]));
    assert!(folder.path().join("from-flag").is_dir());
    start(postrider().args(["serve", "--listen", "127.0.0.1:0"]));
    assert!(folder.path().join("postrider-data").is_dir());
}

#[test]
fn tokens_come_from_a_file_or_the_environment_and_never_from_a_flag() {
    let folder = folder();
    fs::write(folder.path().join("token"), "from-a-file\n").expect("written");
    let process = Process::start(
        serve(&folder).args(["--token-file", "token"]).env("POSTRIDER_TOKEN", "from-environment"),
    );
    let (lines, address) = greeting(&process);
    assert!(lines.is_empty(), "a given token is not shown: {lines:?}");
    let status = |token: &str| {
        finish(postrider().args(["status", "--url", &format!("postrider://{token}@{address}")]), "")
    };
    status("from-a-file").done();
    status("from-environment").failed(1, "Unauthorized");
    let mut by_variable = postrider();
    by_variable
        .args(["status", "--url", &format!("postrider://{address}")])
        .env("POSTRIDER_TOKEN", "from-a-file");
    finish(&mut by_variable, "").done();
    stop(process);
    finish(serve(&folder).args(["--token", "x"]), "").failed(2, "--token");
    fs::write(folder.path().join("empty"), "\n").expect("written");
    finish(serve(&folder).args(["--token-file", "empty"]), "").failed(2, "empty");
}

#[test]
fn wrong_settings_are_named() {
    let folder = folder();
    finish(serve(&folder).args(["--shards", "0"]), "").failed(2, "--shards");
    finish(serve(&folder).args(["--journal-bytes", "1"]), "").failed(2, "0, or a number from 65536");
    finish(serve(&folder).args(["--log", "loud"]), "").failed(2, "--log");
    finish(serve(&folder).env("POSTRIDER_LOG_FORMAT", "xml"), "").failed(2, "POSTRIDER_LOG_FORMAT");
    fs::write(folder.path().join("p.toml"), "datadir = 'x'").expect("written");
    finish(serve(&folder).args(["--config", "p.toml"]), "").failed(2, "datadir");
    finish(serve(&folder).args(["--config", "missing.toml"]), "").failed(2, "missing.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let mut command = postrider();
    command.current_dir(folder.path()).args(["serve", "--data-dir", "data", "--listen", &address]);
    finish(&mut command, "").failed(2, &format!("cannot listen on {address}"));
}

#[test]
fn an_interrupt_stops_in_order_too() {
    let folder = folder();
    let mut process = Process::start(&mut serve(&folder));
    greeting(&process);
    process.signal(Signal::INT);
    assert!(process.wait().success(), "{}", process.stderr());
}
