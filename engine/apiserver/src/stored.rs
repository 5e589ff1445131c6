//! The form of a stored value: a header, then canonical JSON.
//!
//! ```text
//! 1 byte   format, 1
//! 1 byte   key id, 0: not sealed
//! 2 bytes  schema generation, big endian
//! 1 byte   length of apiVersion, then apiVersion
//! 1 byte   length of kind, then kind
//! rest     JSON that begins with {"metadata":{ and has neither apiVersion, kind nor metadata.resourceVersion
//! ```
//! What is missing from the JSON is spliced in: an object is answered without being parsed.
use bytes::Bytes;
use irori_api::row::{Gvk, Row};
use irori_store::Entry;
use serde_json::{Map, Value};

const FORMAT: u8 = 1;
/// Of built-in kinds. Goes up when defaults or schemas of stored kinds change: older values then take the slow path.
pub const SCHEMA_GENERATION: u16 = 1;
const OPENING: &[u8] = b"{\"metadata\":{";

/// A stored value that cannot be read. One bad object never breaks a list: it is left out there, and named in the log.
#[derive(Debug, thiserror::Error)]
#[error("stored value of `{key}` cannot be read: {reason}")]
pub struct Broken {
    pub key: String,
    pub reason: &'static str,
}

/// A parsed header, and where the JSON begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub generation: u16,
    pub api_version: &'a str,
    pub kind: &'a str,
    pub json: &'a [u8],
}

impl Head<'_> {
    /// Whether the JSON is what the row answers.
    pub fn is_of(&self, row: &Row) -> bool {
        let group_version = match self.api_version.split_once('/') {
            Some((group, version)) => group == row.gvk.group && version == row.gvk.version,
            None => row.gvk.group.is_empty() && self.api_version == row.gvk.version,
        };
        group_version && self.kind == row.gvk.kind && self.generation == SCHEMA_GENERATION
    }
}

/// Encodes an object for the store.
pub fn encode(object: &Value, gvk: &Gvk) -> Bytes {
    let api_version = gvk.api_version();
    let mut out = Vec::with_capacity(2048);
    out.extend([FORMAT, 0]);
    out.extend(SCHEMA_GENERATION.to_be_bytes());
    for text in [&api_version, &gvk.kind] {
        out.push(u8::try_from(text.len()).expect("group versions and kinds are below 256 bytes"));
        out.extend(text.as_bytes());
    }
    let empty = Map::new();
    let object = object.as_object().unwrap_or(&empty);
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    out.extend(b"{\"metadata\":{");
    write_fields(&mut out, metadata, &["resourceVersion"], false);
    out.push(b'}');
    write_fields(&mut out, object, &["metadata", "apiVersion", "kind"], true);
    out.push(b'}');
    // The store keeps it: without what was reserved too much.
    out.into_boxed_slice().into()
}

fn write_fields(out: &mut Vec<u8>, fields: &Map<String, Value>, except: &[&str], mut comma: bool) {
    for (name, value) in fields.iter().filter(|(name, _)| !except.contains(&name.as_str())) {
        if comma {
            out.push(b',');
        }
        comma = true;
        serde_json::to_writer(&mut *out, name).expect("a string is written to memory");
        out.push(b':');
        serde_json::to_writer(&mut *out, value).expect("a tree is written to memory");
    }
}

/// Reads the header.
pub fn head(entry: &Entry) -> Result<Head<'_>, Broken> {
    let broken = |reason| Broken { key: entry.key.to_string(), reason };
    let value: &[u8] = &entry.value;
    let [format, key_id, high, low, rest @ ..] = value else { return Err(broken("it is too short")) };
    if *format != FORMAT {
        return Err(broken("its format is unknown"));
    }
    if *key_id != 0 {
        return Err(broken("it is sealed"));
    }
    let (api_version, rest) = text(rest).ok_or_else(|| broken("its header is cut off"))?;
    let (kind, json) = text(rest).ok_or_else(|| broken("its header is cut off"))?;
    if !json.starts_with(OPENING) {
        return Err(broken("its JSON does not begin with metadata"));
    }
    Ok(Head { generation: u16::from_be_bytes([*high, *low]), api_version, kind, json })
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Whether a word occurs anywhere in a stored value: if not, no field has that name.
pub fn mentions(entry: &Entry, word: &str) -> bool {
    entry.value.windows(word.len()).any(|window| window == word.as_bytes())
}

/// The whole object as a tree, with apiVersion, kind and resourceVersion.
pub fn tree(entry: &Entry) -> Result<Value, Broken> {
    let head = head(entry)?;
    let mut object: Value =
        serde_json::from_slice(head.json).map_err(|_| Broken { key: entry.key.to_string(), reason: "its JSON is damaged" })?;
    let Some(fields) = object.as_object_mut() else {
        return Err(Broken { key: entry.key.to_string(), reason: "its JSON is no object" });
    };
    fields.insert("apiVersion".into(), head.api_version.into());
    fields.insert("kind".into(), head.kind.into());
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), entry.revision.0.to_string().into());
    }
    Ok(object)
}

/// Appends the object as JSON; `named` says whether with kind and apiVersion (single objects) or without (list items).
pub fn splice(out: &mut Vec<u8>, head: &Head<'_>, revision: u64, named: bool) {
    use std::io::Write;
    if named {
        write!(out, "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", head.kind, head.api_version).expect("memory takes it");
    } else {
        out.push(b'{');
    }
    write!(out, "\"metadata\":{{\"resourceVersion\":\"{revision}\"").expect("memory takes it");
    let rest = &head.json[OPENING.len()..];
    if !rest.starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(rest);
}
