//! Kinds that are only answered: token and access reviews.
use std::sync::Arc;

use irori_api::row::Row;
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
        crate::change::place_in_namespace(&mut review, row, &call.asked.namespace)?;
        let errors = irori_rules::validate_access_review(row, &review);
        if !errors.is_empty() {
            return Err(Refusal::invalid(About { group: &row.gvk.group, resource: "", name: "" }, &errors));
        }
    }
    managed::track_create(&server.tables, row, &mut review, &options.writer());
    match row.gvk.kind.as_str() {
        "TokenReview" => token(server, &mut review).await?,
        "SelfSubjectReview" => {
            review["status"] = json!({"userInfo": call.user.to_json()});
            review["metadata"] = json!({"creationTimestamp": crate::change::now(server)});
        }
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let user = subject(&review)?;
            decide(server, &user, &mut review);
        }
        "SelfSubjectAccessReview" => decide(server, &call.user, &mut review),
        "SelfSubjectRulesReview" => rules(server, &call.user, &mut review)?,
        "Binding" => return sub::bind_by_object(server, call, review).await,
        other => return Err(Refusal::not_implemented(other)),
    }
    respond::object(server, call, row, 201, review)
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
