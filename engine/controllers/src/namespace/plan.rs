//! How far the emptying of a namespace has come, in words
//! (https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/).
use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus},
    jiff::Timestamp,
};

use crate::pods::stamp;

pub const FINALIZER: &str = "kubernetes";

/// What one round of deletions found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub discovery_failure: Option<String>,
    pub content_failure: Option<String>,
    /// Objects left, by `<resource>.<group>`.
    pub remaining: BTreeMap<String, usize>,
    /// Objects left that wait for a finalizer, by finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

impl Findings {
    pub fn is_empty(&self) -> bool {
        self.remaining.is_empty() && self.discovery_failure.is_none() && self.content_failure.is_none()
    }
}

/// Whether there is anything to do: the namespace is being deleted and our finalizer holds it.
pub fn is_to_be_emptied(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    namespace.metadata.deletion_timestamp.is_some() && finalizers.into_iter().flatten().any(|name| name == FINALIZER)
}

/// The namespace without our hold on it.
pub fn finalized(namespace: &Namespace) -> Namespace {
    let mut namespace = namespace.clone();
    if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|name| name != FINALIZER);
    }
    namespace
}

/// The status after a round; `None`: the stored one says the same.
pub fn status(namespace: &Namespace, findings: &Findings, now: Timestamp) -> Option<NamespaceStatus> {
    let list = |counts: &BTreeMap<String, usize>, what: &str| {
        let parts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} has {count} resource instances{what}")).collect();
        parts.join(", ")
    };
    let in_finalizers: Vec<_> =
        findings.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    let said = [
        (
            "NamespaceDeletionDiscoveryFailure",
            findings
                .discovery_failure
                .clone()
                .map(|text| ("DiscoveryFailed", format!("Discovery failed for some groups, {text}"))),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            findings
                .content_failure
                .clone()
                .map(|text| ("ContentDeletionFailed", format!("Failed to delete all resource types, {text}"))),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            (!findings.remaining.is_empty())
                .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {}", list(&findings.remaining, "")))),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            (!findings.finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {}", in_finalizers.join(", ")),
                )
            }),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ];
    let stored = namespace.status.clone().unwrap_or_default();
    let mut conditions = stored.conditions.clone().unwrap_or_default();
    for (r#type, bad, (good_reason, good_message)) in said {
        let (status, reason, message) = match bad {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", good_reason, good_message.to_owned()),
        };
        let old = conditions.iter().position(|condition| condition.type_ == r#type);
        let since =
            old.map(|at| conditions.remove(at)).filter(|old| old.status == status).and_then(|old| old.last_transition_time);
        conditions.push(NamespaceCondition {
            type_: r#type.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(since.unwrap_or_else(|| stamp(now))),
        });
    }
    let status = NamespaceStatus { conditions: Some(conditions), phase: Some("Terminating".to_owned()) };
    (status != stored).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builders::at;
    use serde_json::json;

    fn namespace() -> Namespace {
        serde_json::from_value(json!({
            "metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes", "example.org/own"]},
        }))
        .unwrap()
    }

    #[test]
    fn only_a_namespace_on_its_way_out_that_we_hold_is_emptied() {
        assert!(is_to_be_emptied(&namespace()));
        assert!(!is_to_be_emptied(&finalized(&namespace())));
        assert_eq!(finalized(&namespace()).spec.unwrap().finalizers.unwrap(), ["example.org/own"]);
        let mut living = namespace();
        living.metadata.deletion_timestamp = None;
        assert!(!is_to_be_emptied(&living));
    }

    #[test]
    fn what_holds_a_namespace_back_is_said_in_its_conditions() {
        let findings = Findings {
            remaining: BTreeMap::from([("pods.".to_owned(), 2)]),
            finalizers: BTreeMap::from([("example.org/x".to_owned(), 1)]),
            ..Default::default()
        };
        let mut namespace = namespace();
        let status_now = status(&namespace, &findings, at(1)).unwrap();
        let text = |status: &NamespaceStatus, r#type: &str| {
            let condition = status.conditions.iter().flatten().find(|c| c.type_ == r#type).unwrap();
            (condition.status.clone(), condition.message.clone().unwrap())
        };
        assert_eq!(
            text(&status_now, "NamespaceContentRemaining"),
            ("True".to_owned(), "Some resources are remaining: pods. has 2 resource instances".to_owned())
        );
        assert_eq!(text(&status_now, "NamespaceFinalizersRemaining").0, "True");
        assert_eq!(text(&status_now, "NamespaceDeletionContentFailure").0, "False");
        namespace.status = Some(status_now);
        assert_eq!(status(&namespace, &findings, at(2)), None, "the same again is not written");
        let later = status(&namespace, &Findings::default(), at(3)).unwrap();
        assert_eq!(text(&later, "NamespaceContentRemaining").0, "False");
    }
}
