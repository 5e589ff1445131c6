//! serviceaccounts/NAME/token: TokenRequest.
use std::sync::Arc;

use irori_api::{
    field::{FieldError, FieldPath, Wrong},
    row::{Gvk, Row},
    schema::TypeRef,
};
use irori_http::Response;
use irori_rules::{managed, tree};
use irori_runtime::SignedDuration;
use serde_json::{Value, json};

use crate::{
    authn::tokens::{self, Bound},
    call::Call,
    change, decode, limits, negotiate,
    options::WriteOptions,
    read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
    stored,
};

/// POST: a token for the account, bound to a pod, secret or node if one is named.
pub async fn create(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let options = WriteOptions::read(server, call)?;
    let gvk = Gvk::new("authentication.k8s.io", "v1", "TokenRequest");
    let of = TypeRef::Named("io.k8s.api.authentication.v1.TokenRequest".into());
    let mut request = decode::typed(server, call, &gvk, &of).await?;
    managed::track_create_type(&server.tables, &gvk, &of, &mut request, &options.writer());
    let entries = tree::get(&request, &["metadata", "managedFields"]).cloned();
    let (namespace, name) = (call.asked.namespace.clone(), call.asked.name.clone());
    change::place_in_namespace(&mut request, row, &namespace)?;
    let given = change::text(&request, "name");
    if !given.is_empty() && given != name {
        let why = "must match the service account name if specified";
        let error = FieldError::new(FieldPath::new("metadata").child("name"), Wrong::Invalid, given, why);
        return Err(Refusal::invalid_field(
            About { group: "authentication.k8s.io", resource: "TokenRequest", name: &name },
            error,
        ));
    }
    let entry = read::find(server, row, &namespace, &name).await?;
    let account = stored::tree(&entry).map_err(Refusal::internal)?;
    let mut audiences: Vec<String> =
        tree::items(&request, &["spec", "audiences"]).iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    if audiences.is_empty() {
        audiences = server.settings.audiences.clone();
        tree::set(&mut request, &["spec", "audiences"], audiences.clone());
    }
    let seconds = tree::int(&request, &["spec", "expirationSeconds"]).unwrap_or(3600);
    if let Some(why) = wrong_life(seconds) {
        let error = FieldError::new(FieldPath::new("spec").child("expirationSeconds"), Wrong::Invalid, seconds, why);
        return Err(Refusal::invalid_field(About { group: "authentication.k8s.io", resource: "TokenRequest", name: "" }, error));
    }
    tree::set(&mut request, &["spec", "expirationSeconds"], seconds);
    let bound = bound(server, call, &request, &namespace, &name).await?;
    let now = server.clock.now();
    let end = now.checked_add(SignedDuration::from_secs(seconds)).map_err(Refusal::internal)?;
    let token = if options.dry_run {
        String::new()
    } else {
        let uid = change::text(&account, "uid");
        tokens::issue(server, &namespace, &name, uid, &audiences, &bound, now.as_second(), end.as_second())?
    };
    let of_account = |field: &str| account["metadata"].get(field).cloned().unwrap_or_default();
    request["metadata"] = json!({
        "name": name, "namespace": namespace, "uid": of_account("uid"), "creationTimestamp": of_account("creationTimestamp"),
    });
    if let Some(entries) = entries {
        request["metadata"]["managedFields"] = entries;
    }
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": token, "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    let form = negotiate::wanted(call)?.form;
    Ok(respond::value(server, call, form, 201, &request))
}

fn wrong_life(seconds: i64) -> Option<&'static str> {
    if seconds < limits::TOKEN_LIFE_S_MIN {
        return Some("may not specify a duration less than 10 minutes");
    }
    (seconds > limits::TOKEN_LIFE_S_MAX).then_some("may not specify a duration larger than 2^32 seconds")
}

/// The object that the token lives and dies with.
async fn bound(server: &Server, call: &Call, request: &Value, namespace: &str, account: &str) -> Answered<Bound> {
    let reference = tree::get(request, &["spec", "boundObjectRef"]).filter(|r| !r.is_null());
    if call.user.node().is_some() && reference.is_none_or(|r| tree::text(r, &["kind"]) != "Pod") {
        let about = About { group: "", resource: "serviceaccounts", name: account };
        return Err(Refusal::forbidden(about, "node requested token not bound to a pod"));
    }
    let Some(reference) = reference else { return Ok(Bound::default()) };
    let text = |key: &str| tree::text(reference, &[key]);
    let (kind, name) = (text("kind"), text("name"));
    let (key, resource) = match (text("apiVersion"), kind) {
        ("v1", "Pod") => (format!("core/pods/{namespace}/{name}"), "pods"),
        ("v1", "Secret") => (format!("core/secrets/{namespace}/{name}"), "secrets"),
        ("v1", "Node") => (format!("core/nodes/{name}"), "nodes"),
        (version, kind) => {
            return Err(Refusal::bad_request(format!(
                "cannot bind token for serviceaccount to object of type {version}, Kind={kind}"
            )));
        }
    };
    let about = About { group: "", resource, name };
    let entry = server.store.get(&key).await?.ok_or_else(|| Refusal::not_found(about))?;
    let object = stored::tree(&entry).map_err(Refusal::internal)?;
    let uid = change::text(&object, "uid").to_owned();
    if !text("uid").is_empty() && text("uid") != uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(Refusal::conflict(about, &why));
    }
    let mut out = Bound { kind: kind.to_owned(), name: name.to_owned(), uid, node: None };
    if kind == "Pod" {
        if tree::text(&object, &["spec", "serviceAccountName"]) != account {
            return Err(Refusal::bad_request(format!(
                "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
            )));
        }
        let node = tree::text(&object, &["spec", "nodeName"]);
        if let Some(asking) = call.user.node().filter(|asking| *asking != node) {
            let why = format!("node requested token bound to a pod scheduled on a different node: {asking}");
            return Err(Refusal::forbidden(About { group: "", resource: "serviceaccounts", name: account }, &why));
        }
        if !node.is_empty() {
            let entry = server.store.get(&format!("core/nodes/{node}")).await?;
            let uid = entry.and_then(|e| stored::tree(&e).ok()).map(|n| change::text(&n, "uid").to_owned());
            out.node = Some((node.to_owned(), uid.unwrap_or_default()));
        }
    }
    Ok(out)
}
