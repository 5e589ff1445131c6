//! Defaults of a kind: those of the schema, then those that are code.
use irori_api::{row::{Row, Tables}, schema::TypeRef};
use serde_json::Value;

/// Fills in what the kind's defaults say. Safe to repeat.
pub fn default_object(tables: &Tables, row: &Row, object: &mut Value) {
    default_type(tables, &row.of, object);
}

/// Fills in the defaults of the schema alone, for a type without a row of its own.
pub fn default_type(_tables: &Tables, _of: &TypeRef, _object: &mut Value) {}
