//! Giving a pod to a node.
use std::sync::Arc;

use irori_api::{
    field::{ErrorList, FieldPath},
    row::{Gvk, Row},
    schema::TypeRef,
};
use irori_http::Response;
use irori_rules::tree;
use serde_json::Value;

use super::{require_same, success};
use crate::{
    call::Call,
    change,
    commit::{self, Lost},
    decode, limits, negotiate,
    options::WriteOptions,
    read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
};

/// POST of pods/NAME/binding.
pub async fn create(server: &Arc<Server>, call: &mut Call, _row: &Arc<Row>) -> Answered<Response> {
    let gvk = Gvk::new("", "v1", "Binding");
    let binding = decode::typed(server, call, &gvk, &TypeRef::Named("io.k8s.api.core.v1.Binding".into())).await?;
    let name = call.asked.name.clone();
    bind(server, call, &name, &binding).await
}

/// POST of a Binding object: the older way to the same.
pub async fn bind_by_object(server: &Arc<Server>, call: &mut Call, binding: Value) -> Answered<Response> {
    let name = change::text(&binding, "name").to_owned();
    bind(server, call, &name, &binding).await
}

async fn bind(server: &Arc<Server>, call: &mut Call, name: &str, binding: &Value) -> Answered<Response> {
    let dry_run = WriteOptions::read(server, call)?.dry_run;
    let pods = server.tables.resource("", "v1", "pods").cloned().ok_or_else(Refusal::no_such_path)?;
    require_same(binding, &call.asked.namespace, name, "Binding")?;
    let node = tree::text(binding, &["target", "name"]);
    let kind = tree::text(binding, &["target", "kind"]);
    let mut errors = ErrorList::default();
    let target = FieldPath::new("target");
    if !kind.is_empty() && kind != "Node" {
        errors.not_supported(target.child("kind"), kind, &["Node", "<empty>"]);
    }
    if node.is_empty() {
        errors.required(target.child("name"), "");
    }
    if !errors.is_empty() {
        // Upstream answers these as an error of its own, without a reason.
        return Err(Refusal::new(500, "", errors.to_string()));
    }
    let about = About { group: "", resource: "pods/binding", name };
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let entry = read::find(server, &pods, &call.asked.namespace, name).await?;
        let old = respond::tree(server, &pods, &entry)?;
        let uid = change::text(binding, "uid");
        if !uid.is_empty() && uid != change::text(&old, "uid") {
            let why =
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", change::text(&old, "uid"));
            return Err(Refusal::conflict(about, &why));
        }
        if !change::text(&old, "deletionTimestamp").is_empty() {
            return Err(Refusal::conflict(about, &format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let held = tree::text(&old, &["spec", "nodeName"]);
        if !held.is_empty() {
            return Err(Refusal::conflict(about, &format!("pod {name} is already assigned to node {held:?}")));
        }
        if !tree::items(&old, &["spec", "schedulingGates"]).is_empty() {
            return Err(Refusal::conflict(about, &format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        let mut new = old.clone();
        irori_rules::bind_pod(&mut new, node, tree::map(binding, &["metadata", "annotations"]), &change::now(server));
        match commit::update(server, &pods, &entry, &old, &mut new, dry_run).await {
            Ok(()) => {
                let form = negotiate::wanted(call)?.form;
                return Ok(respond::value(server, call, form, 201, &success(201)));
            }
            Err(Lost::Refused(refusal)) => return Err(refusal),
            Err(Lost::Race) => {}
        }
    }
    Err(Refusal::modified(about))
}
