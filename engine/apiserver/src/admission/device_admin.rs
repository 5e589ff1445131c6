//! Access to devices as their administrator is for namespaces that are marked for it.
use irori_api::field::{ErrorList, FieldPath};
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

const LABEL: &str = "resource.kubernetes.io/admin-access";

pub struct DeviceAdmin;

#[async_trait::async_trait]
impl Plugin for DeviceAdmin {
    async fn validate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
        let spec: &[&str] = match asked.resource() {
            ("resource.k8s.io", "resourceclaims") => &["spec"],
            ("resource.k8s.io", "resourceclaimtemplates") => &["spec", "spec"],
            _ => return Ok(()),
        };
        if asked.operation != Operation::Create {
            return Ok(());
        }
        let requests = tree::items(tree::get(object, spec).unwrap_or(&Value::Null), &["devices", "requests"]);
        // Both kinds tell it at the place that it has in a claim, as stock servers do.
        let at = FieldPath::new("spec").child("devices").child("requests");
        let mut errors = ErrorList::default();
        for (i, _) in requests.iter().enumerate().filter(|(_, r)| tree::flag(r, &["exactly", "adminAccess"])) {
            let why = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
            errors.forbidden(at.index(i).child("adminAccess"), why);
        }
        if errors.is_empty() {
            return Ok(());
        }
        let entry = read::namespace(server, &call.asked.namespace).await?;
        let namespace = entry.map(|entry| stored::tree(&entry)).transpose().map_err(Refusal::internal)?.unwrap_or(Value::Null);
        if tree::text(&namespace, &["metadata", "labels", LABEL]) == "true" {
            return Ok(());
        }
        let name = tree::text(object, &["metadata", "name"]);
        Err(Refusal::invalid(About { group: "resource.k8s.io", resource: &asked.row.gvk.kind, name }, &errors))
    }
}
