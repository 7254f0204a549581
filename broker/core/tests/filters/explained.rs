//! Why filters say what they say.

use super::notation::given;
use postrider_core::filter::{Filter, SHOWN_CHARS};
use postrider_protocol::message::Message;

const CASES: &str = include_str!("explained.txt");

#[test]
fn explanations_are_as_written() {
    let cases: Vec<_> = CASES.split("\n\n").skip(1).collect();
    assert!(cases.len() > 10, "the cases were not read");
    for case in cases {
        let (head, wanted) = case.split_once('\n').unwrap();
        let (expression, properties) = head.split_once(" | ").unwrap();
        let given = given(properties).unwrap();
        let filter = Filter::parse(expression, &given.parameters).unwrap();
        assert_eq!(filter.explain(&given.message).to_string().trim_end(), wanted.trim_end());
    }
}

#[test]
fn long_texts_are_cut() {
    let message = Message::default().with_property("a", "ß".repeat(SHOWN_CHARS + 1));
    let explanation = Filter::parse("a = 'x'", &[]).unwrap().explain(&message);
    assert_eq!(explanation.children[0].value, format!("'{}'...", "ß".repeat(SHOWN_CHARS)));
    let message = Message::default().with_property("a", "ß".repeat(SHOWN_CHARS));
    let explanation = Filter::parse("a = 'x'", &[]).unwrap().explain(&message);
    assert_eq!(explanation.children[0].value, format!("'{}'", "ß".repeat(SHOWN_CHARS)));
}
