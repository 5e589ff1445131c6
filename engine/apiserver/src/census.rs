//! What is in a store, by kind: counted for people who look at a store, a backup or a running server.
use std::collections::BTreeMap;

use irori_store::Entry;
use irori_trust::seal::generation_of;
use serde::{Deserialize, Serialize};

use crate::stored;

/// Keys that are named of those that cannot be read; more of them are counted.
const UNREADABLE_NAMED_MAX: usize = 20;

/// Objects by kind, and what cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Census {
    /// All entries, irori's own included.
    pub objects: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// By resource, as kubectl names it: `secrets`, `deployments.apps`.
    pub kinds: BTreeMap<String, Count>,
    /// How many values each generation of data keys seals.
    pub generations: BTreeMap<u32, u64>,
    pub unreadable: u64,
    /// Some of their keys, with what is wrong.
    pub unreadable_named: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub objects: u64,
    pub bytes: u64,
    pub sealed: u64,
}

/// How closely values are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Their headers.
    Heads,
    /// All of their JSON.
    Whole,
}

impl Census {
    pub fn add(&mut self, entry: &Entry, look: Look) {
        let bytes = (entry.key.len() + entry.value.len()) as u64;
        self.objects += 1;
        self.bytes += bytes;
        let count = self.kinds.entry(resource(&entry.key)).or_default();
        count.objects += 1;
        count.bytes += bytes;
        if let Some(generation) = generation_of(&entry.value) {
            count.sealed += 1;
            *self.generations.entry(generation).or_default() += 1;
            return;
        }
        if !is_object(&entry.key) {
            return;
        }
        let read = match look {
            Look::Heads => stored::head(entry).map(drop),
            Look::Whole => stored::tree(entry).map(drop),
        };
        if let Err(broken) = read {
            self.unreadable += 1;
            if self.unreadable_named.len() < UNREADABLE_NAMED_MAX {
                self.unreadable_named.push(broken.to_string());
            }
        }
    }
}

/// Whether an object lies there, and not something that the server keeps for itself.
pub fn is_object(key: &str) -> bool {
    !key.starts_with("irori/") && !key.starts_with("allocations/")
}

/// The resource that a key belongs to: `core/pods/default/web` is of `pods`.
fn resource(key: &str) -> String {
    let mut parts = key.split('/');
    match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        (own @ ("irori" | "allocations"), _) => format!("({own})"),
        ("core", resource) => resource.to_owned(),
        (group, resource) => format!("{resource}.{group}"),
    }
}

#[cfg(test)]
mod tests {
    use irori_store::Revision;

    use super::*;

    fn entry(key: &str, value: &[u8]) -> Entry {
        Entry { key: key.into(), value: value.to_vec().into(), revision: Revision(1) }
    }

    #[test]
    fn objects_are_counted_by_resource_and_what_cannot_be_read_is_named() {
        let pod = [&b"\x01\0\0\x01\x02v1\x03Pod"[..], br#"{"metadata":{"name":"a"}}"#].concat();
        let cut = &pod[..pod.len() - 3];
        let mut census = Census::default();
        for (key, value) in [
            ("core/pods/default/a", &pod[..]),
            ("core/pods/default/b", cut),
            ("apps/deployments/default/a", b"\x09"),
            ("core/secrets/default/a", b"\x02\0\0\0\x03sealed"),
            ("irori/sealing", b"{}"),
            ("allocations/nodeports/30000", b"{}"),
        ] {
            census.add(&entry(key, value), Look::Whole);
        }
        let counts: Vec<(&str, u64, u64)> = census.kinds.iter().map(|(k, c)| (k.as_str(), c.objects, c.sealed)).collect();
        let wanted = [("(allocations)", 1, 0), ("(irori)", 1, 0), ("deployments.apps", 1, 0), ("pods", 2, 0), ("secrets", 1, 1)];
        assert_eq!(counts, wanted);
        assert_eq!((census.objects, census.unreadable, census.generations.get(&3)), (6, 2, Some(&1)));
        assert!(census.unreadable_named[0].contains("core/pods/default/b"), "{:?}", census.unreadable_named);
        let mut heads = Census::default();
        heads.add(&entry("core/pods/default/b", cut), Look::Heads);
        assert_eq!(heads.unreadable, 0);
    }
}
