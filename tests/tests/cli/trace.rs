//! `trace`, and a broker that keeps no journal.

use super::{crash, each, in_all_formats};
use postrider_tests::Broker;
use postrider_tests::broker::Process;
use postrider_tests::command::finish;

#[test]
fn a_trace_shows_each_step_over_a_kill() {
    let mut broker = Broker::start();
    broker.run("queue create q").done();
    broker.run("queue create other").done();
    broker.run("send q x --message-id order-17").done();
    broker.run("receive q --max 1 --abandon").done();
    crash(&mut broker);
    broker.run("send other x --message-id order-17").done();
    broker.run("receive q --max 1 --ack").done();
    let all = in_all_formats(&broker, "trace order-17");
    let what = ["accepted", "delivered", "abandoned", "accepted", "delivered", "completed"];
    assert_eq!(each(&all, "what"), what);
    let of_q = in_all_formats(&broker, "trace order-17 --entity q");
    assert_eq!(each(&of_q, "address"), ["q"; 5]);
    assert_eq!(of_q[3]["attempt"], 2);
    assert!(of_q[3]["until"].as_str().expect("locked until then").ends_with('Z'));
    let table = broker.run("trace order-17 --entity other").done();
    let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["TIME", "WHAT", "WHERE", "DETAILS"]);
    assert_eq!(lines[1][1..], ["accepted", "other", "1"]);
    broker.run("trace order-18").failed(1, "nothing is known of a message with the id \"order-18\"");
    broker.run("trace order-18").failed(1, "hint: the journal keeps what happened lately");
    broker.run("trace order-17 --entity /").failed(1, "name");
}

#[test]
fn without_a_journal_nothing_more_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let sent = |journal: &str, id: &str, known: &str| {
        let mut serve = postrider_tests::broker::postrider();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
        serve.env("POSTRIDER_TOKEN", "secret").args(["--journal-bytes", journal]);
        let mut process = Process::start(&mut serve);
        let address = std::iter::from_fn(|| process.line())
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned))
            .expect("it listens");
        let run = |words: &str| {
            let mut command = postrider_tests::broker::postrider();
            let command = command.args(words.split_whitespace());
            finish(command.env("POSTRIDER_URL", format!("postrider://secret@{address}")), "")
        };
        if id == "a" {
            run("queue create q").done();
        }
        run(&format!("send q x --message-id {id}")).done();
        for id in ["a", "b"] {
            assert_eq!(run(&format!("trace {id}")).code, i32::from(!known.contains(id)), "{journal} {id}");
        }
        process.signal(rustix::process::Signal::TERM);
        assert!(process.wait().success());
    };
    sent("65536", "a", "a");
    sent("0", "b", "a");
}
