//! What nobody manages: metadata that the server sets, and the fields that a kind resets at a request of a part.
//!
//! Source: the strategies of the kinds (`GetResetFields`) as the API conventions describe them: a main resource does not write
//! status, `/status` writes nothing else; the exceptions are named below.
use std::sync::LazyLock;

use irori_api::row::Row;

use super::set::Set;

/// Paths that never stay in an entry, though what is below `metadata` may.
pub(super) static SERVER: LazyLock<Set> = LazyLock::new(|| {
    Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// What a request of one part of a kind may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// All but these.
    Except(Set),
    /// Nothing but what is at or below these; `*` is any step.
    Only(&'static [&'static [&'static str]]),
}

impl Reset {
    pub fn none() -> Reset {
        Reset::Except(Set::default())
    }

    pub fn filter(&self, mut set: Set) -> Set {
        match self {
            Reset::Except(paths) => {
                set.exclude(paths);
                set
            }
            Reset::Only(paths) => set.include(paths),
        }
    }
}

/// By kind and subresource (empty: the main resource).
pub(super) fn reset(row: &Row, subresource: &str) -> Reset {
    let except = |paths: &[&[&str]]| Reset::Except(Set::of_fields(paths));
    match (row.gvk.group.as_str(), row.gvk.kind.as_str(), subresource) {
        ("certificates.k8s.io", "CertificateSigningRequest", "") => except(&[&["spec"], &["status"]]),
        ("certificates.k8s.io", "CertificateSigningRequest", "status") => except(&[&["spec"], &["status", "conditions"]]),
        ("certificates.k8s.io", "CertificateSigningRequest", "approval") => except(&[&["spec"], &["status", "certificate"]]),
        ("", "Namespace", "finalize") => except(&[&["status"]]),
        ("", "Pod", "ephemeralcontainers") => Reset::Only(&[&["spec", "ephemeralContainers"]]),
        ("", "Pod", "resize") => Reset::Only(&[
            &["spec", "containers", "*", "resources"],
            &["spec", "containers", "*", "resizePolicy"],
            &["spec", "initContainers", "*", "resources"],
            &["spec", "initContainers", "*", "resizePolicy"],
        ]),
        ("", "Pod", "status") => except(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]),
        ("apps", "Deployment", "status") => except(&[&["spec"], &["metadata", "labels"]]),
        ("storage.k8s.io", "VolumeAttachment", "status") => except(&[&["metadata"], &["spec"]]),
        ("apiextensions.k8s.io", "CustomResourceDefinition", "status") => except(&[&["metadata"], &["spec"]]),
        (_, _, "") if row.subresources.contains_key("status") => except(&[&["status"]]),
        (_, _, "status") => except(&[&["spec"]]),
        _ => Reset::none(),
    }
}
