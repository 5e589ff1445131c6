//! Random, repeatable changes of trees.
use serde_json::{Value, json};

/// SplitMix64: the same numbers for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// One to six changes.
pub fn mutate(random: &mut Random, object: &mut Value, donor: &Value) {
    for _ in 0..=random.below(6) {
        let paths = paths(object);
        let path = &paths[random.below(paths.len())];
        let graft = donor.pointer(path).cloned();
        let Some(at) = object.pointer_mut(path) else { continue };
        change(random, at, graft);
    }
}

/// JSON pointers to everything in a tree.
fn paths(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, out: &mut Vec<String>) {
        out.push(path.to_owned());
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(value, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), out);
                }
            }
            Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| walk(value, &format!("{path}/{i}"), out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(value, "", &mut out);
    out
}

fn change(random: &mut Random, at: &mut Value, graft: Option<Value>) {
    match (random.below(8), at) {
        // What another object of the kind has there.
        (0 | 1, at) => *at = graft.unwrap_or_else(|| scalar(random)),
        (2, at) => *at = scalar(random),
        (3, Value::Object(fields)) => {
            let name = fields.keys().nth(random.below(fields.len().max(1))).cloned();
            name.and_then(|name| fields.remove(&name));
        }
        (4, Value::Object(fields)) => {
            let names = ["name", "metadata", "labels", "spec", "x", "", "a/b", "$patch", "kind", "data", "key", "value", "type"];
            fields.insert(names[random.below(names.len())].to_owned(), scalar(random));
        }
        (3, Value::Array(items)) if !items.is_empty() => drop(items.remove(random.below(items.len()))),
        (4 | 5, Value::Array(items)) if !items.is_empty() => {
            let again = items[random.below(items.len())].clone();
            items.insert(random.below(items.len() + 1), again);
        }
        (6, Value::Array(items)) => items.reverse(),
        (_, Value::String(text)) => {
            let ends = ["", "-", ".", "/", "é", " ", "0", "\u{0}", "m", "Gi", "%", "\"", "\\"];
            text.push_str(ends[random.below(ends.len())]);
        }
        (_, at) => {
            let next = at.as_i64().map(|number| number.wrapping_add([1, -1, 65_536, -65_536][random.below(4)]));
            *at = next.map_or_else(|| scalar(random), Value::from);
        }
    }
}

fn scalar(random: &mut Random) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(i32::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("a-1"),
        json!("100m"),
        json!("1Gi"),
        json!("10%"),
        json!("TCP"),
        json!("2026-01-01T00:00:00Z"),
        json!("10.0.0.1"),
        json!("::1"),
        json!("aGk="),
        json!([]),
        json!({}),
        json!([null]),
        json!([[]]),
        json!({"a": "b"}),
        json!({"name": "a"}),
        json!([{"name": "a"}, {"name": "a"}]),
        json!("x".repeat(300)),
    ];
    all[random.below(all.len())].clone()
}
