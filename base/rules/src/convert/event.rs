//! The two Events: the same content under other names.
use serde_json::Value;

/// Core name, events.k8s.io name.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Fields that the core form always writes, and the new one only when set.
const CORE_ALWAYS: &[&str] = &["reportingComponent", "reportingInstance"];

pub fn to_new(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else { return };
    for field in CORE_ALWAYS {
        if fields.get(*field).is_some_and(|v| v == "") {
            fields.remove(*field);
        }
    }
    for (core, new) in NAMES {
        if let Some(value) = fields.remove(*core) {
            fields.insert((*new).to_owned(), value);
        }
    }
    for time in ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"] {
        fields.entry(time).or_insert(Value::Null);
    }
    for object in ["deprecatedSource", "regarding"] {
        fields.entry(object).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
}

pub fn to_core(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else { return };
    for (core, new) in NAMES {
        if let Some(value) = fields.remove(*new) {
            fields.insert((*core).to_owned(), value);
        }
    }
    for time in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        fields.entry(time).or_insert(Value::Null);
    }
    for field in CORE_ALWAYS {
        fields.entry(*field).or_insert_with(|| "".into());
    }
    for object in ["source", "involvedObject"] {
        fields.entry(object).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
}
