//! Validation: which field is wrong and why.
use irori_api::{
    field::ErrorList,
    row::{Row, Tables},
};
use serde_json::Value;

use crate::prepare::Part;

/// What is wrong with a new object; empty if nothing.
pub fn validate_create(_tables: &Tables, _row: &Row, _object: &Value) -> ErrorList {
    ErrorList::default()
}

/// What is wrong with a change; empty if nothing.
pub fn validate_update(_tables: &Tables, _row: &Row, _new: &Value, _old: &Value, _part: Part<'_>) -> ErrorList {
    ErrorList::default()
}
