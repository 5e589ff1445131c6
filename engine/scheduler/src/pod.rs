//! What a pod needs of a node, worked out once.
use std::collections::{BTreeMap, BTreeSet};

use irori_api::selector::{LabelSelector, Operator, Requirement};
use irori_client::Key;
use k8s_openapi::{
    api::core::v1::{
        Container, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, ResourceRequirements, Toleration,
        TopologySpreadConstraint,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector as Selector,
};

use crate::amounts::Amounts;

/// For scoring, a container that asks for nothing counts as this much.
const CPU_UNSAID: i64 = 100;
const MEMORY_UNSAID: i64 = 200 << 20;

pub type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wants {
    pub key: Key,
    pub uid: String,
    pub labels: Labels,
    pub priority: i32,
    pub preempts: bool,
    pub amounts: Amounts,
    /// Thousandths of cpu and bytes of memory, for scoring.
    pub weight: (i64, i64),
    pub ports: Vec<HostPort>,
    pub tolerations: Vec<Toleration>,
    pub node_labels: Labels,
    /// Any of these has to match; `None`: anything does.
    pub node_terms: Option<Vec<NodeTerm>>,
    pub preferred_nodes: Vec<(i32, NodeTerm)>,
    pub affinity: Vec<PodTerm>,
    pub anti_affinity: Vec<PodTerm>,
    /// Positive weights attract, negative repel.
    pub preferred_pods: Vec<(i32, PodTerm)>,
    pub spread: Vec<Spread>,
    /// The uid of the controller, by which replicas are told.
    pub controller: Option<String>,
    pub terminating: bool,
    /// A requirement that cannot be met here, whatever the nodes.
    pub refusal: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    pub fn collides(&self, other: &Self) -> bool {
        let any = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
        self.port == other.port && self.protocol == other.protocol && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// Requirements on a node's labels and name; all have to hold, and none at all matches nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTerm {
    pub labels: Vec<Requirement>,
    pub names: Vec<Requirement>,
}

/// Pods that a pod wants to be near to or far from.
#[derive(Clone, Debug, PartialEq)]
pub struct PodTerm {
    pub namespaces: BTreeSet<String>,
    pub namespace_selector: LabelSelector,
    pub selector: LabelSelector,
    pub topology: String,
}

/// How evenly pods have to lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    pub topology: String,
    pub selector: LabelSelector,
    pub skew_max: i64,
    pub domains_min: i64,
    /// Otherwise a preference.
    pub required: bool,
    pub honors_affinity: bool,
    pub honors_taints: bool,
}

pub fn is_finished(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

impl Wants {
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let meta = &pod.metadata;
        let mut wants = Self {
            key: Key::of(pod),
            uid: meta.uid.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            priority: spec.priority.unwrap_or(0),
            preempts: spec.preemption_policy.as_deref() != Some("Never"),
            amounts: requested(&spec),
            weight: weight(&spec),
            ports: host_ports(&spec),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            node_labels: spec.node_selector.clone().unwrap_or_default(),
            controller: meta.owner_references.iter().flatten().find(|o| o.controller == Some(true)).map(|o| o.uid.clone()),
            terminating: meta.deletion_timestamp.is_some(),
            refusal: unsupported(&spec),
            ..Self::default()
        };
        if let Err(reason) = wants.take_affinity(&spec) {
            wants.refusal.get_or_insert(format!("pod has a selector that cannot be understood: {reason}"));
        }
        wants
    }

    fn take_affinity(&mut self, spec: &PodSpec) -> Result<(), String> {
        let affinity = spec.affinity.clone().unwrap_or_default();
        let node = affinity.node_affinity.unwrap_or_default();
        if let Some(required) = node.required_during_scheduling_ignored_during_execution {
            self.node_terms = Some(required.node_selector_terms.iter().map(node_term).collect::<Result<_, _>>()?);
        }
        for preferred in node.preferred_during_scheduling_ignored_during_execution.into_iter().flatten() {
            self.preferred_nodes.push((preferred.weight, node_term(&preferred.preference)?));
        }
        let near = affinity.pod_affinity.unwrap_or_default();
        let far = affinity.pod_anti_affinity.unwrap_or_default();
        let terms = |wants: &Self, list: Option<Vec<PodAffinityTerm>>| -> Result<Vec<PodTerm>, String> {
            list.into_iter().flatten().map(|term| wants.pod_term(&term)).collect()
        };
        self.affinity = terms(self, near.required_during_scheduling_ignored_during_execution)?;
        self.anti_affinity = terms(self, far.required_during_scheduling_ignored_during_execution)?;
        for (sign, list) in [
            (1, near.preferred_during_scheduling_ignored_during_execution),
            (-1, far.preferred_during_scheduling_ignored_during_execution),
        ] {
            for preferred in list.into_iter().flatten() {
                let term = self.pod_term(&preferred.pod_affinity_term)?;
                self.preferred_pods.push((sign * preferred.weight, term));
            }
        }
        for constraint in spec.topology_spread_constraints.iter().flatten() {
            let spread = self.spread_of(constraint)?;
            self.spread.push(spread);
        }
        Ok(())
    }

    fn pod_term(&self, term: &PodAffinityTerm) -> Result<PodTerm, String> {
        let mut selector = compiled(term.label_selector.as_ref())?;
        self.require_own(&mut selector, term.match_label_keys.as_deref(), Operator::In);
        self.require_own(&mut selector, term.mismatch_label_keys.as_deref(), Operator::NotIn);
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(self.key.namespace.clone());
        }
        let namespace_selector = compiled(term.namespace_selector.as_ref())?;
        Ok(PodTerm { namespaces, namespace_selector, selector, topology: term.topology_key.clone() })
    }

    fn spread_of(&self, constraint: &TopologySpreadConstraint) -> Result<Spread, String> {
        let mut selector = compiled(constraint.label_selector.as_ref())?;
        self.require_own(&mut selector, constraint.match_label_keys.as_deref(), Operator::In);
        Ok(Spread {
            topology: constraint.topology_key.clone(),
            selector,
            skew_max: i64::from(constraint.max_skew),
            domains_min: i64::from(constraint.min_domains.unwrap_or(1)),
            required: constraint.when_unsatisfiable != "ScheduleAnyway",
            honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        })
    }

    /// Asks of others the values that the pod itself has under `keys`.
    fn require_own(&self, selector: &mut LabelSelector, keys: Option<&[String]>, operator: Operator) {
        for key in keys.into_iter().flatten() {
            if let Some(value) = self.labels.get(key) {
                let values = BTreeSet::from([value.clone()]);
                selector.requirements.push(Requirement { key: key.clone(), operator, values });
            }
        }
    }
}

impl PodTerm {
    pub fn matches(&self, other: &Wants, namespaces: &BTreeMap<String, Labels>) -> bool {
        let here = self.namespaces.contains(&other.key.namespace)
            || namespaces.get(&other.key.namespace).is_some_and(|labels| selects(&self.namespace_selector, labels));
        here && selects(&self.selector, &other.labels)
    }
}

pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.matches(|key| labels.get(key).map(String::as_str))
}

fn compiled(selector: Option<&Selector>) -> Result<LabelSelector, String> {
    let value = serde_json::to_value(selector).map_err(|source| source.to_string())?;
    LabelSelector::from_object(&value)
}

fn node_term(term: &NodeSelectorTerm) -> Result<NodeTerm, String> {
    let all = |list: &Option<Vec<NodeSelectorRequirement>>| list.iter().flatten().map(requirement).collect::<Result<_, _>>();
    if let Some(field) = term.match_fields.iter().flatten().find(|field| field.key != "metadata.name") {
        return Err(format!("node field `{}`, only metadata.name is known", field.key));
    }
    Ok(NodeTerm { labels: all(&term.match_expressions)?, names: all(&term.match_fields)? })
}

fn requirement(of: &NodeSelectorRequirement) -> Result<Requirement, String> {
    let operator = match of.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        other => return Err(format!("node selector operator `{other}`")),
    };
    Ok(Requirement { key: of.key.clone(), operator, values: of.values.iter().flatten().cloned().collect() })
}

/// Containers and sidecars together, or the hungriest moment of the start, and the overhead
/// (https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers).
fn requested(spec: &PodSpec) -> Amounts {
    let mut running = Amounts::default();
    spec.containers.iter().for_each(|container| running.add(&of_container(container)));
    let (mut sidecars, mut starting) = (Amounts::default(), Amounts::default());
    for container in spec.init_containers.iter().flatten() {
        let mut moment = sidecars.clone();
        moment.add(&of_container(container));
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = moment.clone();
        }
        starting.cover(&moment);
    }
    running.add(&sidecars);
    running.cover(&starting);
    let whole = spec.resources.as_ref().and_then(asked);
    if let Some(whole) = whole {
        // What is said of the whole pod replaces the sum of its parts.
        let said = |name: &str| {
            spec.resources.as_ref().and_then(|r| r.requests.as_ref().or(r.limits.as_ref())).is_some_and(|l| l.contains_key(name))
        };
        if said("cpu") {
            running.milli_cpu = whole.milli_cpu;
        }
        if said("memory") {
            running.memory = whole.memory;
        }
        running.extended.extend(whole.extended);
    }
    if let Some(overhead) = &spec.overhead {
        running.add(&Amounts::of(overhead));
    }
    running.pods = 1;
    running
}

fn of_container(container: &Container) -> Amounts {
    container.resources.as_ref().and_then(asked).unwrap_or_default()
}

/// Requests; a limit alone is also a request.
fn asked(resources: &ResourceRequirements) -> Option<Amounts> {
    let mut list = resources.limits.clone().unwrap_or_default();
    list.extend(resources.requests.clone().unwrap_or_default());
    let mut amounts = Amounts::of(&list);
    amounts.pods = 0;
    Some(amounts)
}

fn weight(spec: &PodSpec) -> (i64, i64) {
    let unsaid = |amount: i64, otherwise: i64| if amount == 0 { otherwise } else { amount };
    let each = spec.containers.iter().map(of_container);
    let (cpu, memory) = each.fold((0_i64, 0_i64), |(cpu, memory), amounts| {
        (cpu.saturating_add(unsaid(amounts.milli_cpu, CPU_UNSAID)), memory.saturating_add(unsaid(amounts.memory, MEMORY_UNSAID)))
    });
    let real = requested(spec);
    (cpu.max(real.milli_cpu), memory.max(real.memory))
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            Some(HostPort {
                ip: port.host_ip.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            })
        })
        .collect()
}

/// What this scheduler cannot promise yet.
fn unsupported(spec: &PodSpec) -> Option<String> {
    for volume in spec.volumes.iter().flatten() {
        if let Some(claim) = &volume.persistent_volume_claim {
            return Some(format!("pod uses persistentvolumeclaim {:?}, and volumes are not bound yet", claim.claim_name));
        }
        if volume.ephemeral.is_some() {
            return Some(format!("pod has ephemeral volume {:?}, and volumes are not bound yet", volume.name));
        }
    }
    let claims = spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty());
    claims.then(|| "pod has resource claims, which are not allocated yet".to_owned())
}

#[cfg(test)]
mod tests;
