//! Protobuf as Kubernetes speaks it, driven by the tables.
//!
//! Flow out: JSON -> message (`transcode.rs`, `scan.rs`) -> envelope `k8s\0` + Unknown{apiVersion, kind, raw}; a tree becomes JSON first. Flow in:
//! envelope -> message -> tree (`parse.rs`).
//! `Protobuf::compile` turns the named types into a plan with indices in place of names (`plan.rs`), once per server; custom kinds
//! have no protobuf form and never change it.
//! Invariant: JSON in canonical form comes back the same. Absent and zero scalars are told apart where the tables say so (`pointer`).
//! Invariant: what is written has been checked before it was stored; the writer trusts its text to be UTF-8 and its keys to come once.
//! Limits: those of `Limits`; a length beyond the bytes at hand is refused before anything is reserved for it.
mod parse;
mod plan;
mod scan;
mod transcode;
pub(crate) mod wire;

use serde_json::{Map, Value};

use self::plan::{Message, Plan};
pub use self::transcode::Encoder;
use super::{CodecError, Limits};
use crate::{row::Gvk, schema::Schemas};

/// What a stock body starts with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The compiled codec.
pub struct Protobuf {
    plan: Plan,
}

impl Protobuf {
    /// Takes a few milliseconds and a few hundred KB; made once per server.
    pub fn compile(schemas: &Schemas) -> Protobuf {
        Protobuf { plan: Plan::compile(schemas) }
    }

    fn of_kind(&self, gvk: &Gvk) -> Option<&Message> {
        self.plan.of_kind(gvk)
    }

    /// Whether a kind has a protobuf form (list kinds too).
    pub fn carries(&self, gvk: &Gvk) -> bool {
        self.of_kind(gvk).is_some()
    }

    /// What writes many objects of one kind.
    pub fn encoder(&self, gvk: &Gvk) -> Result<Encoder<'_>, CodecError> {
        let message = self.of_kind(gvk).ok_or_else(|| CodecError::NotCarried(gvk.kind.clone()))?;
        Ok(Encoder::new(&self.plan, message))
    }

    /// Writes an object with its envelope. Group, version and kind are those that the tree names.
    pub fn write(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        self.write_json(&Gvk::parse(text("apiVersion"), text("kind")), &super::json::write(value))
    }

    /// Writes an object with its envelope from its JSON, which is compact and the server's own.
    pub fn write_json(&self, gvk: &Gvk, json: &[u8]) -> Result<Vec<u8>, CodecError> {
        let mut encoder = self.encoder(gvk)?;
        let mut out = Vec::with_capacity(json.len() + 64);
        open_envelope(&mut out, gvk);
        wire::put_nested(&mut out, RAW, |out| encoder.put(json, out))?;
        out.extend_from_slice(ENVELOPE_END);
        Ok(out)
    }

    /// What comes before the items of a list of a kind (`PodList`): the envelope's beginning and the list's metadata. `items_bytes`: what the
    /// items, written by `Encoder::put_item`, take together. After them comes `ENVELOPE_END`.
    pub fn list_head(&self, list: &Gvk, metadata: &Value, items_bytes: usize) -> Result<Vec<u8>, CodecError> {
        let mut encoder = self.encoder(&Gvk::new("meta.k8s.io", "v1", "ListMeta"))?;
        let mut meta = Vec::with_capacity(64);
        wire::put_nested(&mut meta, 1, |out| encoder.put(&super::json::write(metadata), out))?;
        let mut out = Vec::with_capacity(meta.len() + 64);
        open_envelope(&mut out, list);
        wire::put_tag(&mut out, RAW, wire::BYTES);
        wire::put_varint(&mut out, (meta.len() + items_bytes) as u64);
        out.extend_from_slice(&meta);
        Ok(out)
    }

    /// Reads a body with its envelope. Where the envelope names no kind, `default` is taken.
    pub fn read(&self, bytes: &[u8], default: Option<&Gvk>, limits: &Limits) -> Result<Value, CodecError> {
        parse::enveloped(&self.plan, bytes, default, limits)
    }

    /// Reads a message without envelope.
    pub fn read_bare(&self, gvk: &Gvk, bytes: &[u8], limits: &Limits) -> Result<Value, CodecError> {
        parse::bare(&self.plan, gvk, bytes, limits)
    }
}

/// The field of the envelope that holds the message.
const RAW: u32 = 2;

/// What follows the message in the envelope: no content encoding, no content type.
pub const ENVELOPE_END: &[u8] = &[0x1a, 0, 0x22, 0];

fn open_envelope(out: &mut Vec<u8>, gvk: &Gvk) {
    let api_version = gvk.api_version();
    let mut type_meta = Vec::with_capacity(api_version.len() + gvk.kind.len() + 4);
    wire::put_bytes(&mut type_meta, 1, api_version.as_bytes());
    wire::put_bytes(&mut type_meta, 2, gvk.kind.as_bytes());
    out.extend_from_slice(MAGIC);
    wire::put_bytes(out, 1, &type_meta);
}

/// One frame of a watch: four bytes of length, then a WatchEvent whose object is an enveloped one.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut extension = Vec::with_capacity(object.len() + 8);
    wire::put_bytes(&mut extension, 1, object);
    let mut out = Vec::with_capacity(extension.len() + event.len() + 16);
    out.extend_from_slice(&[0; 4]);
    wire::put_bytes(&mut out, 1, event.as_bytes());
    wire::put_bytes(&mut out, 2, &extension);
    let length = u32::try_from(out.len() - 4).expect("an event is far below 4 GiB");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

fn with_kind(gvk: &Gvk, mut fields: Map<String, Value>) -> Value {
    fields.insert("apiVersion".into(), gvk.api_version().into());
    fields.insert("kind".into(), gvk.kind.clone().into());
    Value::Object(fields)
}

#[cfg(test)]
mod tests;
