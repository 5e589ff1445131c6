//! YAML in and out, under the limits of JSON.
//!
//! Kubernetes reads YAML as JSON written otherwise: keys become text, one document counts. Aliases and anchors are bounded by the parser.
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Budget, CodecError, DUPLICATES_MAX, Limits, Read, SCALAR_COST, TREE_COST};

/// Reads the one document of a body.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Read, CodecError> {
    let mut state = State { budget: Budget::new(limits), depth_max: limits.depth_max, duplicates: Vec::new() };
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins, with_snippet: false };
    let value = serde_saphyr::with_deserializer_from_slice_with_options(bytes, options, |deserializer| {
        Tree { state: &mut state, depth: 0 }.deserialize(deserializer)
    });
    match value {
        Ok(value) => Ok(Read { value, duplicates: state.duplicates }),
        Err(error) => Err(CodecError::Syntax(format!("error converting YAML to JSON: yaml: {error}"))),
    }
}

/// Writes a tree as one document.
pub fn write(value: &Value) -> Result<Vec<u8>, CodecError> {
    let text = serde_saphyr::to_string(value).map_err(|error| CodecError::Syntax(format!("write YAML: {error}")))?;
    Ok(text.into_bytes())
}

struct State {
    budget: Budget,
    depth_max: usize,
    duplicates: Vec<String>,
}

struct Tree<'a> {
    state: &'a mut State,
    depth: usize,
}

impl Tree<'_> {
    fn scalar<E: serde::de::Error>(self, value: Value) -> Result<Value, E> {
        self.state.budget.take(SCALAR_COST).map_err(E::custom)?;
        Ok(value)
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth >= self.state.depth_max {
            return Err(E::custom(CodecError::TooDeep(self.state.depth_max)));
        }
        self.state.budget.take(TREE_COST).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        self.scalar(Value::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Tree { state: self.state, depth: self.depth + 1 })? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut out = Map::new();
        while let Some(key) = entries.next_key_seed(Tree { state: self.state, depth: self.depth + 1 })? {
            let key = match key {
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => key.to_string(),
                Value::Null => "null".into(),
                _ => return Err(A::Error::custom("a key must be a scalar")),
            };
            let value = entries.next_value_seed(Tree { state: self.state, depth: self.depth + 1 })?;
            if out.contains_key(&key) && self.state.duplicates.len() < DUPLICATES_MAX && !self.state.duplicates.contains(&key) {
                self.state.duplicates.push(key.clone());
            }
            out.insert(key, value);
        }
        Ok(Value::Object(out))
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

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\\n\\té]{0,12}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes",
                "no",
                "null",
                "~",
                "1",
                "0x1f",
                "1e3",
                "true",
                "- a",
                "a: b",
                "#",
                "",
                " ",
                "|",
                "2001-01-01",
                "1_000",
                ".inf",
                "0o7",
                "y"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z0-9./ -]{0,8}", inner, 0..5)
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
