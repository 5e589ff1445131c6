//! Between versions of one kind: HPA v1 and v2, core Event and events.k8s.io Event.
//!
//! Every other kind of Kubernetes 1.36 has one form only; versions of equal form only change their name.
use irori_api::row::Gvk;
use serde_json::Value;

mod autoscaler;
mod event;
#[cfg(test)]
mod tests;

/// Turns a canonical object (with apiVersion and kind) into the form of another version of its kind. Nothing is lost on the way:
/// what the other form cannot say is kept in annotations, as upstream keeps it.
pub fn convert(mut object: Value, to: &Gvk) -> Value {
    let from = crate::tree::text(&object, &["apiVersion"]).to_owned();
    match (from.as_str(), to.group.as_str(), to.version.as_str(), to.kind.as_str()) {
        ("v1", "events.k8s.io", _, "Event") => event::to_new(&mut object),
        ("events.k8s.io/v1", "", _, "Event") => event::to_core(&mut object),
        ("autoscaling/v1", "autoscaling", "v2", "HorizontalPodAutoscaler") => autoscaler::to_v2(&mut object),
        ("autoscaling/v2", "autoscaling", "v1", "HorizontalPodAutoscaler") => autoscaler::to_v1(&mut object),
        _ => {}
    }
    if let Some(o) = object.as_object_mut() {
        o.insert("apiVersion".into(), to.api_version().into());
        o.insert("kind".into(), to.kind.clone().into());
    }
    object
}
