//! Who owns whom. Pure: takes in what watches say, answers which objects have to be looked at.
//!
//! Small on purpose: of an object without owners, and not on its way out in a way that concerns others, only uid, kind and namespace
//! are kept.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// Index into the list of kinds.
pub type KindId = usize;

/// An object that is owned, or whose deletion concerns what it owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: KindId,
    pub namespace: Arc<str>,
    pub name: String,
    pub owners: Vec<OwnerReference>,
    pub deleting: bool,
    /// It waits for its dependents to go first.
    pub foreground: bool,
    /// Its dependents have to be let go before it goes.
    pub orphans: bool,
}

#[derive(Debug, Default)]
pub struct Graph {
    /// Every object there is, by uid.
    present: HashMap<Arc<str>, (KindId, Arc<str>)>,
    entries: HashMap<Arc<str>, Entry>,
    dependents: HashMap<String, HashSet<Arc<str>>>,
    namespaces: HashSet<Arc<str>>,
}

/// Uids of objects to look at.
pub type Look = Vec<String>;

impl Graph {
    pub fn entry(&self, uid: &str) -> Option<&Entry> {
        self.entries.get(uid)
    }

    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| Some((&**uid, self.entries.get(uid)?)))
    }

    /// Dependents that hold back the foreground deletion of `uid`.
    pub fn blockers(&self, uid: &str) -> usize {
        let blocks =
            |entry: &Entry| entry.owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true));
        self.dependents(uid).filter(|(_, entry)| blocks(entry)).count()
    }

    /// An object that came or changed.
    pub fn put(&mut self, kind: KindId, meta: &ObjectMeta) -> Look {
        let Some(uid) = meta.uid.as_deref().filter(|uid| !uid.is_empty()) else { return Look::new() };
        let uid: Arc<str> = uid.into();
        let namespace = self.interned(meta.namespace.as_deref().unwrap_or_default());
        self.present.insert(uid.clone(), (kind, namespace.clone()));
        let deleting = meta.deletion_timestamp.is_some();
        let waits_for = |name: &str| deleting && meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
        let entry = Entry {
            kind,
            namespace,
            name: meta.name.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting,
            foreground: waits_for(FOREGROUND),
            orphans: waits_for(ORPHAN),
        };
        let mut look = self.unlink(&uid);
        look.retain(|owner| entry.owners.iter().all(|own| own.uid != *owner || own.block_owner_deletion != Some(true)));
        if entry.foreground || entry.orphans || entry.owners.iter().any(|owner| self.is_doubtful(owner, &entry.namespace)) {
            look.push(uid.to_string());
        }
        if !entry.owners.is_empty() || entry.foreground || entry.orphans {
            for owner in &entry.owners {
                self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
            }
            self.entries.insert(uid, entry);
        }
        look
    }

    /// An object that is gone: its dependents may have to go, and an owner that waited for it may go on.
    pub fn remove(&mut self, uid: &str) -> Look {
        self.present.remove(uid);
        let mut look = self.unlink(uid);
        look.extend(self.dependents.get(uid).into_iter().flatten().map(|uid| uid.to_string()));
        look
    }

    /// All objects of a kind: what is not among them is gone.
    pub fn replace(&mut self, kind: KindId, metas: &[ObjectMeta]) -> Look {
        let listed: HashSet<&str> = metas.iter().filter_map(|meta| meta.uid.as_deref()).collect();
        let is_gone = |(uid, (of, _)): &(&Arc<str>, &(KindId, Arc<str>))| *of == kind && !listed.contains(&***uid);
        let gone: Vec<_> = self.present.iter().filter(is_gone).map(|(uid, _)| uid.clone()).collect();
        let mut look: Look = gone.iter().flat_map(|uid| self.remove(uid)).collect();
        look.extend(metas.iter().flat_map(|meta| self.put(kind, meta)));
        look
    }

    /// Whether an owner is not known where a dependent of `namespace` could have it, or wants its dependents gone.
    fn is_doubtful(&self, owner: &OwnerReference, namespace: &str) -> bool {
        let known = self.present.get(owner.uid.as_str()).is_some_and(|(_, home)| home.is_empty() || **home == *namespace);
        !known || self.entries.get(owner.uid.as_str()).is_some_and(|entry| entry.foreground)
    }

    /// Takes an object's references out; returns its owners that wait for their dependents.
    fn unlink(&mut self, uid: &str) -> Look {
        let Some(entry) = self.entries.remove(uid) else { return Look::new() };
        for owner in &entry.owners {
            if let Some(uids) = self.dependents.get_mut(&owner.uid) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        let waits = |owner: &&OwnerReference| self.entries.get(owner.uid.as_str()).is_some_and(|entry| entry.foreground);
        entry.owners.iter().filter(waits).map(|owner| owner.uid.clone()).collect()
    }

    fn interned(&mut self, namespace: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(namespace) {
            return known.clone();
        }
        let new: Arc<str> = namespace.into();
        self.namespaces.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests;
