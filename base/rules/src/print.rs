//! Server-side tables: what `kubectl get` shows.
use irori_api::row::{Column, Row};
use serde_json::Value;

/// The columns of a kind; Name and Created At for those without.
pub fn table_columns(row: &Row) -> Vec<Column> {
    row.columns.clone()
}

/// The cells of one object, in the order of the columns. `now_s`: seconds since 1970.
pub fn table_cells(_row: &Row, _object: &Value, _now_s: i64) -> Vec<Value> {
    Vec::new()
}
