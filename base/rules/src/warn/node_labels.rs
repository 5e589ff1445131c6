//! Labels of nodes that have newer names.
//!
//! Source: https://kubernetes.io/docs/reference/labels-annotations-taints/.
use irori_api::{field::FieldPath, names};
use serde_json::Value;

use crate::tree::{items, text};

/// Old name, since when, new name.
const OLD: &[(&str, &str, &str)] = &[
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
];

/// What to say of a label that has a newer name.
pub fn replaced(label: &str) -> Option<String> {
    let (_, since, new) = OLD.iter().find(|(old, ..)| *old == label)?;
    Some(format!("deprecated since {since}; use {new:?} instead"))
}

/// The expressions of a term that name such labels.
pub fn term(term: &Value, at: &FieldPath, told: &mut Vec<String>) {
    expressions(term, "matchExpressions", at, told);
}

/// The expressions of a term that name what no label can be.
pub fn values(term: &Value, at: &FieldPath, told: &mut Vec<String>) {
    for (at, expression) in super::each(term, &["matchExpressions"], at) {
        for (i, value) in items(expression, &["values"]).iter().filter_map(Value::as_str).enumerate() {
            let wrong = names::label_value(value).into_iter();
            told.extend(wrong.map(|why| format!("{}: {value} is invalid, {why}", at.child("values").index(i))));
        }
    }
}

pub fn expressions(of: &Value, field: &str, at: &FieldPath, told: &mut Vec<String>) {
    for (at, expression) in super::each(of, &[field], at) {
        let key = text(expression, &["key"]);
        if let Some(why) = replaced(key) {
            told.push(format!("{}: {key} is {why}", at.child("key")));
        }
    }
}
