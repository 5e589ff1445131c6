//! The scale subresource: one small object for everything that has replicas.
use irori_api::row::Row;
use serde_json::Value;

/// The autoscaling/v1 Scale of an object; `None` if the kind has none.
pub fn read_scale(_row: &Row, _object: &Value) -> Option<Value> {
    None
}

/// Sets the replicas of an object from a decoded Scale.
pub fn write_scale(_row: &Row, _object: &mut Value, _scale: &Value) {}
