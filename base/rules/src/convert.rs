//! Between versions of one kind: HPA v1 and v2, core Event and events.k8s.io Event.
use irori_api::row::Gvk;
use serde_json::Value;

/// Turns an object (with apiVersion and kind) into the form of another version of its kind. Versions of equal form only change their name.
pub fn convert(mut object: Value, to: &Gvk) -> Value {
    if let Some(o) = object.as_object_mut() {
        o.insert("apiVersion".into(), to.api_version().into());
        o.insert("kind".into(), to.kind.clone().into());
    }
    object
}
