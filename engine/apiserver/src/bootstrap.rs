//! The objects that every cluster starts with: namespaces, RBAC, priority classes, flow control, API services, service ranges.
//!
//! What is missing is written in one commit at each start (or in as few as the store's limits allow), so that the first start is one
//! write to the disk and a newer version brings its new objects. What is there stays as it is.
use std::collections::HashSet;

use irori_api::row::{Row, Tables};
use irori_rules::tree;
use irori_runtime::Clock;
use irori_store::{Durability, Expect, Range, Store, StoreError, Write};
use serde_json::{Value, json};

use crate::{
    read,
    refusal::{Answered, Refusal},
    server::Settings,
    stored,
};

/// One object a line: `GROUP/VERSION/PLURAL JSON`, made by `cargo xtask bootstrap`.
const OBJECTS: &str = include_str!("bootstrap/objects.txt");

/// Writes what is missing.
pub async fn ensure(settings: &Settings, store: &dyn Store, tables: &Tables, clock: &Clock) -> Answered<()> {
    for _ in 0..crate::limits::CONFLICT_TRIES_MAX {
        let mut writes = Vec::new();
        let mut known: HashSet<String> = HashSet::new();
        let mut looked: HashSet<String> = HashSet::new();
        for (row, object) in objects(settings, tables, clock)? {
            let prefix = read::prefix(row, "")?;
            if looked.insert(prefix.clone()) {
                let page = store.range(Range { prefix, ..Range::default() }).await?;
                known.extend(page.entries.iter().map(|e| e.key.to_string()));
            }
            let name = tree::text(&object, &["metadata", "name"]);
            let key = read::key(row, tree::text(&object, &["metadata", "namespace"]), name)?;
            if !known.contains(&key) {
                let value = Some(stored::encode(&object, &row.gvk));
                writes.push(Write { key: key.into(), expect: Expect::Absent, value });
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        match commit(store, writes).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {} // another server of the same store was quicker
            Err(source) => return Err(source.into()),
        }
    }
    Err(Refusal::internal("bootstrap objects keep changing under our hands"))
}

async fn commit(store: &dyn Store, mut writes: Vec<Write>) -> Result<(), StoreError> {
    let limits = store.limits();
    while !writes.is_empty() {
        let mut bytes = 0;
        let fits = writes.iter().take(limits.commit_writes_max).take_while(|write| {
            bytes += write.key.len() + write.value.as_ref().map_or(0, |value| value.len());
            bytes <= limits.commit_bytes_max
        });
        let rest = writes.split_off(fits.count().max(1));
        store.commit(std::mem::replace(&mut writes, rest), Durability::Synced).await?;
    }
    Ok(())
}

/// What `Settings::openshift` adds: objects by `GROUP/VERSION/PLURAL`.
fn openshift() -> [(String, Value); 2] {
    let metadata = json!({
        "name": "system:openshift:public-info-viewer",
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    let rbac = "rbac.authorization.k8s.io";
    let subject = |name: &str| json!({"apiGroup": rbac, "kind": "Group", "name": name});
    let role = json!({
        "metadata": metadata,
        "rules": [{"nonResourceURLs": ["/.well-known", "/.well-known/*"], "verbs": ["get"]}],
    });
    let binding = json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": metadata["name"]},
        "subjects": [subject("system:authenticated"), subject("system:unauthenticated")],
    });
    [(format!("{rbac}/v1/clusterroles"), role), (format!("{rbac}/v1/clusterrolebindings"), binding)]
}

fn objects<'a>(settings: &Settings, tables: &'a Tables, clock: &Clock) -> Answered<Vec<(&'a Row, Value)>> {
    let now = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut out = Vec::new();
    for line in OBJECTS.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let broken = |why: &str| Refusal::internal(format!("bootstrap object: {why}: {line}"));
        let (path, json) = line.split_once(' ').ok_or_else(|| broken("no path"))?;
        let object: Value = serde_json::from_str(json).map_err(|e| broken(&e.to_string()))?;
        out.push((path.to_owned(), object));
    }
    if settings.openshift {
        out.extend(openshift());
    }
    let cidrs: Vec<String> = settings.service_cidrs.iter().map(ToString::to_string).collect();
    let status = json!({"conditions": [{
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready", "lastTransitionTime": now,
    }]});
    out.push((
        "networking.k8s.io/v1/servicecidrs".to_owned(),
        json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}, "status": status}),
    ));
    let mut done = Vec::new();
    for (path, mut object) in out {
        let mut parts = path.split('/');
        let (group, version, plural) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let group = if group == "core" { "" } else { group };
        let row = tables.resource(group, version, plural).ok_or_else(|| Refusal::internal(format!("no kind for {path}")))?;
        tree::set(&mut object, &["metadata", "uid"], uuid::Uuid::new_v4().to_string());
        tree::set(&mut object, &["metadata", "creationTimestamp"], now.clone());
        for condition in tree::items_mut(&mut object, &["status", "conditions"]) {
            tree::set(condition, &["lastTransitionTime"], now.clone());
        }
        done.push((row.as_ref(), object));
    }
    Ok(done)
}
