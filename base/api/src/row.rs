//! Rows: what the server knows of a kind. A built-in kind is a row made from the tables, a custom kind one made from its CRD.
use std::{collections::BTreeMap, sync::Arc};

use crate::schema::TypeRef;

/// Group, version and plural, as in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvr {
    pub group: String,
    pub version: String,
    pub resource: String,
}

/// Group, version and kind, as in an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl Gvr {
    pub fn new(group: &str, version: &str, resource: &str) -> Gvr {
        Gvr { group: group.to_owned(), version: version.to_owned(), resource: resource.to_owned() }
    }

    /// `pods` or `deployments.apps`: how errors and RBAC name a resource.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

impl Gvk {
    pub fn new(group: &str, version: &str, kind: &str) -> Gvk {
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// From an object's `apiVersion` (`v1`, `apps/v1`) and `kind`.
    pub fn parse(api_version: &str, kind: &str) -> Gvk {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Gvk::new(group, version, kind)
    }

    /// `Pod` or `Deployment.apps`: how errors name a kind.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }
}

/// `v1` or `apps/v1`.
pub fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// One resource of one group and version.
#[derive(Clone, Debug)]
pub struct Row {
    pub gvr: Gvr,
    pub gvk: Gvk,
    /// `PodList`.
    pub list_kind: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub storage_version_hash: String,
    /// By name: `status`, `scale`, `log`, …
    pub subresources: BTreeMap<String, Subresource>,
    pub of: TypeRef,
    /// The protobuf message, without the leading dot; `None` for custom kinds.
    pub protobuf: Option<String>,
    pub columns: Vec<Column>,
    /// `None`: the kind is only answered, never stored (reviews).
    pub storage: Option<Storage>,
}

impl Row {
    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// Whether what is on disk has another group or version than this row: reads and writes are converted.
    pub fn converts(&self) -> bool {
        self.storage.as_ref().is_some_and(|storage| storage.version != self.gvk)
    }
}

/// Where and as what a kind is stored. Two versions of one kind share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Key prefix without slash at the end: `core/pods`.
    pub prefix: String,
    /// The group and version whose form is on disk.
    pub version: Gvk,
}

#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: String,
    /// The kind that the subresource speaks, e.g. autoscaling/v1 Scale.
    pub gvk: Gvk,
    pub verbs: Vec<String>,
}

/// A column of the server-side table (`kubectl get`).
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub priority: i32,
    /// For custom kinds; built-in cells are code in `irori-rules`.
    pub json_path: Option<String>,
}

/// All rows of one server, and the types they refer to.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub rows: BTreeMap<Gvr, Arc<Row>>,
    pub schemas: crate::schema::Schemas,
    /// Groups in the order in which discovery names them; the core group (empty name) first.
    pub groups: Vec<Group>,
}

/// A group as discovery shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    /// The preferred one first.
    pub versions: Vec<String>,
}

impl Tables {
    /// By the words of a path: `/apis/GROUP/VERSION/RESOURCE`; the core group is empty.
    pub fn resource(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Row>> {
        self.rows.get(&Gvr::new(group, version, resource))
    }

    /// By an object's group, version and kind. Walks the rows of the group.
    pub fn kind(&self, gvk: &Gvk) -> Option<&Arc<Row>> {
        self.rows
            .range(Gvr::new(&gvk.group, "", "")..)
            .take_while(|(gvr, _)| gvr.group == gvk.group)
            .map(|(_, row)| row)
            .find(|row| row.gvk == *gvk)
    }

    /// Resources whose objects are stored, as kubectl names them (`secrets`, `deployments.apps`), each with where they lie.
    pub fn stored_resources(&self) -> impl Iterator<Item = (String, &Storage)> {
        self.rows.values().filter_map(|row| {
            let name = if row.gvr.group.is_empty() {
                row.gvr.resource.clone()
            } else {
                format!("{}.{}", row.gvr.resource, row.gvr.group)
            };
            Some((name, row.storage.as_ref()?))
        })
    }

    /// The row in whose form the objects under a storage prefix (`core/pods`) are stored.
    pub fn stored_at(&self, prefix: &str) -> Option<&Arc<Row>> {
        self.rows.values().find(|row| row.storage.as_ref().is_some_and(|to| to.prefix == prefix && to.version == row.gvk))
    }

    /// The row in whose form a row's objects are stored: itself for nearly all.
    pub fn stored_as(&self, row: &Row) -> Option<&Arc<Row>> {
        self.kind(&row.storage.as_ref()?.version)
    }

    /// All rows of a group, in all versions, sorted by version and plural.
    pub fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Arc<Row>> + 'a {
        self.rows.range(Gvr::new(group, "", "")..).take_while(move |(gvr, _)| gvr.group == group).map(|(_, row)| row)
    }

    /// All rows of a group and version, sorted by plural.
    pub fn of_group_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Row>> + 'a {
        self.of_group(group).filter(move |row| row.gvr.version == version)
    }

    /// The groups of `groups`, then those that only rows name (custom kinds) by name, their versions newest first.
    pub fn all_groups(&self) -> Vec<Group> {
        let mut all = self.groups.clone();
        let built_in = all.len();
        for gvr in self.rows.keys() {
            let at = all.iter().position(|group| group.name == gvr.group).unwrap_or_else(|| {
                all.push(Group { name: gvr.group.clone(), versions: Vec::new() });
                all.len() - 1
            });
            if !all[at].versions.contains(&gvr.version) {
                all[at].versions.push(gvr.version.clone());
            }
        }
        for group in &mut all[built_in..] {
            group.versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        }
        all
    }
}

/// The order of versions that Kubernetes documents: `v2`, `v1`, `v1beta2`, `v1alpha1`, all else by name.
fn priority(version: &str) -> (u8, u64, u64, std::cmp::Reverse<String>) {
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|c| c.is_ascii_digit()));
    let parsed = version.strip_prefix('v').and_then(|rest| {
        for (word, stage) in [("beta", 2), ("alpha", 1)] {
            if let Some((major, minor)) = rest.split_once(word) {
                return Some((stage, number(major)?, number(minor)?));
            }
        }
        Some((3, number(rest)?, 0))
    });
    let (stage, major, minor) = parsed.unwrap_or((0, 0, 0));
    (stage, major, minor, std::cmp::Reverse(if stage == 0 { version.to_owned() } else { String::new() }))
}
