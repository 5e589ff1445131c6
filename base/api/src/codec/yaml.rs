//! YAML in and out, under the limits of JSON.
//!
//! Kubernetes reads YAML as JSON written otherwise: a scalar is what YAML 1.1 says it is (`scalar`), keys become text, merge keys and
//! aliases are followed. There is one document in a body; a stock server reads the first and forgets the others, here a second is
//! refused. The scanner is a library's; the tree is made here, so that depth, cost and what aliases multiply are bounded as in JSON.
mod scalar;

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag, options};
use hashbrown::HashMap;
use serde_json::{Map, Value, map::Entry};

use super::{Budget, CodecError, DUPLICATES_MAX, Limits, Read, SCALAR_COST, TREE_COST};

/// Bytes of texts and keys that anchors and aliases may copy in all: as much as a body has. Their number counts like that of others.
pub const COPIED_BYTES_MAX: usize = 3 << 20;

/// Reads the one document of a body.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Read, CodecError> {
    let text = std::str::from_utf8(bytes).map_err(|source| wrong(format!("invalid UTF-8: {source}")))?;
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options! { emit_comments: false }),
        budget: Budget::new(limits),
        copies: COPIED_BYTES_MAX,
        depth_max: limits.depth_max,
        anchors: HashMap::new(),
        duplicates: Vec::new(),
    };
    let value = reader.document()?;
    Ok(Read { value, duplicates: reader.duplicates })
}

fn wrong(why: impl std::fmt::Display) -> CodecError {
    CodecError::Syntax(format!("error converting YAML to JSON: yaml: {why}"))
}

/// Writes a tree as one document.
pub fn write(value: &Value) -> Result<Vec<u8>, CodecError> {
    let text = serde_saphyr::to_string(value).map_err(|error| CodecError::Syntax(format!("write YAML: {error}")))?;
    Ok(text.into_bytes())
}

struct Reader<'i> {
    events: Parser<'i, StrInput<'i>>,
    budget: Budget,
    /// Bytes that may still be copied.
    copies: usize,
    depth_max: usize,
    /// What aliases stand for, by the number of their anchor.
    anchors: HashMap<usize, Value>,
    duplicates: Vec<String>,
}

impl<'i> Reader<'i> {
    fn next(&mut self) -> Result<Event<'i>, CodecError> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(source)) => Err(wrong(source)),
            None => Ok(Event::StreamEnd),
        }
    }

    fn document(&mut self) -> Result<Value, CodecError> {
        let mut value = None;
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(value.unwrap_or_default()),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => match (self.node(event, 0)?, &value) {
                    (first, None) => value = Some(first),
                    // A separator at the end.
                    (Value::Null, Some(_)) => {}
                    _ => return Err(wrong("a body holds one document")),
                },
            }
        }
    }

    fn node(&mut self, event: Event<'i>, depth: usize) -> Result<Value, CodecError> {
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, self.scalar(text, style, tag.as_deref())?),
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, depth),
            other => return Err(wrong(format!("did not expect {other:?}"))),
        };
        if anchor != 0 {
            self.pay(&value)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn scalar(&mut self, text: Cow<'i, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, CodecError> {
        self.budget.take(SCALAR_COST)?;
        match (tag, style) {
            (None, ScalarStyle::Plain) => scalar::plain(text),
            (None, _) => Ok(text.into_owned().into()),
            (Some(tag), _) => scalar::tagged(text, tag),
        }
        .map_err(wrong)
    }

    fn enter(&mut self, depth: usize) -> Result<(), CodecError> {
        if depth >= self.depth_max {
            return Err(wrong(CodecError::TooDeep(self.depth_max)));
        }
        self.budget.take(TREE_COST)
    }

    fn list(&mut self, depth: usize) -> Result<Value, CodecError> {
        self.enter(depth)?;
        let mut out = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(out)),
                event => out.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, CodecError> {
        self.enter(depth)?;
        let (mut out, mut merged) = (Map::new(), Vec::new());
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let merge = is_merge(&event);
            let key = self.node(event, depth + 1)?;
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            if merge {
                merged.push(value);
                continue;
            }
            match out.entry(scalar::key(key).map_err(wrong)?) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => {
                    if self.duplicates.len() < DUPLICATES_MAX && !self.duplicates.contains(entry.key()) {
                        self.duplicates.push(entry.key().clone());
                    }
                    entry.insert(value);
                }
            }
        }
        // Of several merge keys the last counts.
        for value in merged.into_iter().rev() {
            merge(&mut out, value)?;
        }
        Ok(Value::Object(out))
    }

    fn alias(&mut self, anchor: usize, depth: usize) -> Result<Value, CodecError> {
        // Not there before its own end.
        let value = self.anchors.remove(&anchor).ok_or_else(|| wrong("an anchor's value contains itself"))?;
        self.pay(&value)?;
        if depth + super::depth(&value) > self.depth_max {
            return Err(wrong(CodecError::TooDeep(self.depth_max)));
        }
        let copy = value.clone();
        self.anchors.insert(anchor, value);
        Ok(copy)
    }

    /// Before a copy: its values and bytes count as if they stood in the body once more.
    fn pay(&mut self, value: &Value) -> Result<(), CodecError> {
        match value {
            Value::Array(items) => {
                self.budget.take(TREE_COST)?;
                items.iter().try_for_each(|item| self.pay(item))
            }
            Value::Object(fields) => {
                self.budget.take(TREE_COST)?;
                fields.iter().try_for_each(|(name, value)| {
                    self.budget.take(SCALAR_COST)?;
                    self.pay_bytes(name)?;
                    self.pay(value)
                })
            }
            Value::String(text) => {
                self.budget.take(SCALAR_COST)?;
                self.pay_bytes(text)
            }
            _ => self.budget.take(SCALAR_COST),
        }
    }

    fn pay_bytes(&mut self, text: &str) -> Result<(), CodecError> {
        self.copies = self.copies.checked_sub(text.len()).ok_or(CodecError::TooMany)?;
        Ok(())
    }
}

/// A key that says: take in the fields of the value (yaml.org/type/merge).
fn is_merge(key: &Event<'_>) -> bool {
    matches!(key, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<")
}

/// Takes in fields that are not there; of several maps the earlier counts.
fn merge(out: &mut Map<String, Value>, value: Value) -> Result<(), CodecError> {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                out.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(items) if items.iter().all(Value::is_object) => items.into_iter().try_for_each(|item| merge(out, item)),
        _ => Err(wrong("map merge requires map or sequence of maps as the value")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Value, String> {
        read(text.as_bytes(), &Limits::default()).map(|read| read.value).map_err(|error| error.to_string())
    }

    /// Words of YAML 1.1 count as booleans, also as keys (`on`), as with the stock reader.
    #[test]
    fn a_manifest_is_read_as_its_json() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {app: \"1\"}}\ndata:\n  on: 'true'\n  text: |\n    a\n    b\nports: [80, 1.5, true, ~]\n1: one\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"app": "1"}},
                "data": {"true": "true", "text": "a\nb\n"}, "ports": [80, 1.5, true, null], "1": "one"})
        );
    }

    /// yaml.org/type, as Go's reader of Kubernetes follows it.
    #[test]
    fn scalars_are_what_a_stock_server_reads() {
        for (text, wanted) in [
            ("0644", json!(420)),
            ("-0644", json!(-420)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("+7", json!(7)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            ("-1.5e-1", json!(-0.15)),
            ("1.2.3", json!("1.2.3")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("1e", json!("1e")),
            ("12e4567", json!("12e4567")),
            ("--.inf", json!("--.inf")),
            ("+18446744073709551615", json!(18_446_744_073_709_551_616.0)),
            ("0x", json!("0x")),
            ("12:30:45", json!("12:30:45")),
            ("2001-01-01", json!("2001-01-01")),
            ("2001-01-01T00:00:00Z", json!("2001-01-01T00:00:00Z")),
            ("y", json!(true)),
            ("Off", json!(false)),
            ("yEs", json!("yEs")),
            ("Null", Value::Null),
            ("~", Value::Null),
            ("", Value::Null),
            ("nope", json!("nope")),
            ("'yes'", json!("yes")),
            ("\"1\"", json!("1")),
            ("!!str 1", json!("1")),
            ("!!int '5'", json!(5)),
            ("!!float 5", json!(5)),
            ("!!binary aGVsbG8=", json!("hello")),
            ("!mine 5", json!("5")),
        ] {
            assert_eq!(parse(&format!("a: {text}")).map(|read| read["a"].clone()), Ok(wanted), "{text}");
        }
        for text in [".inf", "-.Inf", ".nan", "!!int abc", "!!int 5.0", "!!bool 1", "!!binary '%'"] {
            assert!(parse(&format!("a: {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_followed() {
        let text =
            "base: &base {image: i, pull: Always}\none: {<<: *base, image: j}\ntwo: {name: own, <<: [{name: m, a: 1}, *base]}\n";
        let wanted = json!({"base": {"image": "i", "pull": "Always"}, "one": {"image": "j", "pull": "Always"},
            "two": {"name": "own", "a": 1, "image": "i", "pull": "Always"}});
        assert_eq!(parse(text).unwrap(), wanted);
        assert_eq!(parse("'<<': {a: 1}").unwrap(), json!({"<<": {"a": 1}}));
        for text in ["<<: 1", "a: &a {b: *a}", "a: *b", "~: 1", "a: 1\n---\nb: 2\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("---\na: 1\n...\n").unwrap(), json!({"a": 1}));
        assert_eq!(parse("a: 1\n---\n").unwrap(), json!({"a": 1}));
        assert_eq!(parse("{<<: {a: 1, b: 1}, <<: {a: 2}}").unwrap(), json!({"a": 2, "b": 1}));
        assert_eq!(parse("# nothing\n").unwrap(), Value::Null);
    }

    /// Each anchor within the next would be copied once for each level.
    #[test]
    fn copies_of_anchors_are_paid_for() {
        let limits = Limits { depth_max: 100, cost_max: 1_000 };
        let nested: String = (0..90).map(|level| format!("&a{level} [")).collect();
        let text = format!("{nested}{}{}", "x, ".repeat(50), "]".repeat(90));
        assert_eq!(read(text.as_bytes(), &limits).unwrap_err(), CodecError::TooMany);
        for long in [format!("a: &a {}", "x".repeat(100_000)), format!("a: &a {{{}: 1}}", "x".repeat(900))] {
            let text = format!("{long}\nb: [{}]\n", "*a,".repeat(20_000));
            assert_eq!(read(text.as_bytes(), &Limits::default()).unwrap_err(), CodecError::TooMany);
        }
        let deep = format!("a: &a {}x{}\nb: {}*a{}\n", "[".repeat(60), "]".repeat(60), "[".repeat(60), "]".repeat(60));
        let told = read(deep.as_bytes(), &Limits { depth_max: 100, ..Limits::default() }).unwrap_err();
        assert!(told.to_string().contains("max depth of 100"), "{told}");
    }

    #[test]
    fn hostile_documents_are_refused() {
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000))).is_err());
        let deep: String = (0..5_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert!(parse(&deep).is_err());
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        assert!(parse(bomb).is_err());
        assert!(parse("a: [").is_err());
        assert!(parse("{[a]: b}").is_err());
    }

    #[test]
    fn repeated_keys_are_named_and_the_last_one_counts() {
        let read = read(b"a: 1\nb: 2\na: 3\n", &Limits::default()).unwrap();
        assert_eq!(read.value, json!({"a": 3, "b": 2}));
        assert_eq!(read.duplicates, ["a"]);
    }

    /// Texts that are something else without quotes.
    const WORDS: [&str; 40] = [
        "yes",
        "no",
        "y",
        "n",
        "Off",
        "on",
        "null",
        "~",
        "NULL",
        "true",
        "1",
        "-1",
        "+5",
        "0x1f",
        "0644",
        "08",
        "0o7",
        "0b1",
        "1e3",
        "1.",
        ".5",
        "5.0",
        "1_000",
        ".inf",
        ".nan",
        "2001-01-01",
        "12e03",
        "<<",
        "=",
        "- a",
        "a: b",
        "#",
        "",
        " ",
        "|",
        "*a",
        "&a",
        "!a",
        "a\n",
        "%",
    ];

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\\n\\té]{0,12}".prop_map(Value::from),
            prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(
                    prop_oneof!["[a-zA-Z0-9./ -]{0,8}", prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned)],
                    inner,
                    0..5
                )
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_tree_is_read_as_it_is_written(tree in tree()) {
            let text = write(&tree).unwrap();
            let again = read(&text, &Limits::default()).map(|read| read.value);
            prop_assert_eq!(again.unwrap(), tree, "{}", String::from_utf8_lossy(&text));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[a-c:\\-\\[\\]{}&*!|>#'\"\\n ,?~0-9]{0,60}") {
            let _ = parse(&text);
        }
    }
}
