//! The tables of the built-in kinds, read from the text files in `tables/` at start.
//!
//! `types.txt`: a line per type, then a line with a tab per field.
//! ```text
//! NAME SHAPE [gvk=GROUP/VERSION/KIND…] [atomic] [unions=JSON]
//! <tab>FIELD TYPE [!] [=DEFAULT] [atomic] [key=MERGE KEY] [strategy=A,B] [#NUMBER[.NUMBER…][:MESSAGE][*]]
//! ```
//! `!` is required, `=` a default in JSON, `#` the protobuf number (with the numbers of embedded messages before it; `*` a scalar
//! that tells zero from absent). A TYPE is `str`, `str(A|B)` (`~` is a space), `bytes`, `i32`, `i64`, `double`, `bool`, `quantity`, `intstr`, `any`,
//! `time`, `microtime`, `{}TYPE` for a map, `[KIND]TYPE` for a list (kind empty, `atomic`, `set`, `map:KEY,KEY`), or a name.
//!
//! `kinds.txt`: `group NAME VERSIONS`, `kind VERSION PLURAL KIND SCOPE TYPE SINGULAR key=value…`, and below a kind
//! `<tab>/SUBRESOURCE GROUP/VERSION/KIND VERBS` and `<tab>| TYPE FORMAT PRIORITY COLUMN NAME`.
use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;

use crate::{
    row::{Column, Group, Gvk, Gvr, Row, Storage, Subresource, Tables},
    schema::{Field, IntegerBits, List, ListKind, Object, ProtoField, Schemas, Shape, StringFormat, Type, TypeRef},
};

pub(crate) const TYPES: &str = include_str!("../tables/types.txt");
const KINDS: &str = include_str!("../tables/kinds.txt");

/// Answers that have no published schema, but a wire form.
const UNPUBLISHED: &str = "\
io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata object
\tapiVersion str
\tkind str
\tmetadata io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta ={} #1
io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList object
\tapiVersion str
\titems []io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata ! #2
\tkind str
\tmetadata io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta ={} #1
";

impl Tables {
    /// Every built-in kind of Kubernetes 1.36. Takes a few milliseconds; a server makes it once and shares it.
    pub fn builtin() -> Tables {
        let mut reader = Reader::default();
        let mut tables = Tables::default();
        for text in [TYPES, UNPUBLISHED] {
            reader.types(text, &mut tables.schemas).expect("the committed type table is well formed");
        }
        kinds(KINDS, &mut tables).expect("the committed kind table is well formed");
        tables
    }
}

/// Remembers anonymous types, so that each is kept once.
#[derive(Default)]
struct Reader {
    inline: HashMap<String, Arc<Type>>,
    names: HashMap<String, Arc<str>>,
}

impl Reader {
    fn types(&mut self, text: &str, into: &mut Schemas) -> Result<(), String> {
        let mut current: Option<(Arc<str>, Type)> = None;
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            if let Some(field) = line.strip_prefix('\t') {
                let (_, of) = current.as_mut().ok_or_else(|| format!("field outside a type: {line}"))?;
                let Shape::Object(object) = &mut of.shape else { return Err(format!("field of a scalar: {line}")) };
                let (name, field) = self.field(field).map_err(|error| format!("{error}: {line}"))?;
                object.fields.insert(name, field);
                continue;
            }
            if let Some((name, of)) = current.take() {
                into.types.insert(name, Arc::new(of));
            }
            let mut words = line.split(' ');
            let (Some(name), Some(shape)) = (words.next(), words.next()) else { return Err(format!("no shape: {line}")) };
            let shape = match shape {
                "object" => Shape::Object(Object::of(words.any(|word| word == "atomic"))),
                scalar => scalar_shape(scalar).ok_or_else(|| format!("unknown shape: {line}"))?,
            };
            current = Some((self.name(name), Type { name: name.to_owned(), shape }));
        }
        if let Some((name, of)) = current {
            into.types.insert(name, Arc::new(of));
        }
        Ok(())
    }

    fn field(&mut self, line: &str) -> Result<(String, Field), &'static str> {
        let mut words = line.split(' ');
        let (Some(name), Some(kind)) = (words.next(), words.next()) else { return Err("field without a type") };
        let mut field = Field {
            of: self.type_ref(kind).ok_or("unknown type")?,
            required: false,
            default: None,
            protobuf: None,
            patch_merge_key: None,
            patch_strategy: Vec::new(),
            atomic: false,
        };
        for word in words {
            if word == "!" {
                field.required = true;
            } else if word == "atomic" {
                field.atomic = true;
            } else if let Some(default) = word.strip_prefix('=') {
                field.default = Some(serde_json::from_str(default).map_err(|_| "default is not JSON")?);
            } else if let Some(key) = word.strip_prefix("key=") {
                field.patch_merge_key = Some(key.to_owned());
            } else if let Some(strategy) = word.strip_prefix("strategy=") {
                field.patch_strategy = words_of(strategy);
            } else if let Some(proto) = word.strip_prefix('#') {
                field.protobuf = Some(proto_field(proto, kind).ok_or("unknown protobuf number")?);
            } else {
                return Err("unknown word");
            }
        }
        Ok((name.to_owned(), field))
    }

    fn type_ref(&mut self, text: &str) -> Option<TypeRef> {
        if text.contains('.') && !text.starts_with(['[', '{']) && !text.starts_with("str(") {
            return Some(TypeRef::Named(self.name(text)));
        }
        if let Some(known) = self.inline.get(text) {
            return Some(TypeRef::Inline(known.clone()));
        }
        let shape = if let Some(values) = text.strip_prefix("{}") {
            Shape::Map { values: self.type_ref(values)? }
        } else if let Some(rest) = text.strip_prefix('[') {
            let (kind, items) = rest.split_once(']')?;
            let kind = match (kind, kind.strip_prefix("map:")) {
                (_, Some(keys)) => ListKind::Map { keys: words_of(keys) },
                ("", _) => ListKind::Unsaid,
                ("atomic", _) => ListKind::Atomic,
                ("set", _) => ListKind::Set,
                _ => return None,
            };
            Shape::List(List { items: self.type_ref(items)?, kind })
        } else {
            scalar_shape(text)?
        };
        let of = Arc::new(Type { name: String::new(), shape });
        self.inline.insert(text.to_owned(), of.clone());
        Some(TypeRef::Inline(of))
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        self.names.entry(text.to_owned()).or_insert_with(|| text.into()).clone()
    }
}

fn scalar_shape(text: &str) -> Option<Shape> {
    if let Some(values) = text.strip_prefix("str(").and_then(|rest| rest.strip_suffix(')')) {
        return Some(Shape::String { format: None, one_of: values.split('|').map(|value| value.replace('~', " ")).collect() });
    }
    let string = |format| Shape::String { format, one_of: Vec::new() };
    Some(match text {
        "str" => string(None),
        "bytes" => string(Some(StringFormat::Byte)),
        "time" => string(Some(StringFormat::Time)),
        "microtime" => string(Some(StringFormat::MicroTime)),
        "i32" => Shape::Integer { bits: IntegerBits::I32 },
        "i64" => Shape::Integer { bits: IntegerBits::I64 },
        "double" => Shape::Number,
        "bool" => Shape::Boolean,
        "quantity" => Shape::Quantity,
        "intstr" => Shape::IntOrString,
        "any" => Shape::Any,
        _ => return None,
    })
}

/// `2.1:message*` of a field whose type is `kind`.
fn proto_field(text: &str, kind: &str) -> Option<ProtoField> {
    let (text, pointer) = match text.strip_suffix('*') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (numbers, message) = match text.split_once(':') {
        Some((numbers, message)) => (numbers, Some(message)),
        None => (text, None),
    };
    let mut within: Vec<u32> = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let number = within.pop()?;
    let repeated = kind.starts_with('[');
    let kind = match (message, kind.strip_prefix("{}")) {
        (Some(message), Some(_)) => format!("map<string, {message}>"),
        (Some(message), None) => message.to_owned(),
        (None, Some(values)) => format!("map<string, {}>", proto_kind(values)),
        (None, None) => proto_kind(kind.split_once(']').map_or(kind, |(_, items)| items)),
    };
    Some(ProtoField { number, kind, repeated, within, pointer })
}

fn proto_kind(kind: &str) -> String {
    match kind {
        "i32" => "int32".into(),
        "i64" => "int64".into(),
        text if text == "str" || text.starts_with("str(") => "string".into(),
        scalar if !scalar.contains('.') => scalar.to_owned(),
        name => message_name(name),
    }
}

/// The protobuf message of a published type.
pub(crate) fn message_name(published: &str) -> String {
    published
        .replacen("io.k8s.", "k8s.io.", 1)
        .replace("apiextensions-apiserver", "apiextensions_apiserver")
        .replace("kube-aggregator", "kube_aggregator")
}

fn kinds(text: &str, tables: &mut Tables) -> Result<(), String> {
    let mut row: Option<Row> = None;
    let finish = |row: Option<Row>, rows: &mut BTreeMap<Gvr, Arc<Row>>| {
        if let Some(row) = row {
            rows.insert(row.gvr.clone(), Arc::new(row));
        }
    };
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let broken = || format!("broken line: {line}");
        if let Some(part) = line.strip_prefix('\t') {
            part_of_kind(part, row.as_mut().ok_or_else(broken)?).ok_or_else(broken)?;
        } else if let Some(group) = line.strip_prefix("group ") {
            finish(row.take(), &mut tables.rows);
            let (name, versions) = group.split_once(' ').ok_or_else(broken)?;
            let name = if name == "-" { "" } else { name };
            tables.groups.push(Group { name: name.to_owned(), versions: words_of(versions) });
        } else {
            finish(row.take(), &mut tables.rows);
            let group = tables.groups.last().ok_or_else(broken)?;
            row = Some(kind(line.strip_prefix("kind ").ok_or_else(broken)?, &group.name).ok_or_else(broken)?);
        }
    }
    finish(row, &mut tables.rows);
    Ok(())
}

fn kind(line: &str, group: &str) -> Option<Row> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    let (version, plural, kind, scope, of, singular) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let mut row = Row {
        gvr: Gvr::new(group, version, plural),
        gvk: Gvk::new(group, version, kind),
        list_kind: String::new(),
        singular: singular.to_owned(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: scope == "namespaced",
        verbs: Vec::new(),
        storage_version_hash: String::new(),
        subresources: BTreeMap::new(),
        of: TypeRef::Named(of.into()),
        protobuf: Some(message_name(of)),
        columns: Vec::new(),
        storage: None,
    };
    for word in words {
        match word.split_once('=')? {
            ("verbs", verbs) => row.verbs = words_of(verbs),
            ("short", names) => row.short_names = words_of(names),
            ("categories", categories) => row.categories = words_of(categories),
            ("hash", hash) => row.storage_version_hash = hash.to_owned(),
            ("stored", stored) => {
                let (prefix, version) = stored.split_once(',')?;
                row.storage = Some(Storage { prefix: prefix.to_owned(), version: gvk(version)? });
            }
            _ => return None,
        }
    }
    if row.supports("list") {
        row.list_kind = format!("{kind}List");
    }
    Some(row)
}

fn part_of_kind(part: &str, row: &mut Row) -> Option<()> {
    if let Some(column) = part.strip_prefix("| ") {
        let mut words = column.splitn(4, ' ');
        let (kind, format, priority, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
        row.columns.push(Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: if format == "-" { String::new() } else { format.to_owned() },
            priority: priority.parse().ok()?,
            json_path: None,
        });
    } else {
        let mut words = part.strip_prefix('/')?.split(' ');
        let (name, speaks, verbs) = (words.next()?, words.next()?, words.next()?);
        let subresource = Subresource { name: name.to_owned(), gvk: gvk(speaks)?, verbs: words_of(verbs) };
        row.subresources.insert(name.to_owned(), subresource);
    }
    Some(())
}

/// `group/version/kind`; the group may be empty.
pub(crate) fn gvk(text: &str) -> Option<Gvk> {
    let mut parts = text.splitn(3, '/');
    Some(Gvk::new(parts.next()?, parts.next()?, parts.next()?))
}

fn words_of(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
