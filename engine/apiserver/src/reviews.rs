//! Kinds that are only answered: token and access reviews.
use std::sync::Arc;

use irori_api::{
    field::{ErrorList, FieldPath},
    row::Row,
};
use irori_http::Response;
use irori_rules::{managed, tree};
use serde_json::{Value, json};

use crate::{
    authn,
    authz::{self, Attributes, Rule},
    call::Call,
    decode,
    identity::UserInfo,
    options::WriteOptions,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
    sub,
};

pub async fn create(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let options = WriteOptions::read(server, call)?;
    let mut review = decode::object(server, call, row).await?;
    irori_rules::default_object(&server.tables, row, &mut review);
    let errors = irori_rules::validate_create(row, row, &review);
    if !errors.is_empty() {
        return Err(Refusal::invalid(crate::change::kind_about(row, ""), &errors));
    }
    if row.gvk.kind.ends_with("SubjectAccessReview") {
        check_access_review(row, &review)?;
    }
    managed::track_create(&server.tables, row, &mut review, &options.writer());
    match row.gvk.kind.as_str() {
        "TokenReview" => token(server, &mut review).await?,
        "SelfSubjectReview" => {
            review["status"] = json!({"userInfo": call.user.to_json()});
            review["metadata"] = json!({"creationTimestamp": crate::change::now(server)});
        }
        "SubjectAccessReview" => {
            let user = subject(&review)?;
            decide(server, &user, &mut review);
        }
        "SelfSubjectAccessReview" => decide(server, &call.user, &mut review),
        "LocalSubjectAccessReview" => {
            let user = subject(&review)?;
            let namespace = tree::text(&review, &["spec", "resourceAttributes", "namespace"]);
            if namespace != call.asked.namespace {
                let message =
                    format!("spec.resourceAttributes.namespace must match namespace: {} != {}", namespace, call.asked.namespace);
                return Err(Refusal::bad_request(message));
            }
            decide(server, &user, &mut review);
        }
        "SelfSubjectRulesReview" => rules(server, &call.user, &mut review)?,
        "Binding" => return sub::bind_by_object(server, call, review).await,
        other => return Err(Refusal::not_implemented(other)),
    }
    respond::object(server, call, row, 201, review)
}

/// What an access review must and must not say; it is no object, so its metadata stays empty.
fn check_access_review(row: &Row, review: &Value) -> Answered<()> {
    let mut errors = ErrorList::default();
    let spec = FieldPath::new("spec");
    let (resource, path) =
        (tree::get(review, &["spec", "resourceAttributes"]), tree::get(review, &["spec", "nonResourceAttributes"]));
    match (resource, path) {
        (Some(_), Some(path)) => {
            let shown = json!({"Path": tree::text(path, &["path"]), "Verb": tree::text(path, &["verb"])});
            errors.invalid(
                spec.child("nonResourceAttributes"),
                shown,
                "cannot be specified in combination with resourceAttributes",
            );
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.invalid(spec.child("resourceAttributes"), Value::Null, why);
        }
        _ => {}
    }
    let own = row.gvk.kind.starts_with("Self");
    if !own && tree::text(review, &["spec", "user"]).is_empty() && tree::items(review, &["spec", "groups"]).is_empty() {
        errors.invalid(spec.child("user"), "", "at least one of user or group must be specified");
    }
    let metadata = tree::map(review, &["metadata"]);
    let allowed = |field: &str| field == "managedFields" || (row.namespaced && field == "namespace");
    if let Some(metadata) = metadata.filter(|m| m.keys().any(|field| !allowed(field))) {
        errors.invalid(FieldPath::new("metadata"), Value::Object(metadata.clone()), "must be empty");
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(About { group: &row.gvk.group, resource: "", name: "" }, &errors))
}

async fn token(server: &Server, review: &mut Value) -> Answered<()> {
    let asked: Vec<String> =
        tree::items(review, &["spec", "audiences"]).iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    let audiences = if asked.is_empty() { server.settings.audiences.clone() } else { asked.clone() };
    let token = tree::text(review, &["spec", "token"]).to_owned();
    if token.is_empty() {
        return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
    }
    review["status"] = match authn::by_token(server, &token, &audiences).await? {
        Ok((user, audiences)) => {
            let mut status = json!({"authenticated": true, "user": user.to_json()});
            if !asked.is_empty() {
                status["audiences"] = audiences.into();
            }
            status
        }
        Err(why) => json!({"user": {}, "error": why}),
    };
    Ok(())
}

fn subject(review: &Value) -> Answered<UserInfo> {
    let text = |key: &str| tree::text(review, &["spec", key]).to_owned();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|g| g.as_str().map(str::to_owned)).collect()
    };
    let extra = tree::map(review, &["spec", "extra"]).into_iter().flatten();
    Ok(UserInfo {
        name: text("user"),
        uid: text("uid"),
        groups: list(&review["spec"]["groups"]),
        extra: extra.map(|(k, v)| (k.to_lowercase(), list(v))).collect(),
    })
}

fn decide(server: &Server, user: &UserInfo, review: &mut Value) {
    let resource = |key: &str| tree::text(review, &["spec", "resourceAttributes", key]);
    let path = |key: &str| tree::text(review, &["spec", "nonResourceAttributes", key]);
    let asked = if tree::get(review, &["spec", "resourceAttributes"]).is_some() {
        Attributes {
            verb: resource("verb"),
            is_resource: true,
            group: resource("group"),
            resource: resource("resource"),
            subresource: resource("subresource"),
            namespace: resource("namespace"),
            name: resource("name"),
            fields: "",
            path: "",
        }
    } else {
        Attributes {
            verb: path("verb"),
            is_resource: false,
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            fields: "",
            path: path("path"),
        }
    };
    let decision = authz::decide(server, user, &asked);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    review["status"] = status;
}

fn rules(server: &Server, user: &UserInfo, review: &mut Value) -> Answered<()> {
    let namespace = tree::text(review, &["spec", "namespace"]).to_owned();
    if namespace.is_empty() {
        return Err(Refusal::bad_request("no namespace on request"));
    }
    let mut rules = server.rbac.with(|book| book.rules_for(user, &namespace));
    rules.sort();
    rules.dedup();
    let of = |paths: bool| -> Vec<Value> { rules.iter().filter(|r| r.paths.is_empty() != paths).map(Rule::to_json).collect() };
    review["metadata"] = json!({});
    review["spec"] = json!({});
    review["status"] = json!({"resourceRules": of(false), "nonResourceRules": of(true), "incomplete": false});
    Ok(())
}
