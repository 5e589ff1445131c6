use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<Value, String> {
    read(text.as_bytes(), &Limits::default()).map(|read| read.value).map_err(|error| error.to_string())
}

#[test]
fn wrong_json_is_refused_in_the_words_of_go() {
    for (text, why) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        ("{\"a\"1", "invalid character '1' after object key"),
        ("{\"a\":1 2", "invalid character '2' after object key:value pair"),
        ("[1 2", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("tru1", "invalid character '1' in literal true (expecting 'e')"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("\"\\u12x\"", "invalid character 'x' in \\u hexadecimal character escape"),
        ("01", "invalid character '1' after top-level value"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
    ] {
        assert_eq!(parse(text).unwrap_err(), why, "{text}");
    }
}

#[test]
fn repeated_keys_are_named_by_path_and_the_last_one_counts() {
    let read = read(br#"{"a":{"b":1,"b":2},"c":[{"d":1,"d":1},{}],"a":{"b":3}}"#, &Limits::default()).unwrap();
    assert_eq!(read.duplicates, ["a.b", "c[0].d", "a"]);
    assert_eq!(read.value, json!({"a": {"b": 3}, "c": [{"d": 1}, {}]}));
}

#[test]
fn many_repetitions_under_one_long_key_cost_no_more_than_the_body() {
    let text = format!("{{\"{}\":{{{}\"a\":1}}}}", "k".repeat(1_000_000), "\"a\":1,".repeat(200_000));
    let read = read(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(read.duplicates, ["..."]);
}

#[test]
fn broken_text_becomes_the_replacement_character() {
    assert_eq!(read(b"\"a\xffb\"", &Limits::default()).unwrap().value, json!("a\u{fffd}b"));
    assert_eq!(parse(r#""\ud800x""#).unwrap(), json!("\u{fffd}x"));
    assert_eq!(parse(r#""\ud83d\ude00 \ud800\u0041""#).unwrap(), json!("😀 \u{fffd}A"));
}

#[test]
fn nesting_of_ten_thousand_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = open.repeat(10_000) + "1" + &close.repeat(10_000);
        assert_eq!(parse(&text).unwrap_err(), "exceeded max depth of 256");
        assert!(parse(&(open.repeat(256) + "1" + &close.repeat(256))).is_ok());
        assert_eq!(parse(&open.repeat(1_000_000)).unwrap_err(), "exceeded max depth of 256");
    }
}

#[test]
fn a_small_body_cannot_become_a_huge_tree() {
    let text = format!("[{}{{}}]", "{},".repeat(1_000_000));
    assert_eq!(parse(&text).unwrap_err(), "too many values in one body");
}

#[test]
fn numbers_keep_their_integers_and_refuse_infinity() {
    assert_eq!(
        parse("[-9223372036854775808,18446744073709551615,1.5,-0,1e2]").unwrap().to_string(),
        "[-9223372036854775808,18446744073709551615,1.5,0,100.0]"
    );
    assert!(parse("1e999").is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &Limits::default());
    }

    #[test]
    fn near_json_is_judged_as_serde_json_judges_it(text in "[\\[\\]{}:,\"a1-9.eE\\\\untrlsf ]{0,24}") {
        let ours = read(text.as_bytes(), &Limits::default()).map(|read| read.value);
        match (ours, serde_json::from_str::<Value>(&text)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            // Go takes lone surrogates and short exponents that overflow differently; both are covered above.
            (ours, theirs) => prop_assert!(ours.is_err() == theirs.is_err() || text.contains("\\u"), "{:?} {:?}", ours, theirs),
        }
    }
}
