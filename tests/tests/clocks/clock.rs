//! A broker whose wall clock the test sets.

use postrider_tests::Broker;
use postrider_tests::broker::Program;
use postrider_tests::history::now_ms;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use tempfile::TempDir;

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// The second of January 1970, and a day after seconds have outgrown 31 bits.
const EARLY_MS: i64 = DAY_MS;
const LATE_MS: i64 = (1 << 31) * 1_000 + DAY_MS;

/// By how much a broker's wall clock is off. Its other clocks are right.
pub struct Clock {
    shift: File,
    dir: TempDir,
}

impl Clock {
    /// A clock that is right.
    pub fn new() -> Clock {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clocks/shift.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(dir.path().join("shift.so")).arg(source);
        assert!(compiler.status().expect("cc can be started").success(), "{source} can be compiled");
        fs::write(dir.path().join("shift"), 0i64.to_ne_bytes()).expect("a file can be written");
        let shift = File::options().write(true).open(dir.path().join("shift")).expect("it is there");
        Clock { shift, dir }
    }

    /// A broker that goes by this clock.
    pub fn broker(&self) -> Broker {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let environment = vec![("LD_PRELOAD", path("shift.so")), ("CLOCK_SHIFT", path("shift"))];
        Broker::start_program(Program { environment, ..Program::default() })
    }

    /// Sets it off by so much.
    pub fn jump(&self, shift_ms: i64) {
        self.shift.write_all_at(&shift_ms.to_ne_bytes(), 0).expect("a file can be written");
    }
}

/// Off by an hour and by a day, in 1970, and in 2038; the last one is right again.
pub fn jumps() -> [i64; 7] {
    let now = now_ms() as i64;
    [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS, EARLY_MS - now, LATE_MS - now, 0]
}
