//! Priority: a pod's priority and preemption policy come from its priority class.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

const CLASSES: &str = "scheduling.k8s.io/priorityclasses/";

pub struct Priority;

#[async_trait::async_trait]
impl Plugin for Priority {
    async fn mutate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, pod: &mut Value) -> Answered<()> {
        if asked.updates("", "pods") {
            // A client that leaves them out means to keep them.
            for field in ["priority", "preemptionPolicy"] {
                let at = ["spec", field];
                if let (None, Some(kept)) = (tree::get(pod, &at), asked.old.and_then(|old| tree::get(old, &at))) {
                    tree::set(pod, &at, kept.clone());
                }
            }
        }
        if !asked.creates("", "pods") {
            return Ok(());
        }
        let name = tree::text(pod, &["metadata", "name"]).to_owned();
        let wanted = tree::text(pod, &["spec", "priorityClassName"]).to_owned();
        let class = if wanted.is_empty() {
            default_class(server).await?
        } else {
            let entry = server.store.get(&format!("{CLASSES}{wanted}")).await?.ok_or_else(|| {
                Refusal::forbidden(read::about(asked.row, &name), &format!("no PriorityClass with name {wanted} was found"))
            })?;
            Some(stored::tree(&entry).map_err(Refusal::internal)?)
        };
        let (priority, policy) = match &class {
            Some(class) => {
                if wanted.is_empty() {
                    tree::set(pod, &["spec", "priorityClassName"], tree::text(class, &["metadata", "name"]));
                }
                (tree::int(class, &["value"]).unwrap_or(0), tree::text(class, &["preemptionPolicy"]))
            }
            None => (0, "PreemptLowerPriority"),
        };
        let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
        let refuse = |what: &str| Err(Refusal::forbidden(read::about(asked.row, &name), what));
        if let Some(own) = tree::int(pod, &["spec", "priority"]).filter(|own| *own != priority) {
            return refuse(&format!(
                "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
            ));
        }
        tree::set(pod, &["spec", "priority"], priority);
        if let Some(own) = tree::get(pod, &["spec", "preemptionPolicy"]).and_then(Value::as_str).filter(|own| *own != policy) {
            return refuse(&format!(
                "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            ));
        }
        tree::set(pod, &["spec", "preemptionPolicy"], policy);
        Ok(())
    }

    async fn validate(&self, server: &Server, _: &mut Call, asked: &Attributes<'_>, class: &Value) -> Answered<()> {
        if asked.resource() != ("scheduling.k8s.io", "priorityclasses")
            || asked.operation == super::Operation::Delete
            || !tree::flag(class, &["globalDefault"])
        {
            return Ok(());
        }
        let name = tree::text(class, &["metadata", "name"]);
        match default_class(server).await? {
            Some(other) if tree::text(&other, &["metadata", "name"]) != name => {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    tree::text(&other, &["metadata", "name"])
                );
                Err(Refusal::forbidden(read::about(asked.row, name), &why))
            }
            _ => Ok(()),
        }
    }
}

/// The class for pods that name none: of those marked so, the lowest.
async fn default_class(server: &Server) -> Answered<Option<Value>> {
    let all = read::all(server, CLASSES).await?;
    let marked = all.into_iter().filter(|c| tree::flag(c, &["globalDefault"]));
    Ok(marked.min_by_key(|c| tree::int(c, &["value"]).unwrap_or(0)))
}
