//! A real broker: the binary as a child process, with a data directory of its own.

use crate::wait::{DEADLINE, eventually};
use postrider_client::{Client, ClientBuilder, ReconnectPolicy};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// The token that all test brokers admit.
pub const TOKEN: &str = "test-token";

/// The binary beside the tests: `cargo test` puts these into `deps`, one folder below it.
pub fn binary() -> PathBuf {
    beside("postrider")
}

/// The variable that names a fault which binaries with the feature `sabotage` have on purpose. While it is set every
/// broker is such a binary, which has failpoints as well.
const SABOTAGE: &str = "POSTRIDER_SABOTAGE";

fn beside(name: &str) -> PathBuf {
    let name = if std::env::var_os(SABOTAGE).is_some() { "postrider-sabotage" } else { name };
    let test = std::env::current_exe().expect("a test knows its own path");
    let binary = test.ancestors().nth(2).expect("a test is in target/release/deps").join(name);
    assert!(
        binary.is_file(),
        "{} is missing: run the tests with `make test` or `make test-faults`, which build it",
        binary.display()
    );
    binary
}

/// The binary without anything the tester's environment says about brokers.
pub fn postrider() -> Command {
    command_of(&binary())
}

fn command_of(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POSTRIDER_") && name != SABOTAGE {
            command.env_remove(name);
        }
    }
    command
}

/// A process whose output is kept. Killed when dropped.
pub struct Process {
    child: Child,
    /// Lines of its standard output, as they come.
    lines: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Process {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let (sender, lines) = sync_channel(1024);
        let out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let err = child.stderr.take().expect("stderr is piped");
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = stderr.clone();
        let readers = vec![
            std::thread::spawn(move || {
                // Nobody reads on once the greeting was seen, which is no reason to stop.
                out.lines().map_while(Result::ok).for_each(|line| drop(sender.try_send(line)));
            }),
            std::thread::spawn(move || keep(err, &kept)),
        ];
        Process { child, lines, stderr, readers }
    }

    /// The next line of its standard output; `None` when that has ended.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no output within {DEADLINE:?}; stderr: {}", self.stderr())
            }
        }
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Whether all of its threads are stopped.
    pub fn is_stopped(&self) -> bool {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the process lives");
        let mut threads = threads.map(|thread| thread.expect("a thread").path().join("stat"));
        threads.all(|stat| {
            // A thread may end while the others stop. The state is behind the name, which is in parentheses.
            let stat = std::fs::read_to_string(stat).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end, and for the rest of its output.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually(DEADLINE, "the process ends", || {
            ended = self.child.try_wait().expect("a child can be waited for");
            ended.is_some()
        });
        self.readers.drain(..).for_each(|reader| reader.join().expect("a reader does not panic"));
        ended.expect("it has ended")
    }
}

fn keep(mut from: impl Read, into: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the process's standard error:\n{}---", self.stderr());
        }
    }
}

/// A broker on a port that the system chose.
pub struct Broker {
    process: Process,
    program: Program,
    address: SocketAddr,
    dir: PathBuf,
    /// Removes the directory, where it was made for this broker.
    _made: Option<TempDir>,
}

/// Which binary a broker is, and what its environment says from the next start on.
#[derive(Default, Clone)]
pub struct Program {
    /// The binary's name, beside the tests' folder; empty for `postrider`.
    pub name: &'static str,
    /// Variables with their values.
    pub environment: Vec<(&'static str, String)>,
}

impl Program {
    fn serve(&self, dir: &Path, listen: &str) -> Command {
        let mut command = if self.name.is_empty() { postrider() } else { command_of(&beside(self.name)) };
        command.args(["serve", "--log", "warn", "--listen", listen, "--data-dir"]).arg(dir);
        command.env("POSTRIDER_TOKEN", TOKEN).envs(self.environment.iter().cloned());
        command
    }
}

impl Broker {
    /// Starts a broker with an empty data directory.
    pub fn start() -> Broker {
        Broker::start_program(Program::default())
    }

    /// The same with another binary or environment.
    pub fn start_program(program: Program) -> Broker {
        Broker::start_in(&std::env::temp_dir(), program)
    }

    /// The same with its data directory in a folder.
    pub fn start_in(folder: &Path, program: Program) -> Broker {
        let made = tempfile::tempdir_in(folder).expect("a temporary directory");
        let broker = Broker::start_at(made.path(), program);
        Broker { _made: Some(made), ..broker }
    }

    /// The same on a directory that is the test's own.
    pub fn start_at(dir: &Path, program: Program) -> Broker {
        let mut process = Process::start(&mut program.serve(dir, "127.0.0.1:0"));
        let address = listening(&mut process);
        Broker { process, program, address, dir: dir.to_owned(), _made: None }
    }

    /// Starts it again on the same directory and port.
    pub fn restart(&mut self) {
        self.process = Process::start(&mut self.program.serve(&self.dir, &self.address.to_string()));
        assert_eq!(listening(&mut self.process), self.address);
    }

    /// What the next start starts.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Ends it as a power failure would end the process.
    pub fn kill9(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
    }

    /// Stops it where it is, and waits until all of its threads have: those in a system call come to its end first.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::STOP);
        eventually(DEADLINE, "all threads are stopped", || self.process.is_stopped());
    }

    /// How the process has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Asks it to stop in order, and waits until it has.
    pub fn terminate(&mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        assert!(status.success(), "{status}; {}", self.process.stderr());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address and token for clients.
    pub fn url(&self) -> String {
        format!("postrider://{TOKEN}@{}", self.address)
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A client that comes back quickly.
    pub async fn client(&self) -> Client {
        client(&self.url()).connect().await.expect("the broker takes the connection")
    }

    /// A client that does not come back: what has no answer when the broker dies never gets one.
    pub async fn mortal_client(&self) -> Client {
        let policy = ReconnectPolicy { give_up_after: Some(Duration::ZERO), ..ReconnectPolicy::default() };
        let builder = client(&self.url()).reconnect(policy);
        builder.connect().await.expect("the broker takes the connection")
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Memory that the process has asked for, whether it was ever touched or not, in bytes.
    pub fn reserved(&self) -> u64 {
        self.memory("VmData:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix(kind)).expect("it has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number of KiB");
        kib * 1024
    }
}

/// A builder of clients that come back quickly and wait for long.
pub fn client(url: &str) -> ClientBuilder {
    let first = Duration::from_millis(10);
    let policy = ReconnectPolicy { first, most: Duration::from_millis(100), give_up_after: None };
    Client::builder().url(url).reconnect(policy).request_timeout(Duration::from_secs(60))
}

/// `serve` on a data directory, with the token that tests use.
pub fn serve(dir: &Path, listen: &str) -> Command {
    Program::default().serve(dir, listen)
}

/// Waits for the greeting's last line.
fn listening(process: &mut Process) -> SocketAddr {
    if let Some(address) = greeting(process) {
        return address;
    }
    let status = process.wait();
    panic!("the broker did not start: {status}; {}", process.stderr());
}

/// Where a broker says that it listens; `None` when it ends instead.
pub fn greeting(process: &Process) -> Option<SocketAddr> {
    while let Some(line) = process.line() {
        if let Some(address) = line.strip_prefix("listening on ") {
            return Some(address.parse().expect("it listens on an address"));
        }
    }
    None
}
