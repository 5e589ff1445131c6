use proptest::prelude::*;
use serde_json::json;

use super::*;

fn selects(selector: &str, labels: Value) -> bool {
    LabelSelector::parse(selector).unwrap().matches_labels(&labels)
}

#[test]
fn every_operator_of_a_query_selects_by_its_meaning() {
    let web = || json!({"app": "web", "n": "5", "in": "x"});
    for (selector, wanted) in [
        ("", true),
        ("app", true),
        ("!app", false),
        ("!other", true),
        ("app=web", true),
        ("app==web", true),
        (" app = web , n ", true),
        ("app=db", false),
        ("app!=db", true),
        ("other!=db", true),
        ("app in (db, web)", true),
        ("app notin (db,web)", false),
        ("other notin (a)", true),
        ("other in (a,)", false),
        ("n>4", true),
        ("n<4", false),
        ("app>4", false),
        ("in=x", true),
        ("other=", false),
    ] {
        assert_eq!(selects(selector, web()), wanted, "{selector}");
    }
    assert!(selects("empty=", json!({"empty": ""})));
    assert!(selects("empty in (,a)", json!({"empty": ""})));
    assert!(selects("empty in ()", json!({"empty": ""})));
    assert!(selects("a,b", json!({"a": "", "b": ""})));
}

#[test]
fn a_wrong_query_is_refused_with_the_reason() {
    for (selector, why) in [
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
    ] {
        let refused = LabelSelector::parse(selector).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (400, why), "{selector}");
    }
    assert!(
        LabelSelector::parse("a/b/c=d")
            .unwrap_err()
            .message
            .starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\"")
    );
    assert!(
        LabelSelector::parse("a=-")
            .unwrap_err()
            .message
            .starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-\"")
    );
}

#[test]
fn a_selector_object_selects_nothing_if_absent_and_everything_if_empty() {
    let of = |object: Value| LabelSelector::from_object(&object).unwrap();
    assert!(!of(Value::Null).matches_labels(&json!({})));
    assert!(of(json!({})).matches_labels(&json!({})));
    let both = of(json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}]}));
    assert!(both.matches_labels(&json!({"a": "b"})));
    assert!(!both.matches_labels(&json!({"a": "b", "c": "d"})));
    assert!(!both.matches_labels(&Value::Null));
    let wrong = LabelSelector::from_object(&json!({"matchExpressions": [{"key": "c", "operator": "in"}]}));
    assert_eq!(wrong.unwrap_err(), "\"in\" is not a valid label selector operator");
    assert!(LabelSelector::from_map(&json!({"a": "b"})).matches_labels(&json!({"a": "b", "x": "y"})));
}

#[test]
fn field_selectors_compare_fields_as_text() {
    let field = |name: &str| if name == "spec.nodeName" { "n1" } else { "" };
    let selects = |text: &str| FieldSelector::parse(text).unwrap().matches(field);
    assert!(selects(""));
    assert!(selects("spec.nodeName=n1"));
    assert!(selects("spec.nodeName==n1,status.phase!=Failed"));
    assert!(!selects("spec.nodeName!=n1"));
    assert!(selects("status.phase="));
    assert_eq!(FieldSelector::parse("metadata.name=a").unwrap().exact("metadata.name"), Some("a"));
    assert_eq!(FieldSelector::parse(r"a=b\,c\=\\").unwrap().requirements[0].value, r"b,c=\");
    let refused = FieldSelector::parse("abc").unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (400, "invalid selector: 'abc'; can't understand 'abc'"));
    assert!(FieldSelector::parse(r"a=\x").is_err());
}

proptest! {
    #[test]
    fn a_selector_is_read_as_it_is_printed(
        key in "[a-z]{1,5}(/[a-z]{1,3})?", values in prop::collection::btree_set("[a-z0-9]{0,4}", 1..4), operator in 0usize..6,
    ) {
        let operator = [Operator::In, Operator::NotIn, Operator::Equals, Operator::NotEquals, Operator::Exists, Operator::DoesNotExist][operator];
        let values = match operator {
            Operator::In | Operator::NotIn => values,
            Operator::Exists | Operator::DoesNotExist => BTreeSet::new(),
            _ => values.into_iter().take(1).collect(),
        };
        let requirement = Requirement::new(&key, operator, values).unwrap();
        let selector = LabelSelector { requirements: vec![requirement.clone(), requirement], nothing: false };
        prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
    }

    #[test]
    fn a_field_selector_is_read_as_it_is_printed(field in "[a-z.]{1,9}", equals: bool, value in "[a-z,=\\\\ ]{0,9}") {
        let selector = FieldSelector { requirements: vec![FieldRequirement { field, equals, value }] };
        prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[a-z=!<>(), \\\\é]{0,40}") {
        let _ = LabelSelector::parse(&text);
        let _ = FieldSelector::parse(&text);
    }
}
