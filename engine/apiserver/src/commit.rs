//! compare-and-commit: the one place that writes objects.
use irori_api::row::Row;
use irori_rules::tree;
use irori_store::{Durability, Entry, Expect, Key, Revision, StoreError, Write};
use serde_json::Value;

use crate::{
    allocate, authz, change, limits, quota, read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

/// Why a commit did not happen.
#[derive(Debug)]
pub enum Lost {
    /// Somebody else wrote the object first.
    Race,
    Refused(Refusal),
}

impl From<Refusal> for Lost {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Writes a new object, with what it allocates, in one commit; fills in its resourceVersion. `Race`: the name is taken.
pub async fn create(server: &Server, row: &Row, new: &mut Value, dry_run: bool) -> Result<(), Lost> {
    let key: Key = read::key(row, change::text(new, "namespace"), change::text(new, "name"))?.into();
    let unallocated = allocate::concerns(row).then(|| new.clone());
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        if let Some(fresh) = &unallocated {
            new.clone_from(fresh);
        }
        let mut writes = allocate::plan(server, row, None, Some(new), dry_run).await?;
        writes.extend(quota::plan(server, row, None, Some(new)).await?);
        if dry_run {
            return match server.store.get(&key).await.map_err(Refusal::from)? {
                Some(_) => Err(Lost::Race),
                None => Ok(()),
            };
        }
        writes.insert(0, Write { key: key.clone(), expect: Expect::Absent, value: Some(stored::encode(new, &row.gvk)) });
        match send(server, row, None, new, writes).await? {
            Sent::Done => return Ok(()),
            Sent::Taken(taken) if taken == key => return Err(Lost::Race),
            Sent::Taken(_) => {} // an address or port that somebody took in between, or what was left of a quota: choose anew
        }
    }
    Err(Refusal::too_many_requests().into())
}

/// Writes a changed object over `entry`; fills in its resourceVersion.
pub async fn update(server: &Server, row: &Row, entry: &Entry, old: &Value, new: &mut Value, dry_run: bool) -> Result<(), Lost> {
    let unallocated = allocate::concerns(row).then(|| new.clone());
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        if let Some(fresh) = &unallocated {
            new.clone_from(fresh);
        }
        let mut writes = allocate::plan(server, row, Some(old), Some(new), dry_run).await?;
        writes.extend(quota::plan(server, row, Some(old), Some(new)).await?);
        if dry_run {
            return Ok(());
        }
        let value = Some(stored::encode(new, &row.gvk));
        writes.insert(0, Write { key: entry.key.clone(), expect: Expect::At(entry.revision), value });
        match send(server, row, Some(old), new, writes).await? {
            Sent::Done => return Ok(()),
            Sent::Taken(taken) if taken == entry.key => return Err(Lost::Race),
            Sent::Taken(_) => {}
        }
    }
    Err(Refusal::too_many_requests().into())
}

/// Removes an object, and gives back what it had allocated.
pub async fn delete(server: &Server, row: &Row, entry: &Entry, last: &Value, dry_run: bool) -> Result<(), Lost> {
    if dry_run {
        return Ok(());
    }
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let mut writes = allocate::plan(server, row, Some(last), None, false).await?;
        writes.extend(quota::plan(server, row, Some(last), None).await?);
        writes.insert(0, Write { key: entry.key.clone(), expect: Expect::At(entry.revision), value: None });
        let mut gone = last.clone();
        match send(server, row, Some(last), &mut gone, writes).await? {
            Sent::Done => return Ok(()),
            Sent::Taken(taken) if taken == entry.key => return Err(Lost::Race),
            Sent::Taken(_) => {}
        }
    }
    Err(Refusal::too_many_requests().into())
}

enum Sent {
    Done,
    /// The expectation on this key did not hold.
    Taken(Key),
}

async fn send(server: &Server, row: &Row, old: Option<&Value>, new: &mut Value, writes: Vec<Write>) -> Answered<Sent> {
    let key = writes[0].key.clone();
    let durability = durability(row, old, new, writes.len());
    match server.store.commit(writes, durability).await {
        Ok(revision) => {
            tree::set(new, &["metadata", "resourceVersion"], revision.0.to_string());
            settle(server, &key, old, new, revision).await;
            Ok(Sent::Done)
        }
        Err(StoreError::Conflict { key, .. }) => Ok(Sent::Taken(key)),
        Err(source) => Err(source.into()),
    }
}

async fn settle(server: &Server, key: &str, old: Option<&Value>, new: &Value, revision: Revision) {
    server.settle(key, revision).await;
    if key.starts_with(authz::PODS_PREFIX) {
        let node = |pod: &Value| !tree::text(pod, &["spec", "nodeName"]).is_empty();
        if node(new) && !old.is_some_and(node) {
            server.settle_assignment(revision).await;
        }
    }
}

/// Lazy are Events, and Lease updates that change nothing but renewTime under the same holder.
fn durability(row: &Row, old: Option<&Value>, new: &Value, writes: usize) -> Durability {
    let storage = row.storage.as_ref().map_or("", |s| s.prefix.as_str());
    let lazy = match storage {
        "core/events" => true,
        "coordination.k8s.io/leases" => old.is_some_and(|old| only_renewed(old, new)),
        _ => false,
    };
    if lazy && writes == 1 { Durability::Lazy } else { Durability::Synced }
}

fn only_renewed(old: &Value, new: &Value) -> bool {
    let still = |lease: &Value| {
        let mut lease = lease.clone();
        tree::remove(&mut lease, &["spec", "renewTime"]);
        tree::remove(&mut lease, &["metadata", "resourceVersion"]);
        tree::remove(&mut lease, &["metadata", "managedFields"]);
        lease
    };
    still(old) == still(new)
}

/// Whether an updated object has nothing left to wait for: it is being deleted, and the last finalizer is gone.
pub fn is_over(row: &Row, object: &Value) -> bool {
    if change::text(object, "deletionTimestamp").is_empty() || !tree::items(object, &["metadata", "finalizers"]).is_empty() {
        return false;
    }
    if tree::int(object, &["metadata", "deletionGracePeriodSeconds"]).is_some_and(|grace| grace > 0) {
        return false;
    }
    row.gvk.kind != "Namespace" || !row.gvk.group.is_empty() || tree::items(object, &["spec", "finalizers"]).is_empty()
}
