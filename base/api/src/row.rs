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

impl Gvk {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
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
}
