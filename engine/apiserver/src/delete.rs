//! delete: preconditions, grace, finalizers, and at last the end.
use std::sync::Arc;

use irori_api::{
    field::{ErrorList, FieldError, FieldPath, Wrong},
    row::{Gvk, Row},
    status::Status,
};
use irori_http::Response;
use irori_rules::tree;
use irori_store::Entry;
use serde_json::{Value, json};

use crate::{
    admission::{self, Attributes, Operation},
    call::Call,
    change, codec,
    commit::{self, Lost},
    decode, limits, negotiate, options, read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
};

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// DeleteOptions, from body and query.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_s: Option<i64>,
    pub uid: Option<String>,
    pub revision: Option<String>,
    pub propagation: Option<Propagation>,
    /// orphanDependents=false was said: an answer before the end is 202.
    pub accepted: bool,
    pub dry_run: bool,
}

impl DeleteOptions {
    pub async fn read(server: &Server, call: &mut Call) -> Answered<Self> {
        let mut out = Self { dry_run: options::dry_run(call)?, ..Self::default() };
        let form = negotiate::body_form(call)?;
        let bytes = decode::body(call).await?;
        let body = if bytes.is_empty() { Value::Null } else { codec::read(server, form, &bytes, Some(&options_gvk()))?.value };
        if !body.is_null() {
            check_body(server, &body)?;
        }
        let grace = tree::get(&body, &["gracePeriodSeconds"]).filter(|v| !v.is_null());
        out.grace_s = match grace {
            Some(value) => Some(value.as_i64().ok_or_else(|| Refusal::bad_request("gracePeriodSeconds must be an integer"))?),
            None => call.query.number("gracePeriodSeconds")?,
        };
        let given = |key: &str| tree::get(&body, &["preconditions", key]).and_then(Value::as_str).map(str::to_owned);
        (out.uid, out.revision) = (given("uid"), given("resourceVersion"));
        out.dry_run |= options::dry_run_of(&body)?;
        let policy = tree::get(&body, &["propagationPolicy"]).and_then(Value::as_str).or(call.query.get("propagationPolicy"));
        let orphan = tree::get(&body, &["orphanDependents"])
            .and_then(Value::as_bool)
            .or_else(|| call.query.text("orphanDependents").map(|v| v != "false" && v != "0"));
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let error = FieldError::new(FieldPath::new("propagationPolicy"), Wrong::Invalid, policy, why);
            return Err(Refusal::invalid_option("DeleteOptions", error));
        }
        out.propagation = match (policy, orphan) {
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (None, None) => None,
            (Some(other), _) => {
                let mut errors = ErrorList::default();
                errors.not_supported(FieldPath::new("propagationPolicy"), other, &["Foreground", "Background", "Orphan", "nil"]);
                return Err(Refusal::invalid(About { group: "meta.k8s.io", resource: "DeleteOptions", name: "" }, &errors));
            }
        };
        out.accepted = orphan == Some(false);
        Ok(out)
    }
}

fn check_body(server: &Server, body: &Value) -> Answered<()> {
    let kind = body.get("kind").and_then(Value::as_str).unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        return Err(Refusal::bad_request(format!("the body of a deletion is DeleteOptions, not {kind}")));
    }
    let gvk = options_gvk();
    let of = irori_api::schema::TypeRef::Named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".into());
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        // Any group's version may be named here: DeleteOptions belong to all of them.
        fields.insert("apiVersion".into(), "v1".into());
        fields.insert("kind".into(), "DeleteOptions".into());
    }
    irori_rules::decode_type(&server.tables, &gvk.api_version(), &gvk.kind, &of, body)
        .map_err(|e| Refusal::bad_request(e.message))?;
    Ok(())
}

fn options_gvk() -> Gvk {
    Gvk::new("", "v1", "DeleteOptions")
}

/// What a deletion came to.
pub enum Deleted {
    /// It is gone; this is what it was.
    Gone(Value),
    /// It waits for its grace period or its finalizers.
    Waiting(Value),
}

/// DELETE of one object.
pub async fn delete(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let options = DeleteOptions::read(server, call).await?;
    warn_of_what_stays(call, row, &options);
    let name = call.asked.name.clone();
    let namespace = call.asked.namespace.clone();
    if row.gvk.kind == "PriorityClass" && matches!(name.as_str(), "system-node-critical" | "system-cluster-critical") {
        let why = "this is a system priority class and cannot be deleted";
        return Err(Refusal::forbidden(read::about(row, &name), why));
    }
    let deleted = delete_named(server, call, row, &namespace, &name, &options).await?;
    match deleted {
        Deleted::Waiting(object) => respond::object(server, call, row, if options.accepted { 202 } else { 200 }, object),
        Deleted::Gone(object) if returns_object(row) => respond::object(server, call, row, 200, object),
        Deleted::Gone(object) => {
            let status = Status::deleted(&row.gvr, &name, change::text(&object, "uid"));
            let form = negotiate::wanted(call)?.form;
            Ok(respond::value(server, call, form, 200, &status.to_value()))
        }
    }
}

/// Kinds whose deletion is answered with what they were instead of a Status.
fn returns_object(row: &Row) -> bool {
    matches!(
        (row.gvr.group.as_str(), row.gvr.resource.as_str()),
        (
            "",
            "pods"
                | "podtemplates"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "resourcequotas"
        ) | ("storage.k8s.io", "csidrivers" | "csinodes" | "storageclasses" | "volumeattachments" | "volumeattributesclasses")
            | ("resource.k8s.io", _)
    )
}

/// Deletes by name; starts again from the newest object on a lost race.
pub async fn delete_named(
    server: &Arc<Server>,
    call: &mut Call,
    row: &Arc<Row>,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Answered<Deleted> {
    let stored_row = server.stored_as(row);
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let entry = read::find(server, row, namespace, name).await?;
        let object = respond::tree(server, &stored_row, &entry)?;
        check_preconditions(row, &object, &entry, options)?;
        let asked = Attributes { operation: Operation::Delete, row: &stored_row, subresource: "", old: Some(&object) };
        admission::validate(server, call, &asked, &object).await?;
        match one(server, &stored_row, &entry, object, options).await {
            Ok(deleted) => return Ok(deleted),
            Err(Lost::Refused(refusal)) => return Err(refusal),
            Err(Lost::Race) => {}
        }
    }
    Err(Refusal::modified(read::about(row, name)))
}

fn check_preconditions(row: &Row, object: &Value, entry: &Entry, options: &DeleteOptions) -> Answered<()> {
    let name = change::text(object, "name");
    let fail = |what: &str, wanted: &str, is: &str, perhaps: &str| {
        if ends_in_stages(row) {
            let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
            return Err(Refusal::conflict(read::about(row, name), &why));
        }
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({is}). The object might have been {perhaps}"
        );
        Err(Refusal::conflict(change::kind_about(row, name), &why))
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != change::text(object, "uid")) {
        return fail("UID", uid, change::text(object, "uid"), "deleted and then recreated");
    }
    let revision = entry.revision.0.to_string();
    match options.revision.as_deref().filter(|r| **r != revision) {
        Some(wanted) => fail("ResourceVersion", wanted, &revision, "modified"),
        None => Ok(()),
    }
}

/// Kinds that are the door to other objects: a first deletion marks them, and what is behind them goes before they do.
fn ends_in_stages(row: &Row) -> bool {
    is_namespace(row) || is_definition(row)
}

fn is_namespace(row: &Row) -> bool {
    row.gvk.group.is_empty() && row.gvk.kind == "Namespace"
}

fn is_definition(row: &Row) -> bool {
    row.gvk.group == "apiextensions.k8s.io" && row.gvk.kind == "CustomResourceDefinition"
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// One attempt on one entry.
async fn one(server: &Server, row: &Row, entry: &Entry, old: Value, options: &DeleteOptions) -> Result<Deleted, Lost> {
    if is_namespace(row) {
        return namespace(server, row, entry, old, options).await;
    }
    if is_definition(row) && change::text(&old, "deletionTimestamp").is_empty() {
        return definition(server, row, entry, old, options).await;
    }
    let mut object = old.clone();
    let finalizers = finalizers(row, &object, options);
    let deleting = !change::text(&object, "deletionTimestamp").is_empty();
    let grace = if irori_rules::strategy(row).graceful { Some(grace_s(&object, options)) } else { None };
    let mut waits = !finalizers.is_empty();
    set_finalizers(&mut object, finalizers);
    if let Some(grace) = grace {
        let left = tree::int(&object, &["metadata", "deletionGracePeriodSeconds"]);
        if deleting {
            // A running grace period can be made shorter, never longer.
            match (options.grace_s, left) {
                (Some(_), Some(left)) if grace < left => mark(server, &mut object, grace, false),
                (_, Some(left)) if left > 0 => {
                    return keep(server, row, entry, &old, object, options).await;
                }
                _ => {}
            }
        } else {
            mark(server, &mut object, grace, true);
        }
        waits |= tree::int(&object, &["metadata", "deletionGracePeriodSeconds"]).is_some_and(|g| g > 0);
    } else if waits && !deleting {
        mark(server, &mut object, 0, true);
    }
    if waits {
        return keep(server, row, entry, &old, object, options).await;
    }
    commit::delete(server, row, entry, &object, options.dry_run).await?;
    Ok(Deleted::Gone(object))
}

async fn keep(
    server: &Server,
    row: &Row,
    entry: &Entry,
    old: &Value,
    mut object: Value,
    options: &DeleteOptions,
) -> Result<Deleted, Lost> {
    if object != *old {
        commit::update(server, row, entry, old, &mut object, options.dry_run).await?;
    }
    Ok(Deleted::Waiting(object))
}

/// Sets when the object is to be gone.
fn mark(server: &Server, object: &mut Value, grace_s: i64, first: bool) {
    let end =
        server.clock.now().checked_add(irori_runtime::SignedDuration::from_secs(grace_s)).unwrap_or_else(|_| server.clock.now());
    tree::set(object, &["metadata", "deletionTimestamp"], end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    tree::set(object, &["metadata", "deletionGracePeriodSeconds"], grace_s);
    if let (true, Some(generation)) = (first, tree::int(object, &["metadata", "generation"]).filter(|g| *g > 0)) {
        tree::set(object, &["metadata", "generation"], generation + 1);
    }
}

/// A pod's grace: what was asked for, else what its spec says; none if it does not run anywhere.
fn grace_s(pod: &Value, options: &DeleteOptions) -> i64 {
    let own = tree::int(pod, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    let asked = match options.grace_s.unwrap_or(own) {
        negative if negative < 0 => 1,
        other => other,
    };
    let over = matches!(tree::text(pod, &["status", "phase"]), "Failed" | "Succeeded");
    if tree::text(pod, &["spec", "nodeName"]).is_empty() || over { 0 } else { asked }
}

/// Pods of a job stay behind unless somebody says otherwise, which few expect.
pub fn warn_of_what_stays(call: &mut Call, row: &Row, options: &DeleteOptions) {
    if (row.gvr.group.as_str(), row.gvr.resource.as_str()) == ("batch", "jobs") && options.propagation.is_none() {
        call.warn(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
             propagationPolicy=Orphan to suppress this warning",
        );
    }
}

/// The finalizers that the propagation policy leaves.
fn finalizers(row: &Row, object: &Value, options: &DeleteOptions) -> Vec<Value> {
    let mut list: Vec<Value> = tree::items(object, &["metadata", "finalizers"]).to_vec();
    let has = |list: &[Value], name: &str| list.iter().any(|f| f == name);
    let policy = options.propagation.or_else(|| {
        let by_default =
            matches!((row.gvr.group.as_str(), row.gvr.resource.as_str()), ("", "replicationcontrollers") | ("batch", "jobs"));
        match () {
            () if has(&list, ORPHAN) => Some(Propagation::Orphan),
            () if has(&list, FOREGROUND) => Some(Propagation::Foreground),
            () if by_default => Some(Propagation::Orphan),
            () => None,
        }
    });
    let (orphan, foreground) = match policy {
        None => return list,
        Some(Propagation::Background) => (false, false),
        Some(Propagation::Orphan) => (true, false),
        Some(Propagation::Foreground) => (false, true),
    };
    for (name, wanted) in [(ORPHAN, orphan), (FOREGROUND, foreground)] {
        if !wanted {
            list.retain(|f| f != name);
        } else if !has(&list, name) {
            list.push(name.into());
        }
    }
    list
}

fn set_finalizers(object: &mut Value, finalizers: Vec<Value>) {
    if finalizers.is_empty() {
        tree::remove(object, &["metadata", "finalizers"]);
    } else {
        tree::set(object, &["metadata", "finalizers"], finalizers);
    }
}

/// A namespace first stops taking objects; it is gone when its finalizers are.
async fn namespace(server: &Server, row: &Row, entry: &Entry, old: Value, options: &DeleteOptions) -> Result<Deleted, Lost> {
    let mut object = old.clone();
    let finalizers = finalizers(row, &object, options);
    let is_empty = tree::items(&object, &["spec", "finalizers"]).is_empty();
    if change::text(&object, "deletionTimestamp").is_empty() {
        set_finalizers(&mut object, finalizers.clone());
        let now = change::now(server);
        tree::set(&mut object, &["metadata", "deletionTimestamp"], now);
        tree::set(&mut object, &["status", "phase"], "Terminating");
        if !is_empty || !finalizers.is_empty() {
            return keep(server, row, entry, &old, object, options).await;
        }
    } else if !is_empty {
        return Ok(Deleted::Waiting(object)); // it is on its way: nothing changes
    } else if !finalizers.is_empty() {
        set_finalizers(&mut object, finalizers);
        return keep(server, row, entry, &old, object, options).await;
    }
    commit::delete(server, row, entry, &object, options.dry_run).await?;
    Ok(Deleted::Gone(object))
}

/// A definition is answered as it is while its objects go. There are none here, so that it has ended with the answer, unless somebody
/// else has a finalizer on it.
async fn definition(server: &Server, row: &Row, entry: &Entry, old: Value, options: &DeleteOptions) -> Result<Deleted, Lost> {
    let now = change::now(server);
    let mut left = old.clone();
    tree::set(&mut left, &["metadata", "deletionTimestamp"], now.clone());
    let mut conditions = tree::items(&old, &["status", "conditions"]).to_vec();
    conditions.retain(|condition| condition["type"] != "Terminating");
    conditions.push(json!({
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will be initiated soon",
    }));
    tree::set(&mut left, &["status", "conditions"], conditions);
    let mut finalizers: Vec<Value> = tree::items(&old, &["metadata", "finalizers"]).to_vec();
    finalizers.retain(|finalizer| finalizer != CLEANUP);
    set_finalizers(&mut left, finalizers.clone());
    let kept = !finalizers.is_empty();
    finalizers.push(CLEANUP.into());
    let mut shown = left.clone();
    set_finalizers(&mut shown, finalizers);
    if kept {
        commit::update(server, row, entry, &old, &mut left, options.dry_run).await?;
        tree::set(&mut shown, &["metadata", "resourceVersion"], change::text(&left, "resourceVersion").to_owned());
    } else {
        commit::delete(server, row, entry, &left, options.dry_run).await?;
    }
    Ok(Deleted::Waiting(shown))
}
