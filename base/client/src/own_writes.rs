//! What a reconciler wrote and its informers may not show yet: acting on the old state again would do it twice.
use std::{collections::HashMap, sync::Mutex};

use crate::{Informer, Key, Watched};

/// The newest revision that was written while reconciling each key. A reconciler that creates objects with generated names asks
/// `seen_by` first, and ends without acting while it is false: the change that it waits for triggers it again.
#[derive(Debug, Default)]
pub struct OwnWrites(Mutex<HashMap<Key, u64>>);

impl OwnWrites {
    /// Notes what the API answered to a write. An answer without a numeric revision is not waited for.
    pub fn wrote(&self, key: &Key, answer: &impl kube::Resource) {
        let revision = answer.meta().resource_version.as_deref().and_then(|revision| revision.parse::<u64>().ok());
        if let Some(revision) = revision {
            let mut writes = self.0.lock().expect("no holder of this lock panics");
            let newest = writes.entry(key.clone()).or_default();
            *newest = revision.max(*newest);
        }
    }

    /// Whether `informer` shows all that was written for `key`; forgets it then.
    pub fn seen_by<K: Watched>(&self, key: &Key, informer: &Informer<K>) -> bool {
        let mut writes = self.0.lock().expect("no holder of this lock panics");
        let Some(revision) = writes.get(key) else { return true };
        if informer.revision() < *revision {
            return false;
        }
        writes.remove(key);
        true
    }

    /// Forgets `key`, whose object is gone.
    pub fn forget(&self, key: &Key) {
        self.0.lock().expect("no holder of this lock panics").remove(key);
    }
}
