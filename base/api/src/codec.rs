//! Bytes to trees and back: JSON, YAML and protobuf.
//!
//! A tree is a `serde_json::Value` in the JSON form of the API. Reading is bounded by `Limits`, whatever the bytes claim.
//! Flow: bytes -> `json::read` | `yaml::read` | `protobuf::Protobuf::read` -> tree (-> `irori-rules`).
pub mod json;
pub mod protobuf;
pub mod yaml;

use serde_json::Value;

/// How large a tree may become. The size of the body is checked before, by who reads it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Levels of objects and lists within each other.
    pub depth_max: usize,
    /// What values cost in all: each 1, an object or list 4 more. One body of 3 MiB could otherwise become hundreds of MB.
    pub cost_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth_max: 256, cost_max: 1_500_000 }
    }
}

/// How many lists and objects lie within each other at the deepest place.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Counts down what a tree may still cost.
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Budget {
        Budget(limits.cost_max)
    }

    pub(crate) fn take(&mut self, cost: usize) -> Result<(), CodecError> {
        self.0 = self.0.checked_sub(cost).ok_or(CodecError::TooMany)?;
        Ok(())
    }
}

const SCALAR_COST: usize = 1;
const TREE_COST: usize = 5;

/// A body that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub value: Value,
    /// Paths of keys that came twice (the last one counts): `spec.a`. A strict reader says `duplicate field "spec.a"`.
    pub duplicates: Vec<String>,
}

/// Duplicates named at most; more are counted as one body of mistakes.
const DUPLICATES_MAX: usize = 100;

/// Why bytes are no tree, or a tree no bytes. All of them are the sender's mistake, but `NotCarried`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// In the words of Go's decoder.
    #[error("{0}")]
    Syntax(String),
    #[error("exceeded max depth of {0}")]
    TooDeep(usize),
    #[error("too many values in one body")]
    TooMany,
    #[error("{0}")]
    Protobuf(&'static str),
    /// A value does not fit its protobuf field.
    #[error("cannot encode {field} as protobuf: {why}")]
    Misfit { field: String, why: &'static str },
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind { api_version: String, kind: String },
    /// The kind has no protobuf form (custom kinds, Table): the answer is 406.
    #[error("{0} has no protobuf form")]
    NotCarried(String),
}
