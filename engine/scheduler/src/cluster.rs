//! The live index: nodes, and what runs or is about to run on each.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    amounts::Amounts,
    node::Facts,
    pod::{HostPort, Labels, Wants},
};

/// All that decisions are made from. Changes cost what they change, never all pods.
#[derive(Debug, Default)]
pub struct Cluster {
    places: Vec<Place>,
    at: HashMap<String, usize>,
    /// By uid: the pod and its node's name.
    pods: HashMap<String, (Arc<Wants>, String)>,
    by_namespace: HashMap<String, HashMap<String, Arc<Wants>>>,
    /// Pods that keep others away, by uid.
    guarded: HashMap<String, Arc<Wants>>,
    pub namespaces: BTreeMap<String, Labels>,
}

/// A node's name with all that is on it; pods may be known before their node is.
#[derive(Debug, Default)]
pub struct Place {
    pub name: String,
    /// `None`: the node is not there (yet, or any more).
    pub facts: Option<Facts>,
    pub used: Amounts,
    /// As `Wants::weight`, summed.
    pub weight: (i64, i64),
    pub ports: Vec<HostPort>,
    /// Pods by controller.
    pub replicas: HashMap<String, usize>,
    pods: usize,
}

impl Cluster {
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    pub fn nodes(&self) -> impl Iterator<Item = (&Place, &Facts)> {
        self.places.iter().filter_map(|place| Some((place, place.facts.as_ref()?)))
    }

    pub fn place(&self, node: &str) -> Option<&Place> {
        self.at.get(node).map(|at| &self.places[*at])
    }

    /// The pods of a namespace, each with its node where that is known.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = (&Wants, Option<&Facts>)> {
        let pods = self.by_namespace.get(namespace).into_iter().flat_map(HashMap::values);
        pods.map(|wants| (&**wants, self.node_of(&wants.uid)))
    }

    /// Pods with required anti-affinity, each with its node where that is known.
    pub fn guarded(&self) -> impl Iterator<Item = (&Wants, Option<&Facts>)> {
        self.guarded.values().map(|wants| (&**wants, self.node_of(&wants.uid)))
    }

    fn node_of(&self, uid: &str) -> Option<&Facts> {
        let (_, node) = self.pods.get(uid)?;
        self.place(node)?.facts.as_ref()
    }

    pub fn has_pod(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// Takes over a node as it is now; whether that may let a waiting pod in.
    pub fn set_node(&mut self, facts: Facts) -> bool {
        let at = self.slot(&facts.name);
        let place = &mut self.places[at];
        if place.facts.as_ref() == Some(&facts) {
            return false;
        }
        place.facts = Some(facts);
        true
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(at) = self.at.get(name) {
            self.places[*at].facts = None;
            self.drop_if_empty(*at);
        }
    }

    /// Puts a pod on a node, bound or assumed; a pod that is there already is taken over as it is now.
    pub fn put(&mut self, wants: Arc<Wants>, node: &str) {
        self.remove(&wants.uid);
        let at = self.slot(node);
        let place = &mut self.places[at];
        place.pods += 1;
        place.used.add(&wants.amounts);
        place.weight = (place.weight.0.saturating_add(wants.weight.0), place.weight.1.saturating_add(wants.weight.1));
        place.ports.extend(wants.ports.iter().cloned());
        if let Some(controller) = &wants.controller {
            *place.replicas.entry(controller.clone()).or_default() += 1;
        }
        if !wants.anti_affinity.is_empty() {
            self.guarded.insert(wants.uid.clone(), wants.clone());
        }
        self.by_namespace.entry(wants.key.namespace.clone()).or_default().insert(wants.uid.clone(), wants.clone());
        self.pods.insert(wants.uid.clone(), (wants, node.to_owned()));
    }

    /// Whether it was there.
    pub fn remove(&mut self, uid: &str) -> bool {
        let Some((wants, node)) = self.pods.remove(uid) else { return false };
        self.guarded.remove(uid);
        if let Some(pods) = self.by_namespace.get_mut(&wants.key.namespace) {
            pods.remove(uid);
            if pods.is_empty() {
                self.by_namespace.remove(&wants.key.namespace);
            }
        }
        let at = self.at[&node];
        let place = &mut self.places[at];
        place.pods -= 1;
        place.used.subtract(&wants.amounts);
        place.weight = (place.weight.0.saturating_sub(wants.weight.0), place.weight.1.saturating_sub(wants.weight.1));
        for port in &wants.ports {
            if let Some(found) = place.ports.iter().position(|own| own == port) {
                place.ports.swap_remove(found);
            }
        }
        if let Some(controller) = &wants.controller
            && let Some(count) = place.replicas.get_mut(controller)
        {
            *count -= 1;
            if *count == 0 {
                place.replicas.remove(controller);
            }
        }
        self.drop_if_empty(at);
        true
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(at) = self.at.get(name) {
            return *at;
        }
        self.places.push(Place { name: name.to_owned(), ..Place::default() });
        self.at.insert(name.to_owned(), self.places.len() - 1);
        self.places.len() - 1
    }

    fn drop_if_empty(&mut self, at: usize) {
        if self.places[at].facts.is_some() || self.places[at].pods > 0 {
            return;
        }
        let gone = self.places.swap_remove(at);
        self.at.remove(&gone.name);
        if let Some(moved) = self.places.get(at) {
            self.at.insert(moved.name.clone(), at);
        }
    }
}
