//! Nothing is created in a namespace that is not there or is going; some namespaces never go.
use irori_api::status::Cause;
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{About, Answered, Refusal},
    server::Server,
    stored,
};

/// As upstream has it.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle;

#[async_trait::async_trait]
impl Plugin for NamespaceLifecycle {
    async fn mutate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &mut Value) -> Answered<()> {
        if asked.operation != Operation::Create || !asked.row.namespaced {
            return Ok(());
        }
        let namespace = call.asked.namespace.as_str();
        let Some(entry) = read::namespace(server, namespace).await? else {
            return Err(Refusal::not_found(About { group: "", resource: "namespaces", name: namespace }));
        };
        // Nearly every namespace stays: what does not even hold the word is not parsed.
        if !stored::mentions(&entry, "deletionTimestamp") {
            return Ok(());
        }
        let found = stored::tree(&entry).map_err(Refusal::internal)?;
        if tree::text(&found, &["metadata", "deletionTimestamp"]).is_empty() {
            return Ok(());
        }
        let name = tree::text(object, &["metadata", "name"]).to_owned();
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = Refusal::forbidden(read::about(asked.row, &name), &why);
        if let Some(details) = &mut refusal.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
        }
        Err(refusal)
    }

    async fn validate(&self, _: &Server, _: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
        let name = tree::text(object, &["metadata", "name"]);
        if asked.operation == Operation::Delete && asked.resource() == ("", "namespaces") && IMMORTAL.contains(&name) {
            return Err(Refusal::forbidden(read::about(asked.row, name), "this namespace may not be deleted"));
        }
        Ok(())
    }
}
