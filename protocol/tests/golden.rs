//! Golden bytes: the wire cannot change unnoticed. After a change that is meant to alter them, run with
//! `UPDATE_GOLDEN=1` and review the difference. The bytes of a released version are never rewritten.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;

use bytes::Bytes;
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/frames.txt");

fn line(text: &mut String, name: &str, bytes: &Bytes) {
    write!(text, "{name}\n    ").unwrap();
    for (at, byte) in bytes.iter().enumerate() {
        let gap = if at == 0 {
            ""
        } else if at % 32 == 0 {
            "\n    "
        } else {
            " "
        };
        write!(text, "{gap}{byte:02x}").unwrap();
    }
    text.push_str("\n\n");
}

fn written() -> String {
    let mut text = String::new();
    for request in examples::requests() {
        line(&mut text, examples::request_name(&request), &examples::request_frame(&request));
    }
    for reply in examples::replies() {
        line(&mut text, examples::reply_name(&reply), &examples::reply_frame(&reply));
    }
    line(&mut text, "message with every field", &examples::full_message().encode());
    line(&mut text, "record of a dead letter", &examples::record_bytes(&examples::dead_record()));
    text
}

#[test]
fn the_wire_is_as_it_was() {
    let written = written();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, &written).unwrap();
    }
    let golden = std::fs::read_to_string(PATH).unwrap_or_default();
    for (was, is) in golden.split("\n\n").zip(written.split("\n\n")) {
        assert_eq!(was, is, "the wire has changed");
    }
    assert_eq!(golden.len(), written.len(), "frames came or went");
}
