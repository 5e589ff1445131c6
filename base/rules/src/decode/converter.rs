//! What is said where a tree, not a text, is taken for a kind: the outcome of a strategic merge patch, or of an apply. A stock server
//! takes trees by other means than JSON, and they have words of their own.
use irori_api::schema::{Shape, StringFormat, Type};
use serde_json::Value;

use super::gotype::json_kind;

/// What Go calls a value of a tree.
fn tree_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// Why a value is not of a type; `wanted` is its name in Go. `None`: as JSON says it.
pub fn mismatch(of: &Type, value: &Value, wanted: &str) -> Option<String> {
    let kind = tree_kind(value);
    Some(match &of.shape {
        Shape::Object(_) => format!("cannot restore struct from: {kind}"),
        Shape::Map { .. } => format!("cannot restore map from {kind}"),
        Shape::List(_) | Shape::String { format: Some(StringFormat::Byte), .. } => format!("cannot restore slice from {kind}"),
        // These read JSON themselves.
        Shape::String { format: Some(_), .. } => {
            format!("json: cannot unmarshal {} into Go value of type string", json_kind(value))
        }
        Shape::IntOrString => match value {
            Value::Number(n) => format!("json: cannot unmarshal number {n} into Go value of type int32"),
            _ => format!("json: cannot unmarshal {} into Go value of type int32", json_kind(value)),
        },
        Shape::String { .. } if kind == "int64" => format!("cannot convert int64 to {wanted}"),
        Shape::String { .. } => "unrecognized type: string".to_owned(),
        Shape::Integer { .. } if kind == "float64" => format!("cannot convert float64 to {wanted}"),
        Shape::Integer { .. } if kind == "int64" => return None,
        Shape::Integer { .. } => format!("unrecognized type: {wanted}"),
        Shape::Boolean => "unrecognized type: bool".to_owned(),
        Shape::Number => "unrecognized type: float64".to_owned(),
        Shape::Quantity | Shape::Any => return None,
    })
}
