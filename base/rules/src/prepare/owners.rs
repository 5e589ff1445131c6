//! Owners that are told twice.
use hashbrown::HashSet;
use serde_json::Value;

use crate::tree::{get, get_mut, items, text};

/// Leaves one of each of the owner references that are equal in all; the uids of those that went, in order.
/// Source: the warning of a stock server, which has done so since 1.20.
pub fn drop_twin_owners(object: &mut Value) -> Vec<String> {
    const AT: [&str; 2] = ["metadata", "ownerReferences"];
    if items(object, &AT).len() < 2 {
        return Vec::new();
    }
    let mut known = HashSet::new();
    let twin = |owner: &Value| {
        let flag = |name| get(owner, &[name]).and_then(Value::as_bool);
        let words = ["apiVersion", "kind", "name", "uid"].map(|name| text(owner, &[name]).to_owned());
        !known.insert((words, flag("controller"), flag("blockOwnerDeletion")))
    };
    let twins: Vec<bool> = items(object, &AT).iter().map(twin).collect();
    let mut gone = Vec::new();
    if let Some(Value::Array(owners)) = get_mut(object, &AT) {
        let mut twins = twins.into_iter();
        owners.retain(|owner| {
            let twin = twins.next().unwrap_or(false);
            if twin {
                gone.push(text(owner, &["uid"]).to_owned());
            }
            !twin
        });
    }
    gone
}
