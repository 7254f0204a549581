//! The command line, run to its end.

use crate::broker::{Broker, postrider};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What a command came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Outcome {
    fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Panics unless it went well.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Panics unless it ended with this code and told this text.
    #[track_caller]
    pub fn failed(self, code: i32, text: &str) {
        assert!(self.code == code && self.err.contains(text), "expected {code} and {text:?}, got {self:?}");
    }

    /// Its output as one JSON document.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.done();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Its output as one JSON document a line.
    #[track_caller]
    pub fn jsonl(self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.done().lines().map(parse).collect()
    }
}

/// Runs `postrider` with these words against no broker in particular.
pub fn run(words: &[&str]) -> Outcome {
    finish(postrider().args(words), "")
}

/// Runs a command with this standard input.
pub fn finish(command: &mut Command, input: &str) -> Outcome {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary can be started");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A command that does not read its input may have closed it already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Outcome::new(child.wait_with_output().expect("a child can be waited for"))
}

impl Broker {
    /// A command that talks to this broker; words are separated by blanks.
    pub fn command(&self, words: &str) -> Command {
        let mut command = postrider();
        command.args(words.split_whitespace()).env("POSTRIDER_URL", self.url());
        command
    }

    /// Runs a command against this broker.
    pub fn run(&self, words: &str) -> Outcome {
        finish(&mut self.command(words), "")
    }
}
