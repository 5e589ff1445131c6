//! Roles and bindings: nobody grants more than they have.
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{authz::escalation, call::Call, refusal::Answered, server::Server};

pub struct NoEscalation;

#[async_trait::async_trait]
impl Plugin for NoEscalation {
    async fn validate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
        match asked.resource() {
            ("rbac.authorization.k8s.io", resource) if asked.operation != Operation::Delete => {
                escalation::check(server, &call.user, resource, object, asked.old)
            }
            _ => Ok(()),
        }
    }
}
