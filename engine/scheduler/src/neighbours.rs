//! What other pods mean for where a pod may go: affinity, anti-affinity, even spreading. Worked out once per decision, and only for pods
//! that need it or that others keep away.
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    cluster::Cluster,
    node::Facts,
    pod::{PodTerm, Spread, Wants, selects},
};

/// Values by topology key.
type Domains<T> = HashMap<String, HashMap<String, T>>;

/// Where pods lie that matter to one pod.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// Domains that other pods keep it out of.
    guarded: Domains<()>,
    /// Domains that it keeps itself out of.
    avoided: Domains<()>,
    /// Domains that have what it wants to be near to, per term.
    near: Vec<HashSet<String>>,
    /// There is nothing to be near to, and the pod itself would be.
    first_of_its_kind: bool,
    /// Per spread constraint: pods by value, and the fewest of any domain.
    spread: Vec<(HashMap<String, i64>, i64)>,
    /// Weights by domain.
    preferred: Domains<i64>,
}

/// Why a node's neighbourhood is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    Guarded,
    AntiAffinity,
    Affinity,
    Spread,
    SpreadLabelMissing,
}

impl Neighbours {
    pub fn of(wants: &Wants, cluster: &Cluster) -> Self {
        let mut neighbours = Self::default();
        for (guard, node) in cluster.guarded() {
            for term in guard.anti_affinity.iter().filter(|term| term.matches(wants, &cluster.namespaces)) {
                mark(&mut neighbours.guarded, node, &term.topology, |_| ());
            }
        }
        for term in &wants.anti_affinity {
            for (_, node) in matching(cluster, term) {
                mark(&mut neighbours.avoided, node, &term.topology, |_| ());
            }
        }
        neighbours.look_for_company(wants, cluster);
        for (weight, term) in &wants.preferred_pods {
            for (_, node) in matching(cluster, term) {
                mark(&mut neighbours.preferred, node, &term.topology, |sum| *sum += i64::from(*weight));
            }
        }
        neighbours.spread = wants.spread.iter().map(|spread| counted(wants, spread, cluster)).collect();
        neighbours
    }

    /// A pod is company only if it matches all terms at once.
    fn look_for_company(&mut self, wants: &Wants, cluster: &Cluster) {
        let Some(first) = wants.affinity.first() else { return };
        let suits = |other: &Wants| wants.affinity.iter().all(|term| term.matches(other, &cluster.namespaces));
        self.near = vec![HashSet::new(); wants.affinity.len()];
        let mut any = false;
        for (_, node) in matching(cluster, first).filter(|(other, _)| suits(other)) {
            for (term, values) in wants.affinity.iter().zip(&mut self.near) {
                if let Some(value) = node.and_then(|node| node.labels.get(&term.topology)) {
                    values.insert(value.clone());
                    any = true;
                }
            }
        }
        self.first_of_its_kind = !any && suits(wants);
    }

    pub fn objection(&self, wants: &Wants, node: &Facts) -> Option<Objection> {
        for (spread, (counts, fewest)) in wants.spread.iter().zip(&self.spread).filter(|(spread, _)| spread.required) {
            let Some(value) = node.labels.get(&spread.topology) else { return Some(Objection::SpreadLabelMissing) };
            let own = i64::from(selects(&spread.selector, &wants.labels));
            if counts.get(value).copied().unwrap_or(0) + own - fewest > spread.skew_max {
                return Some(Objection::Spread);
            }
        }
        for (term, values) in wants.affinity.iter().zip(&self.near) {
            let value = node.labels.get(&term.topology);
            if !value.is_some_and(|value| self.first_of_its_kind || values.contains(value)) {
                return Some(Objection::Affinity);
            }
        }
        let inside = |domains: &Domains<()>| {
            domains.iter().any(|(key, values)| node.labels.get(key).is_some_and(|value| values.contains_key(value)))
        };
        if inside(&self.avoided) {
            return Some(Objection::AntiAffinity);
        }
        inside(&self.guarded).then_some(Objection::Guarded)
    }

    /// How much the pod would like this node's neighbours.
    pub fn attraction(&self, node: &Facts) -> i64 {
        let weights = self.preferred.iter().filter_map(|(key, values)| values.get(node.labels.get(key)?));
        weights.sum()
    }

    /// Pods in this node's domains that the pod would rather be away from.
    pub fn crowd(&self, wants: &Wants, node: &Facts) -> i64 {
        let counts = wants.spread.iter().zip(&self.spread);
        counts.filter_map(|(spread, (counts, _))| counts.get(node.labels.get(&spread.topology)?)).sum()
    }
}

fn mark<T: Default>(domains: &mut Domains<T>, node: Option<&Facts>, topology: &str, change: impl FnOnce(&mut T)) {
    if let Some(value) = node.and_then(|node| node.labels.get(topology)) {
        change(domains.entry(topology.to_owned()).or_default().entry(value.clone()).or_default());
    }
}

fn matching<'a>(cluster: &'a Cluster, term: &'a PodTerm) -> impl Iterator<Item = (&'a Wants, Option<&'a Facts>)> {
    let selected =
        cluster.namespaces.iter().filter(|(_, labels)| selects(&term.namespace_selector, labels)).map(|(name, _)| name);
    let namespaces: BTreeSet<&String> = term.namespaces.iter().chain(selected).collect();
    let pods = namespaces.into_iter().flat_map(|name| cluster.in_namespace(name));
    pods.filter(|(other, _)| !other.terminating && selects(&term.selector, &other.labels))
}

fn counted(wants: &Wants, spread: &Spread, cluster: &Cluster) -> (HashMap<String, i64>, i64) {
    let keys: Vec<&String> = wants.spread.iter().filter(|other| other.required).map(|other| &other.topology).collect();
    let eligible = |node: &Facts| {
        keys.iter().all(|key| node.labels.contains_key(*key))
            && (!spread.honors_affinity || node.suits(wants))
            && (!spread.honors_taints || node.untolerated(wants).is_none())
    };
    let mut counts: HashMap<String, i64> = HashMap::new();
    for (_, node) in cluster.nodes().filter(|(_, node)| eligible(node)) {
        if let Some(value) = node.labels.get(&spread.topology) {
            counts.entry(value.clone()).or_default();
        }
    }
    let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
    for (other, node) in cluster.in_namespace(&wants.key.namespace) {
        let Some(node) = node.filter(|_| !other.terminating && selects(&spread.selector, &other.labels)) else { continue };
        if !*seen.entry(&node.name).or_insert_with(|| eligible(node)) {
            continue;
        }
        if let Some(count) = node.labels.get(&spread.topology).and_then(|value| counts.get_mut(value)) {
            *count += 1;
        }
    }
    let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
    let fewest = if domains < spread.domains_min { 0 } else { counts.values().copied().min().unwrap_or(0) };
    (counts, fewest)
}
