//! From parsed JSON to the canonical tree of a kind.
//!
//! Types are checked as a stock server checks them (so are its error texts), what the schema does not name is dropped and
//! told, times, bytes and quantities are normalised, and the result is what the server would write again (but for empty lists): see `canonical`.
use irori_api::{
    row::{Row, Tables},
    schema::{IntegerBits, Schemas, Shape, StringFormat, Type, TypeRef},
};
use serde_json::{Map, Number, Value};

use crate::{canonical::Given, chain::Chain, scalar};

mod converter;
mod gotype;
pub use gotype::json_kind;
#[cfg(test)]
mod tests;

/// Levels of nesting that are followed; deeper bodies are refused.
pub const DEPTH_MAX: usize = 512;
/// Unknown fields that are told; more are only counted as "more".
pub const UNKNOWN_MAX: usize = 100;

/// What decoding gives.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Canonical tree with `apiVersion` and `kind`.
    pub object: Value,
    /// One text for each unknown field, as strict decoding and the Warning header say it: `unknown field "spec.foo"`.
    pub unknown: Vec<String>,
}

/// Why a body cannot be taken as the kind; the text is what the 400 answer says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    pub message: String,
    /// The same without a word on the kind, as the outcome of a patch is told.
    pub why: String,
}

impl DecodeError {
    fn handled(kind: &str, version: &str, wanted: &str, why: &str) -> Self {
        Self { message: format!("{kind} in version \"{version}\" cannot be handled as a {wanted}: {why}"), why: why.to_owned() }
    }

    fn plain(why: String) -> Self {
        Self { message: why.clone(), why }
    }

    /// The refusal of `fieldValidation=Strict`: the unknown fields (and those given twice) of a body.
    pub fn strict(api_version: &str, kind: &str, texts: &[String]) -> Self {
        Self::handled(kind, version_of(api_version), kind, &format!("strict decoding error: {}", texts.join(", ")))
    }
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or(api_version)
}

/// Takes a parsed body as an object of the row's kind: checks types, drops what is unknown, makes it canonical.
/// apiVersion and kind may be missing; if they name another version of the same kind, the body is taken in that version's
/// form and keeps its apiVersion (the caller compares it and may `convert`).
pub fn decode(tables: &Tables, row: &Row, input: Value) -> Result<Decoded, DecodeError> {
    decode_type(tables, &row.gvk.api_version(), &row.gvk.kind, &row.of, input)
}

/// The same for a type without a row of its own (Scale, Eviction, DeleteOptions, …).
pub fn decode_type(tables: &Tables, api_version: &str, kind: &str, of: &TypeRef, input: Value) -> Result<Decoded, DecodeError> {
    let Value::Object(body) = &input else {
        let shape = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
        let what = gotype::json_kind(&input);
        return Err(DecodeError::plain(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go value of type {shape}"
        )));
    };
    let said = |field: &str, or: &str| match body.get(field).and_then(Value::as_str) {
        None | Some("") => or.to_owned(),
        Some(text) => text.to_owned(),
    };
    let (said_version, said_kind) = (said("apiVersion", api_version), said("kind", kind));
    if (said_version.as_str(), said_kind.as_str()) != (api_version, kind)
        && !same_kind(tables, (api_version, kind), (&said_version, &said_kind))
    {
        let known = tables.rows.values().any(|r| r.gvk.kind == said_kind && r.gvk.api_version() == said_version);
        let why = if known {
            let wanted = if api_version.contains('/') { group_word(api_version) } else { "core" };
            format!("converting ({}.{said_kind}) to ({wanted}.{kind}): unknown conversion", version_of(&said_version))
        } else {
            let scheme = match group_word(api_version) {
                "apiextensions" => "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55",
                _ => "pkg/api/legacyscheme/scheme.go:30",
            };
            format!("no kind \"{said_kind}\" is registered for version \"{said_version}\" in scheme \"{scheme}\"")
        };
        return Err(DecodeError::handled(&said_kind, version_of(&said_version), kind, &why));
    }
    let other = (said_version != api_version)
        .then(|| tables.rows.values().find(|r| r.gvk.kind == said_kind && r.gvk.api_version() == said_version))
        .flatten();
    let of = other.map_or(of, |row| &row.of);
    walked(tables, of, input, &said_version, &said_kind, Words::Json)
        .map_err(|why| DecodeError::handled(&said_kind, version_of(&said_version), kind, &why))
}

/// Takes a tree as an object of the type, whatever it says of its apiVersion and kind: the outcome of a strategic merge patch or of an
/// apply. Whole numbers may be written with a point; unknown fields are told in the order of their texts.
pub fn decode_tree(tables: &Tables, api_version: &str, kind: &str, of: &TypeRef, input: Value) -> Result<Decoded, DecodeError> {
    let mut decoded = walked(tables, of, input, api_version, kind, Words::Tree).map_err(DecodeError::plain)?;
    decoded.unknown.sort_unstable();
    Ok(decoded)
}

fn walked(tables: &Tables, of: &TypeRef, input: Value, api_version: &str, kind: &str, words: Words) -> Result<Decoded, String> {
    let mut walk = Walk { schemas: &tables.schemas, words, unknown: Vec::new(), error: None, depth: 0 };
    let Value::Object(body) = input else { return Err("body is not an object".into()) };
    let mut object = match tables.schemas.resolve(of) {
        Some(of) => walk.object(of, body, None),
        None => return Err(format!("no schema for kind {kind}")),
    };
    if let Some(why) = walk.error {
        return Err(why);
    }
    if let Some(o) = object.as_object_mut() {
        o.insert("apiVersion".into(), api_version.into());
        o.insert("kind".into(), kind.into());
    }
    Ok(Decoded { object, unknown: walk.unknown })
}

/// Whether both name one kind in two versions that share a store (HPA v1 and v2, the two Events).
fn same_kind(tables: &Tables, a: (&str, &str), b: (&str, &str)) -> bool {
    let storage = |(version, kind): (&str, &str)| {
        let row = tables.rows.values().find(|r| r.gvk.kind == kind && r.gvk.api_version() == version)?;
        row.storage.as_ref()
    };
    a.1 == b.1 && matches!((storage(a), storage(b)), (Some(a), Some(b)) if a.prefix == b.prefix)
}

fn group_word(api_version: &str) -> &str {
    api_version.split(['.', '/']).next().unwrap_or(api_version)
}

/// A step on the way to a value.
#[derive(Clone, Copy)]
enum Step<'p> {
    Field { name: &'p str, owner: &'p str },
    Index(usize),
    Key(&'p str),
}

/// The way to a value; `None` is the body itself.
type Way<'p> = Option<&'p At<'p>>;
type At<'p> = Chain<'p, Step<'p>>;

/// Whose words an error has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Json,
    Tree,
}

struct Walk<'a> {
    schemas: &'a Schemas,
    words: Words,
    unknown: Vec<String>,
    error: Option<String>,
    depth: usize,
}

impl Walk<'_> {
    fn value(&mut self, of: &TypeRef, value: Value, at: Way<'_>) -> Value {
        let Some(resolved) = self.schemas.resolve(of) else { return value };
        self.resolved(resolved, value, at)
    }

    fn resolved(&mut self, of: &Type, value: Value, at: Way<'_>) -> Value {
        if self.depth >= DEPTH_MAX {
            self.fail("exceeded max depth".into());
            return Value::Null;
        }
        self.depth += 1;
        let out = self.shaped(of, value, at);
        self.depth -= 1;
        out
    }

    /// What may hold anything is kept as it is; but where a schema stands, or a list of them, it is held to its type. What it does not
    /// know there goes without a word, as upstream's own decoding of these types does it.
    fn any(&mut self, of: &Type, value: Value, at: Way<'_>) -> Value {
        let Some(schema) = of.schema_or_else() else { return value };
        let told = self.unknown.len();
        let (array, boolean) = (of.name.ends_with("OrArray"), of.name.ends_with("OrBool"));
        let value = match value {
            Value::Object(_) => self.value(&schema, value, at),
            Value::Array(items) if array => items.into_iter().map(|item| self.value(&schema, item, at)).collect(),
            Value::Array(items) if !boolean && items.iter().all(Value::is_string) => Value::Array(items),
            Value::Bool(said) if boolean => Value::Bool(said),
            Value::Null => Value::Null,
            _ if boolean => {
                self.fail("boolean or JSON schema expected".into());
                Value::Null
            }
            array @ Value::Array(_) => self.mismatch(of, &array, at),
            _ => Value::Null,
        };
        self.unknown.truncate(told);
        value
    }

    fn shaped(&mut self, of: &Type, value: Value, at: Way<'_>) -> Value {
        match (&of.shape, value) {
            (Shape::Any, value) => self.any(of, value, at),
            (Shape::Object(_), Value::Object(fields)) => self.object(of, fields, at),
            (Shape::Object(_), Value::Null) => self.object(of, Map::new(), at),
            (Shape::Map { values }, Value::Object(mut entries)) => {
                let Some(of) = self.schemas.resolve(values) else { return Value::Object(entries) };
                for (key, entry) in &mut entries {
                    *entry = match std::mem::take(entry) {
                        Value::Null => self.zero(values, at),
                        entry => self.resolved(of, entry, Some(&At { step: Step::Key(key), up: at })),
                    };
                }
                Value::Object(entries)
            }
            (Shape::List(list), Value::Array(mut items)) => {
                let Some(of) = self.schemas.resolve(&list.items) else { return Value::Array(items) };
                for (i, item) in items.iter_mut().enumerate() {
                    *item = match std::mem::take(item) {
                        Value::Null => self.zero(&list.items, at),
                        item => self.resolved(of, item, Some(&At { step: Step::Index(i), up: at })),
                    };
                }
                Value::Array(items)
            }
            (Shape::String { format, .. }, Value::String(text)) => self.string(*format, text),
            (Shape::Integer { bits }, Value::Number(n)) => match int_of(&n, bits).or_else(|| self.whole(&n, bits)) {
                Some(n) => n.into(),
                None => self.mismatch(of, &Value::Number(n), at),
            },
            (Shape::Number, Value::Number(n)) => number_of(n),
            (Shape::Boolean, Value::Bool(b)) => Value::Bool(b),
            (Shape::Quantity, value) => self.quantity(&value),
            (Shape::IntOrString, Value::String(text)) => Value::String(text),
            (Shape::IntOrString, Value::Number(n)) => match int_of(&n, &IntegerBits::I32) {
                Some(n) => n.into(),
                None => self.mismatch(of, &Value::Number(n), at),
            },
            (_, value) => self.mismatch(of, &value, at),
        }
    }

    /// A whole number with a point, which trees may hold.
    fn whole(&self, n: &Number, bits: &IntegerBits) -> Option<i64> {
        let n = n.as_f64().filter(|n| self.words == Words::Tree && n.fract() == 0.0 && n.abs() < 9.0e15)?;
        int_of(&Number::from(n as i64), bits)
    }

    fn object(&mut self, of: &Type, mut fields: Map<String, Value>, at: Way<'_>) -> Value {
        let Shape::Object(shape) = &of.shape else { return Value::Object(fields) };
        let given = Given::note(of, &fields);
        let mut gone = Vec::new();
        for (name, value) in &mut fields {
            match shape.fields.get(name) {
                None if shape.preserve_unknown => {}
                None => gone.push((name.clone(), true)),
                Some(_) if value.is_null() => gone.push((name.clone(), false)),
                Some(field) => {
                    let step = Step::Field { name, owner: &of.name };
                    *value = self.value(&field.of, std::mem::take(value), Some(&At { step, up: at }));
                }
            }
        }
        for (name, _) in gone.iter().filter(|(_, unknown)| *unknown) {
            if self.unknown.len() >= UNKNOWN_MAX {
                break;
            }
            let way = strict_path(at);
            let dot = if way.is_empty() { "" } else { "." };
            self.unknown.push(format!("unknown field \"{way}{dot}{name}\""));
        }
        if !gone.is_empty() {
            let mut gone = gone.iter().peekable();
            fields.retain(|name, _| gone.next_if(|(other, _)| other == name).is_none());
        }
        given.settle(self.schemas, of, &mut fields);
        Value::Object(fields)
    }

    fn string(&mut self, format: Option<StringFormat>, text: String) -> Value {
        let result = match format {
            None | Some(StringFormat::Duration) => Ok(text),
            Some(StringFormat::Time) => scalar::time(&text, false),
            Some(StringFormat::MicroTime) => scalar::time(&text, true),
            Some(StringFormat::Byte) => scalar::base64(&text),
        };
        match result {
            Ok(text) => Value::String(text),
            Err(why) => {
                let bytes = format == Some(StringFormat::Byte) && self.words == Words::Tree;
                self.fail(if bytes { format!("error decoding from json: {why}") } else { why });
                Value::Null
            }
        }
    }

    fn quantity(&mut self, value: &Value) -> Value {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match scalar::quantity(&text) {
            Ok(text) => Value::String(text),
            Err(why) => {
                self.fail(why);
                Value::Null
            }
        }
    }

    /// What a null in a list or map stands for.
    fn zero(&mut self, of: &TypeRef, at: Way<'_>) -> Value {
        match self.schemas.resolve(of).map(|t| &t.shape) {
            Some(Shape::Object(_)) => self.value(of, Value::Object(Map::new()), at),
            Some(Shape::String { .. }) => Value::String(String::new()),
            Some(Shape::Integer { .. } | Shape::IntOrString) => Value::Number(0.into()),
            Some(Shape::Boolean) => Value::Bool(false),
            Some(Shape::Quantity) => Value::String("0".into()),
            _ => Value::Null,
        }
    }

    fn fail(&mut self, why: String) {
        if self.error.is_none() {
            self.error = Some(why);
        }
    }

    fn mismatch(&mut self, of: &Type, value: &Value, at: Way<'_>) -> Value {
        if self.error.is_none() {
            let (owner, path) = go_path(at);
            let wanted = gotype::go_type(
                self.schemas,
                of,
                at.map(|at| match at.step {
                    Step::Field { name, owner } => (owner, name),
                    _ => ("", ""),
                }),
            );
            let what = match (&of.shape, value) {
                (Shape::Integer { .. } | Shape::IntOrString, Value::Number(n)) => format!("number {n}"),
                _ => gotype::json_kind(value).to_owned(),
            };
            let of_tree = (self.words == Words::Tree).then(|| converter::mismatch(of, value, &wanted)).flatten();
            self.error = Some(match owner {
                _ if of_tree.is_some() => of_tree.unwrap_or_default(),
                Some(owner) => format!("json: cannot unmarshal {what} into Go struct field {owner}.{path} of type {wanted}"),
                None => format!("json: cannot unmarshal {what} into Go value of type {wanted}"),
            });
        }
        Value::Null
    }
}

fn strict_path(at: Way<'_>) -> String {
    let mut out = String::new();
    for step in at.map(Chain::steps).unwrap_or_default() {
        match step {
            Step::Field { name: key, .. } | Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Step::Index(i) => out.push_str(&format!("[{i}]")),
        }
    }
    out
}

/// The innermost Go struct and the dotted path that Go's decoder names: no indices, but embedded structs by their name.
fn go_path(at: Way<'_>) -> (Option<String>, String) {
    let mut owner = None;
    let mut path: Vec<&str> = Vec::new();
    for step in at.map(Chain::steps).unwrap_or_default() {
        if let Step::Field { name, owner: of } = step {
            let short = of.rsplit('.').next().unwrap_or(of);
            path.extend(gotype::embedded(short, name));
            path.push(name);
            owner = Some(short.to_owned());
        }
    }
    (owner, path.join("."))
}

fn int_of(n: &Number, bits: &IntegerBits) -> Option<i64> {
    let n = n.as_i64()?;
    match bits {
        IntegerBits::I32 => i32::try_from(n).ok().map(i64::from),
        IntegerBits::I64 => Some(n),
    }
}

/// A double as Go writes it: whole numbers without a point.
fn number_of(n: Number) -> Value {
    match n.as_f64() {
        Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 9.0e15 => Value::Number((f as i64).into()),
        // Beyond what a double holds exactly, an integer is the double next to it.
        Some(f) if f.abs() >= 9.0e15 => Number::from_f64(f).map_or(Value::Null, Value::Number),
        _ => Value::Number(n),
    }
}
