//! Resource quotas. What an object uses is written to the quotas of its namespace in the commit of the object itself: nothing is ever
//! used without being counted, and what is given back is free at once.
//!
//! Only names that a quota's `status.hard` has count; the quota controller fills it in from `spec.hard`, and counts what was there before.
use irori_api::row::Row;
use irori_rules::{
    quota::{self, Amounts, Verdict},
    tree,
};
use irori_store::{Expect, Range, Write};
use serde_json::{Map, Value};

use crate::{
    change, read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

const QUOTAS: &str = "core/resourcequotas/";

/// The quotas that a change of one object writes to. Refuses what exceeds one.
pub async fn plan(server: &Server, row: &Row, old: Option<&Value>, new: Option<&Value>) -> Answered<Vec<Write>> {
    let resource = (row.gvr.group.as_str(), row.gvr.resource.as_str());
    let counted = row.namespaced && quota::is_counted(resource);
    let Some(object) = new.or(old).filter(|_| counted) else { return Ok(Vec::new()) };
    let used = |object: Option<&Value>| object.map(|object| quota::usage(resource, object)).unwrap_or_default();
    let change = quota::difference(&used(new), &used(old));
    // Nearly every change uses what it used before.
    if change.is_empty() {
        return Ok(Vec::new());
    }
    let (namespace, name) = (change::text(object, "namespace"), change::text(object, "name"));
    let own = read::key(row, namespace, name)?;
    let page = server.store.range(Range { prefix: format!("{QUOTAS}{namespace}/"), ..Range::default() }).await?;
    let mut writes = Vec::new();
    for entry in page.entries.into_iter().filter(|entry| *entry.key != *own) {
        let mut quota = stored::tree(&entry).map_err(Refusal::internal)?;
        // A change of scope is a change of what this quota counts.
        let covered = |object: &&Value| quota::covers(&quota, resource, object);
        let (is, was) = (new.filter(covered), old.filter(covered));
        let change = quota::difference(&used(is), &used(was));
        let refuse = |why: &str| Refusal::forbidden(read::about(row, name), why);
        if old.is_none()
            && row.gvk.kind == "Pod"
            && let Some(why) = is.and_then(|pod| quota::must_say(&quota, pod))
        {
            return Err(refuse(&why));
        }
        match quota::judge(&quota, &change) {
            Verdict::Nothing => {}
            Verdict::Refused(why) if new.is_some() => return Err(refuse(&why)),
            // What goes away is never held back by a quota that cannot say what it holds.
            Verdict::Refused(_) => {}
            Verdict::Uses(after) => {
                tree::set(&mut quota, &["status", "used"], texts(&after));
                let row = server.tables.resource("", "v1", "resourcequotas").ok_or_else(Refusal::no_such_path)?;
                let value = Some(stored::encode(&quota, &row.gvk));
                writes.push(Write { key: entry.key, expect: Expect::At(entry.revision), value });
            }
        }
    }
    Ok(writes)
}

fn texts(amounts: &Amounts) -> Map<String, Value> {
    amounts.iter().map(|(name, amount)| (name.clone(), Value::from(amount.to_string()))).collect()
}
