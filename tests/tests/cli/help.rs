//! Help, examples, completions, version.

use postrider_tests::broker::postrider;
use postrider_tests::command::run;
use std::process::Stdio;

const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["queue", "create"],
    &["queue", "list"],
    &["queue", "show"],
    &["queue", "update"],
    &["queue", "delete"],
    &["queue", "purge"],
    &["topic", "create"],
    &["topic", "list"],
    &["topic", "show"],
    &["topic", "update"],
    &["topic", "explain"],
    &["topic", "delete"],
    &["subscription", "create"],
    &["subscription", "list"],
    &["subscription", "show"],
    &["subscription", "update"],
    &["subscription", "replay"],
    &["subscription", "delete"],
    &["rule", "create"],
    &["rule", "list"],
    &["rule", "show"],
    &["rule", "update"],
    &["rule", "promote"],
    &["rule", "delete"],
    &["send"],
    &["receive"],
    &["peek"],
    &["purge"],
    &["scheduled", "list"],
    &["scheduled", "cancel"],
    &["scheduled", "deliver"],
    &["scheduled", "purge"],
    &["schedule", "put"],
    &["schedule", "list"],
    &["schedule", "delete"],
    &["dlq", "list"],
    &["dlq", "causes"],
    &["dlq", "redrive"],
    &["dlq", "resend"],
    &["dlq", "purge"],
    &["session", "list"],
    &["consumers"],
    &["trace"],
    &["verify"],
    &["recover"],
    &["backup"],
    &["restore"],
    &["status"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_examples() {
    for command in COMMANDS {
        let help = run(&[command, &["--help"][..]].concat()).done();
        let example = format!("\n  postrider {}", command.join(" "));
        assert!(help.contains("Examples:") && help.contains(&example), "{command:?}: {help}");
    }
    let help = run(&["--help"]).done();
    assert!(help.contains("Exit codes:") && help.contains("3  no connection"), "{help}");
}

/// The commands that a help lists, in its order.
fn listed(help: &str) -> Vec<&str> {
    let (_, rest) = help.split_once("Commands:\n").expect("a list of commands");
    let (list, _) = rest.split_once("\n\n").expect("a blank line behind it");
    let names = list.lines().filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn no_command_is_left_out_here() {
    let mut nouns: Vec<_> = COMMANDS.iter().map(|command| command[0]).collect();
    nouns.dedup();
    assert_eq!(listed(&run(&["--help"]).done()), nouns);
    for noun in nouns {
        let of_noun = COMMANDS.iter().filter(|command| command[0] == noun);
        let verbs: Vec<_> = of_noun.filter_map(|command| command.get(1).copied()).collect();
        if !verbs.is_empty() {
            assert_eq!(listed(&run(&[noun, "--help"]).done()), verbs);
        }
    }
}

#[test]
fn completions_are_scripts() {
    for (shell, part) in
        [("bash", "complete -F _postrider"), ("zsh", "#compdef postrider"), ("fish", "complete -c postrider")]
    {
        let script = run(&["completions", shell]).done();
        assert!(script.contains(part), "{shell}");
    }
    run(&["completions", "tcsh"]).failed(2, "tcsh");
}

#[test]
fn no_command_and_a_wrong_one_are_usage_errors() {
    run(&[]).failed(2, "Usage:");
    run(&["serve", "--shards"]).failed(2, "--shards");
}

/// Other builds, which tests can make to die or to do wrong, say so, and nothing of that is in this one.
#[test]
fn the_binary_is_an_ordinary_one() {
    assert_eq!(run(&["--version"]).done(), format!("postrider {}\n", env!("CARGO_PKG_VERSION")));
    let binary = std::fs::read(postrider_tests::broker::binary()).expect("it can be read");
    for word in ["POSTRIDER_SABOTAGE", "ack-before-fsync", "FAILPOINTS"] {
        let found = binary.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(!found, "{word} is in the binary");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = postrider();
    let mut child =
        command.args(["completions", "bash"]).stdout(Stdio::piped()).spawn().expect("it can be started");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn without_a_broker_the_address_is_named() {
    run(&["queue", "list", "--url", "postrider://t@127.0.0.1:1", "--timeout", "1s"]).failed(3, "127.0.0.1:1");
}
