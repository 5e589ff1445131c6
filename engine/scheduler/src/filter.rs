//! Whether a node can take a pod, and in which words it cannot.
use std::fmt;

use k8s_openapi::api::core::v1::Taint;

use crate::{
    cluster::Place,
    neighbours::{Neighbours, Objection},
    node::{Facts, tolerated},
    pod::Wants,
};

/// Why a node cannot take a pod; displayed in the words of a stock scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Unschedulable,
    Taint { key: String, value: String },
    Affinity,
    Ports,
    TooManyPods,
    Insufficient(String),
    Guarded,
    PodAntiAffinity,
    PodAffinity,
    Spread,
    SpreadLabelMissing,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable => f.write_str("node(s) were unschedulable"),
            Self::Taint { key, value } => write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
            Self::Affinity => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Self::Ports => f.write_str("node(s) didn't have free ports for the requested pod ports"),
            Self::TooManyPods => f.write_str("Too many pods"),
            Self::Insufficient(what) => write!(f, "Insufficient {what}"),
            Self::Guarded => f.write_str("node(s) didn't satisfy existing pods anti-affinity rules"),
            Self::PodAntiAffinity => f.write_str("node(s) didn't match pod anti-affinity rules"),
            Self::PodAffinity => f.write_str("node(s) didn't match pod affinity rules"),
            Self::Spread => f.write_str("node(s) didn't match pod topology spread constraints"),
            Self::SpreadLabelMissing => {
                f.write_str("node(s) didn't match pod topology spread constraints (missing required label)")
            }
        }
    }
}

impl Reason {
    /// Which changes may help.
    pub fn helped_by(&self) -> crate::queue::Wake {
        use crate::queue::Wake;
        match self {
            Self::Unschedulable | Self::Taint { .. } | Self::Affinity | Self::SpreadLabelMissing => Wake::NODES,
            Self::Ports | Self::TooManyPods | Self::Insufficient(_) | Self::Guarded | Self::PodAntiAffinity => {
                Wake::NODES | Wake::FREED
            }
            Self::PodAffinity | Self::Spread => Wake::NODES | Wake::FREED | Wake::PODS,
        }
    }
}

/// Appends why the node cannot take the pod; nothing where it can.
pub fn check(wants: &Wants, place: &Place, node: &Facts, neighbours: Option<&Neighbours>, reasons: &mut Vec<Reason>) {
    if node.unschedulable && !tolerated(&unschedulable_taint(), &wants.tolerations) {
        return reasons.push(Reason::Unschedulable);
    }
    if let Some(taint) = node.untolerated(wants) {
        let value = taint.value.clone().unwrap_or_default();
        return reasons.push(Reason::Taint { key: taint.key.clone(), value });
    }
    if !node.suits(wants) {
        return reasons.push(Reason::Affinity);
    }
    if wants.ports.iter().any(|port| place.ports.iter().any(|taken| taken.collides(port))) {
        return reasons.push(Reason::Ports);
    }
    fits(wants, place, node, reasons);
    if !reasons.is_empty() {
        return;
    }
    reasons.extend(neighbours.and_then(|neighbours| neighbours.objection(wants, node)).map(|objection| match objection {
        Objection::Guarded => Reason::Guarded,
        Objection::AntiAffinity => Reason::PodAntiAffinity,
        Objection::Affinity => Reason::PodAffinity,
        Objection::Spread => Reason::Spread,
        Objection::SpreadLabelMissing => Reason::SpreadLabelMissing,
    }));
}

fn unschedulable_taint() -> Taint {
    Taint { key: "node.kubernetes.io/unschedulable".to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() }
}

fn fits(wants: &Wants, place: &Place, node: &Facts, reasons: &mut Vec<Reason>) {
    let (asked, used, has) = (&wants.amounts, &place.used, &node.allocatable);
    if used.pods + 1 > has.pods {
        reasons.push(Reason::TooManyPods);
    }
    for (name, asked, used, has) in [
        ("cpu", asked.milli_cpu, used.milli_cpu, has.milli_cpu),
        ("memory", asked.memory, used.memory, has.memory),
        ("ephemeral-storage", asked.storage, used.storage, has.storage),
    ] {
        if asked > 0 && asked > has.saturating_sub(used) {
            reasons.push(Reason::Insufficient(name.to_owned()));
        }
    }
    for (name, amount) in &asked.extended {
        let of = |amounts: &crate::amounts::Amounts| amounts.extended.get(name).copied().unwrap_or(0);
        if *amount > 0 && *amount > of(has).saturating_sub(of(used)) {
            reasons.push(Reason::Insufficient(name.clone()));
        }
    }
}
