//! The equality that a filter begins with: what an index can rely on.

use super::notation::given;
use postrider_core::filter::{Constant, Filter, Leading, Named};
use postrider_protocol::value::Value;

fn parse(expression: &str) -> Filter {
    let parameters = given("@p='x' @n=NULL @t=time:5").unwrap().parameters;
    Filter::parse(expression, &parameters).unwrap()
}

#[test]
fn a_leading_equality_is_found() {
    let text = |text: &str| Constant::Text(text.to_owned());
    let found = [
        ("a = 'x'", Named::User("a"), text("x")),
        ("'x' = a", Named::User("a"), text("x")),
        ("a = @p", Named::User("a"), text("x")),
        ("((a = 'x'))", Named::User("a"), text("x")),
        ("[A b] = TRUE", Named::User("A b"), Constant::Bool(true)),
        ("a = 5", Named::User("a"), Constant::Whole(5)),
        ("a = -5", Named::User("a"), Constant::Whole(-5)),
        ("a = 5.0", Named::User("a"), Constant::Whole(5)),
        ("a = -0.0", Named::User("a"), Constant::Whole(0)),
        ("sys.label = 'x'", Named::System("Subject"), text("x")),
        ("a = 1 AND b > 2", Named::User("a"), Constant::Whole(1)),
        ("a = 1 AND (b OR c) AND d LIKE 'x%' AND e IN (1, f)", Named::User("a"), Constant::Whole(1)),
        ("(a = 1 AND b = 2) AND c", Named::User("a"), Constant::Whole(1)),
        ("a = 1 AND NOT EXISTS(b) AND c IS NULL", Named::User("a"), Constant::Whole(1)),
    ];
    for (expression, property, constant) in found {
        assert_eq!(parse(expression).leading(), Some(Leading { property, constant }), "{expression}");
    }
}

#[test]
fn nothing_else_leads() {
    let others = [
        "a = 1 OR b = 2",
        "b > 1 AND a = 1",
        "NOT a = 1",
        "a <> 1",
        "a = b",
        "1 = 1",
        "a",
        "a IN (1)",
        "a = 2.5",
        "a = 1e300",
        "a = 9223372036854775808.0",
        "a = NULL",
        "a = @n",
        "a = @t",
        "a + 0 = 1",
        "(a = 1) = TRUE",
        // With no a, what follows is looked at, and fails.
        "a = 1 AND 1 / 0 = 1",
        "a = 1 AND (b OR -c = 1)",
        "a = 1 AND b IN (c * 2)",
        "a = 1 AND NOT b + 1 IS NULL",
        "(a = 1 AND b % 2 = 0) AND c",
    ];
    for expression in others {
        assert_eq!(parse(expression).leading(), None, "{expression}");
    }
}

/// Two values have the same constant exactly where a filter says that they are equal.
#[test]
fn constants_are_equal_where_values_are() {
    let properties = "a=TRUE a=FALSE a=5 a=5.0 a=5.5 a='5' a='' a=0 a=-0.0 a=0.0 a=NULL a=NaN a=inf a=-inf a=time:5 \
        a=uuid:5 a=bytes:5 a=9007199254740993 a=9007199254740992 a=9007199254740992.0 a=9223372036854775807 \
        a=9223372036854775808.0 a=-9223372036854775808 a=-9223372036854775808.0 a=-9223372036854777856.0";
    let values = given(properties).unwrap().message.properties;
    let is_equal = Filter::parse("a = b", &[]).unwrap();
    for ((_, one), (_, other)) in values.iter().flat_map(|one| values.iter().map(move |other| (one, other))) {
        let pair =
            [("a", one), ("b", other)].map(|(name, value): (&str, &Value)| (name.to_owned(), value.clone()));
        let message = postrider_protocol::message::Message { properties: pair.into(), ..Default::default() };
        let said = is_equal.matches(&message) == Ok(postrider_core::filter::Truth::True);
        if let Some(constant) = Constant::of(one) {
            assert_eq!(Constant::of(other) == Some(constant), said, "{one:?} and {other:?}");
        }
    }
}
