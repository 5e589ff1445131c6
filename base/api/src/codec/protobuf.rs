//! Protobuf as Kubernetes speaks it, driven by the tables.
//!
//! Flow out: tree -> message (`write.rs`) -> envelope `k8s\0` + Unknown{apiVersion, kind, raw}. Flow in: the same backwards (`parse.rs`).
//! `Protobuf::compile` turns the named types into a plan with indices in place of names (`plan.rs`), once per server; custom kinds
//! have no protobuf form and never change it.
//! Invariant: JSON in canonical form comes back the same. Absent and zero scalars are told apart where the tables say so (`pointer`).
//! Limits: those of `Limits`; a length beyond the bytes at hand is refused before anything is reserved for it.
mod parse;
mod plan;
mod wire;
mod write;

use serde_json::{Map, Value};

use self::plan::{Message, Plan};
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

    /// Writes an object with its envelope. Group, version and kind are those that the tree names.
    pub fn write(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        self.write_as(&Gvk::parse(text("apiVersion"), text("kind")), value)
    }

    /// Writes an object with its envelope as the kind given, whatever the tree names.
    pub fn write_as(&self, gvk: &Gvk, value: &Value) -> Result<Vec<u8>, CodecError> {
        Ok(envelope(gvk, &self.write_bare(gvk, value)?))
    }

    /// Writes the message alone, without envelope: an item of a list.
    pub fn write_bare(&self, gvk: &Gvk, value: &Value) -> Result<Vec<u8>, CodecError> {
        let message = self.of_kind(gvk).ok_or_else(|| CodecError::NotCarried(gvk.kind.clone()))?;
        write::message(&self.plan, message, value)
    }

    /// Writes a list of a kind (`PodList`) from items that are already messages, in order: metadata is field 1, items field 2 of every list.
    pub fn write_list<'a>(
        &self,
        list: &Gvk,
        metadata: &Value,
        items: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, CodecError> {
        let meta = self.write_bare(&Gvk::new("meta.k8s.io", "v1", "ListMeta"), metadata)?;
        let mut raw = Vec::new();
        wire::put_bytes(&mut raw, 1, &meta);
        for item in items {
            wire::put_bytes(&mut raw, 2, item);
        }
        Ok(envelope(list, &raw))
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

/// Puts apiVersion, kind and a message into the stock envelope.
pub fn envelope(gvk: &Gvk, raw: &[u8]) -> Vec<u8> {
    let api_version = gvk.api_version();
    let mut type_meta = Vec::with_capacity(api_version.len() + gvk.kind.len() + 4);
    wire::put_bytes(&mut type_meta, 1, api_version.as_bytes());
    wire::put_bytes(&mut type_meta, 2, gvk.kind.as_bytes());
    let mut out = Vec::with_capacity(raw.len() + type_meta.len() + 24);
    out.extend_from_slice(MAGIC);
    wire::put_bytes(&mut out, 1, &type_meta);
    wire::put_bytes(&mut out, 2, raw);
    wire::put_bytes(&mut out, 3, b"");
    wire::put_bytes(&mut out, 4, b"");
    out
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
