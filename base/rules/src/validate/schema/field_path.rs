//! Paths to fields as definitions name them: `.spec.replicas`, `.spec.labels['a.b']`.
use serde_json::Value;

use super::{is_zero, property, values_of};
use crate::tree::get;

/// Where a path leads.
pub struct Found<'a> {
    pub path: Vec<String>,
    pub schema: &'a Value,
}

impl Found<'_> {
    pub fn first(&self) -> Option<&str> {
        self.path.first().map(String::as_str)
    }
}

/// Follows a path through a schema. `brackets`: whether fields may be named in brackets. Errors in the words of a stock server.
pub fn follow<'a>(path: &str, schema: &'a Value, brackets: bool) -> Result<Found<'a>, String> {
    let mut found = Found { path: Vec::new(), schema };
    let mut words = words(path).into_iter();
    let mut next = || words.next().ok_or("unexpected end of JSON path".to_owned());
    while let Ok(word) = next() {
        match word {
            "[" if !brackets => return Err("array notation is not allowed".into()),
            "[" => {
                let word = next()?;
                let quoted = word.strip_prefix('\'').filter(|w| !w.is_empty()).and_then(|w| w.strip_suffix('\''));
                let Some(quoted) = quoted else { return Err(format!("expected single quoted string but got {word}")) };
                step(&mut found, unescaped(quoted)?)?;
                let word = next()?;
                if word != "]" {
                    return Err(format!("expected ] but got {word}"));
                }
            }
            "." => {
                let word = next()?.to_owned();
                step(&mut found, word)?;
            }
            word => return Err(format!("expected [ or . but got: {word}")),
        }
    }
    Ok(found)
}

fn step(found: &mut Found<'_>, name: String) -> Result<(), String> {
    const NOWHERE: &str = "does not refer to a valid field";
    let has_fields = get(found.schema, &["properties"]).is_some_and(|fields| !is_zero(fields));
    let next = if has_fields { property(found.schema, &name) } else { values_of(found.schema) };
    found.schema = next.ok_or(NOWHERE)?;
    found.path.push(name);
    Ok(())
}

/// Points and brackets, and what stands between them; quotes hide both.
fn words(path: &str) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let end = if rest.starts_with('\'') {
            let bytes = rest.as_bytes();
            (1..bytes.len()).find(|i| bytes[*i] == b'\'' && bytes[i - 1] != b'\\').map_or(rest.len(), |i| i + 1)
        } else {
            match rest.find(['.', '[', ']']) {
                Some(0) => 1,
                Some(end) => end,
                None => rest.len(),
            }
        };
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}

fn unescaped(text: &str) -> Result<String, String> {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        out.push(match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('a')) => '\u{7}',
            ('\\', Some('b')) => '\u{8}',
            ('\\', Some('f')) => '\u{c}',
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('t')) => '\t',
            ('\\', Some('v')) => '\u{b}',
            ('\\', Some(c @ ('\'' | '\\'))) => c,
            ('\\', Some(c)) => return Err(format!("invalid string literal: invalid escape char \\{c}")),
            (c, _) => c,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_fields_and_maps() {
        let schema = json!({"properties": {
            "a.b": {"type": "string"},
            "spec": {"properties": {"n": {"type": "integer"}}},
            "m": {"additionalProperties": {"type": "boolean"}},
            "l": {"type": "array", "items": {"properties": {"x": {"type": "string"}}}},
        }});
        let kind = |path: &str, brackets: bool| {
            follow(path, &schema, brackets).map(|found| found.schema["type"].as_str().unwrap_or("").to_owned())
        };
        for (path, told) in
            [(".spec.n", "integer"), (".m.anything", "boolean"), ("['a.b']", "string"), (".m['x\\'y']", "boolean")]
        {
            assert_eq!(kind(path, true).as_deref(), Ok(told), "{path}");
        }
        for (path, why) in [
            ("spec", "expected [ or . but got: spec"),
            (".", "unexpected end of JSON path"),
            (".nope", "does not refer to a valid field"),
            (".l.x", "does not refer to a valid field"),
            ("[a]", "expected single quoted string but got a"),
            (".m['\\q']", "invalid string literal: invalid escape char \\q"),
            ("['a.b'", "unexpected end of JSON path"),
            ("['a.b'.", "expected ] but got ."),
        ] {
            assert_eq!(kind(path, true), Err(why.to_owned()), "{path}");
        }
        assert_eq!(kind("['a.b']", false).unwrap_err(), "array notation is not allowed");
    }
}
