//! What a node offers.
use k8s_openapi::api::core::v1::{Node, Taint, Toleration};

use crate::{
    amounts::Amounts,
    pod::{Labels, NodeTerm, Wants},
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub name: String,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Amounts,
}

impl Facts {
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let offered = node.status.as_ref().and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            unschedulable: spec.unschedulable == Some(true),
            allocatable: offered.map(Amounts::of).unwrap_or_default(),
        }
    }

    /// Whether the pod's selector and required affinity take this node.
    pub fn suits(&self, wants: &Wants) -> bool {
        wants.node_labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
            && wants.node_terms.as_ref().is_none_or(|terms| terms.iter().any(|term| self.matches(term)))
    }

    pub fn matches(&self, term: &NodeTerm) -> bool {
        let some = !term.labels.is_empty() || !term.names.is_empty();
        some && term.labels.iter().all(|requirement| requirement.matches(self.labels.get(&requirement.key).map(String::as_str)))
            && term.names.iter().all(|requirement| requirement.matches(Some(&self.name)))
    }

    /// The first taint that keeps the pod away.
    pub fn untolerated(&self, wants: &Wants) -> Option<&Taint> {
        let keeps_away = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        self.taints.iter().filter(keeps_away).find(|taint| !tolerated(taint, &wants.tolerations))
    }

    /// How many taints would rather not have the pod.
    pub fn reluctance(&self, wants: &Wants) -> usize {
        let prefers_not = self.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
        prefers_not.filter(|taint| !tolerated(taint, &wants.tolerations)).count()
    }
}

/// https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        fn said(text: &Option<String>) -> Option<&str> {
            text.as_deref().filter(|text| !text.is_empty())
        }
        let key = said(&toleration.key);
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
        let value = match toleration.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => key.is_some() && said(&toleration.value) == said(&taint.value),
            Some("Gt") => matches!((number(&taint.value), number(&toleration.value)), (Some(have), Some(bound)) if have > bound),
            Some("Lt") => matches!((number(&taint.value), number(&toleration.value)), (Some(have), Some(bound)) if have < bound),
            Some(_) => false,
        };
        value && said(&toleration.effect).is_none_or(|effect| effect == taint.effect) && key.is_none_or(|key| key == taint.key)
    })
}
