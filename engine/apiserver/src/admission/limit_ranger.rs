//! LimitRanger: a namespace says what its containers get that say nothing, and what is too little or too much.
use irori_rules::{limit_range, tree};
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
};

pub struct LimitRanger;

#[async_trait::async_trait]
impl Plugin for LimitRanger {
    async fn mutate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &mut Value) -> Answered<()> {
        if asked.creates("", "pods") {
            limit_range::complete_pod(&ranges(server, &call.asked.namespace).await?, object);
        }
        Ok(())
    }

    async fn validate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
        // What is on its way out takes nothing any more.
        let leaves = asked.operation == Operation::Delete || !tree::text(object, &["metadata", "deletionTimestamp"]).is_empty();
        let faults: fn(&Value, &Value) -> Vec<String> = match (asked.resource(), asked.subresource) {
            _ if leaves => return Ok(()),
            (("", "pods"), "") if asked.operation == Operation::Create => limit_range::pod_faults,
            (("", "pods"), "resize") => limit_range::pod_faults,
            (("", "persistentvolumeclaims"), "") => limit_range::claim_faults,
            _ => return Ok(()),
        };
        for range in ranges(server, &call.asked.namespace).await? {
            let found = faults(&range, object);
            let why = match found.as_slice() {
                [] => continue,
                [only] => only.clone(),
                all => format!("[{}]", all.join(", ")),
            };
            return Err(Refusal::forbidden(read::about(asked.row, tree::text(object, &["metadata", "name"])), &why));
        }
        Ok(())
    }
}

async fn ranges(server: &Server, namespace: &str) -> Answered<Vec<Value>> {
    read::all(server, &format!("core/limitranges/{namespace}/")).await
}
