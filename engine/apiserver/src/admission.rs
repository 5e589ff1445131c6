//! Admission: plugins that may complete an object, and plugins that may refuse it, in a fixed order.
use irori_api::row::Row;
use serde_json::Value;

use crate::{call::Call, refusal::Answered, server::Server};

mod certificates;
mod claim_resize;
mod defaults;
mod device_admin;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod nodes;
mod pod_security;
mod priority;
mod rbac;
mod runtime_class;
mod service_account;
mod storage_in_use;
mod tolerations;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// What a plugin knows besides the object.
pub struct Attributes<'a> {
    pub operation: Operation,
    /// In the storage version.
    pub row: &'a Row,
    pub subresource: &'a str,
    pub old: Option<&'a Value>,
}

impl Attributes<'_> {
    /// `core/pods`, `rbac.authorization.k8s.io/roles`: group (or core) and plural.
    fn resource(&self) -> (&str, &str) {
        (&self.row.gvr.group, &self.row.gvr.resource)
    }

    /// Whether this is about a whole object of a kind.
    fn is_about(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.resource() == (group, resource)
    }

    fn updates(&self, group: &str, resource: &str) -> bool {
        self.operation == Operation::Update && self.is_about(group, resource)
    }

    fn creates(&self, group: &str, resource: &str) -> bool {
        self.operation == Operation::Create && self.is_about(group, resource)
    }
}

/// One admission plugin. Both halves do nothing unless a plugin says otherwise.
#[async_trait::async_trait]
pub trait Plugin: Send + Sync {
    /// Completes the object, or refuses it.
    async fn mutate(&self, _server: &Server, _call: &mut Call, _asked: &Attributes<'_>, _object: &mut Value) -> Answered<()> {
        Ok(())
    }

    /// Refuses the object (for a deletion: what is to be deleted).
    async fn validate(&self, _server: &Server, _call: &mut Call, _asked: &Attributes<'_>, _object: &Value) -> Answered<()> {
        Ok(())
    }
}

/// The plugins of the tree, in order.
pub fn in_tree() -> Vec<Box<dyn Plugin>> {
    vec![
        Box::new(namespace_lifecycle::NamespaceLifecycle),
        Box::new(limit_ranger::LimitRanger),
        Box::new(service_account::ServiceAccount),
        Box::new(node_restriction::NodeRestriction),
        Box::new(nodes::TaintNewNodes),
        Box::new(pod_security::PodSecurity),
        Box::new(priority::Priority),
        Box::new(tolerations::DefaultTolerationSeconds),
        Box::new(defaults::DefaultStorageClass),
        Box::new(storage_in_use::StorageInUse),
        Box::new(claim_resize::ClaimResize),
        Box::new(runtime_class::RuntimeClass),
        Box::new(certificates::Certificates),
        Box::new(defaults::DefaultIngressClass),
        Box::new(device_admin::DeviceAdmin),
        Box::new(rbac::NoEscalation),
    ]
}

pub async fn mutate(server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &mut Value) -> Answered<()> {
    for plugin in &server.admission {
        plugin.mutate(server, call, asked, object).await?;
    }
    Ok(())
}

pub async fn validate(server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
    for plugin in &server.admission {
        plugin.validate(server, call, asked, object).await?;
    }
    Ok(())
}
