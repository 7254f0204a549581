//! The table of what filters say.

use super::notation::{Given, given, rows};
use postrider_core::filter::{Filter, Truth};

const TABLE: &str = include_str!("conformance.txt");

fn said(expression: &str, given: &Given) -> &'static str {
    let Ok(filter) = Filter::parse(expression, &given.parameters) else { return "refused" };
    match filter.matches(&given.message) {
        Ok(Truth::True) => "TRUE",
        Ok(Truth::False) => "FALSE",
        Ok(Truth::Unknown) => "UNKNOWN",
        Err(_) => "error",
    }
}

#[test]
fn filters_say_what_the_table_says() {
    let rows = rows::<3>(TABLE);
    assert!(rows.len() > 400, "the table was not read");
    let mut wrong = Vec::new();
    for [expression, properties, wanted] in rows {
        let given =
            given(properties).unwrap_or_else(|| panic!("not as properties are written: {properties}"));
        let found = said(expression, &given);
        if found != wanted {
            wrong.push(format!("{expression} | {properties} | {wanted}, but the filter says {found}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
