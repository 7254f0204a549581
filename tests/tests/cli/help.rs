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
    &["topic", "delete"],
    &["subscription", "create"],
    &["subscription", "list"],
    &["subscription", "show"],
    &["subscription", "update"],
    &["subscription", "delete"],
    &["rule", "create"],
    &["rule", "list"],
    &["rule", "show"],
    &["rule", "update"],
    &["rule", "delete"],
    &["send"],
    &["receive"],
    &["peek"],
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
    assert!(run(&["--version"]).done().starts_with("postrider "));
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
