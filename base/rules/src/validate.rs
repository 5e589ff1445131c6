//! Validation: which field is wrong and why.
use irori_api::row::{Row, Tables};
use serde_json::Value;

use crate::prepare::Part;

/// Why a field is wrong; Display is upstream's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// `spec.containers[0].name`.
    pub field: String,
    pub kind: FieldErrorKind,
    /// The whole message of the cause: `Required value: name or generateName is required`.
    pub message: String,
}

/// What is wrong with a new object; empty if nothing.
pub fn validate_create(_tables: &Tables, _row: &Row, _object: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// What is wrong with a change; empty if nothing.
pub fn validate_update(_tables: &Tables, _row: &Row, _new: &Value, _old: &Value, _part: Part<'_>) -> Vec<FieldError> {
    Vec::new()
}
