//! Field selectors: which a kind supports, and their values.
use irori_api::row::Row;
use serde_json::Value;

/// The fields of a kind that a field selector may name.
pub fn selectable_fields(_row: &Row) -> &'static [&'static str] {
    &["metadata.name", "metadata.namespace"]
}

/// The value of a selectable field; `None` if the kind does not support the field.
pub fn field_value(_row: &Row, _object: &Value, _field: &str) -> Option<String> {
    None
}
