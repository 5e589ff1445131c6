//! Service-account tokens: signed by our keys, bound to objects that must still be there.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use irori_rules::tree;
use serde_json::{Value, json};

use crate::{
    identity::UserInfo,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

/// Tokens whose signature was checked already. What they are bound to is looked up on every request.
#[derive(Default)]
pub struct TokenCache(Mutex<HashMap<String, Arc<Value>>>);

/// Above this many the cache starts anew.
const CACHED_MAX: usize = 1_024;

impl TokenCache {
    fn claims(&self, server: &Server, token: &str) -> Option<Arc<Value>> {
        let lock = || self.0.lock().expect("no holder of this lock panics");
        if let Some(claims) = lock().get(token) {
            return Some(claims.clone());
        }
        let claims = Arc::new(server.trust.tokens().check(token)?);
        let mut cache = lock();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(token.to_owned(), claims.clone());
        Some(claims)
    }
}

/// What a token is bound to besides its service account.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// `Pod`, `Secret` or `Node`; empty for none.
    pub kind: String,
    pub name: String,
    pub uid: String,
    /// For a pod: the node it runs on.
    pub node: Option<(String, String)>,
}

/// Signs a token. Times are seconds since 1970.
#[allow(clippy::too_many_arguments)]
pub fn issue(
    server: &Server,
    namespace: &str,
    account: &str,
    account_uid: &str,
    audiences: &[String],
    bound: &Bound,
    from_s: i64,
    to_s: i64,
) -> Answered<String> {
    let mut private = json!({"namespace": namespace, "serviceaccount": {"name": account, "uid": account_uid}});
    if !bound.kind.is_empty() {
        private[bound.kind.to_lowercase()] = json!({"name": bound.name, "uid": bound.uid});
    }
    if let Some((name, uid)) = &bound.node {
        private["node"] = if uid.is_empty() { json!({"name": name}) } else { json!({"name": name, "uid": uid}) };
    }
    let claims = json!({
        "iss": server.settings.issuer, "sub": format!("system:serviceaccount:{namespace}:{account}"), "aud": audiences,
        "iat": from_s, "nbf": from_s, "exp": to_s, "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": private,
    });
    server.trust.tokens().sign(&claims).map_err(Refusal::internal)
}

/// Whom a token names and which of the wanted audiences it has; or why it does not hold.
pub async fn check(server: &Server, token: &str, wanted: &[String]) -> Answered<Result<(UserInfo, Vec<String>), String>> {
    let invalid = || Ok(Err("invalid bearer token".to_owned()));
    let Some(claims) = server.token_cache.claims(server, token) else { return invalid() };
    let now_s = server.clock.now().as_second();
    if tree::text(&claims, &["iss"]) != server.settings.issuer
        || tree::int(&claims, &["exp"]).is_none_or(|exp| now_s >= exp)
        || tree::int(&claims, &["nbf"]).is_some_and(|nbf| now_s < nbf)
    {
        return invalid();
    }
    let has = tree::items(&claims, &["aud"]);
    let audiences: Vec<String> = wanted.iter().filter(|w| has.iter().any(|a| a.as_str() == Some(w))).cloned().collect();
    if audiences.is_empty() {
        let (has, wanted) = (Value::from(has.to_vec()), Value::from(wanted.to_vec()));
        let why = format!("[invalid bearer token, token audiences {has} is invalid for the target audiences {wanted}]");
        return Ok(Err(why));
    }
    let Some(private) = claims.get("kubernetes.io") else { return invalid() };
    let namespace = tree::text(private, &["namespace"]);
    let account = tree::text(private, &["serviceaccount", "name"]);
    let uid = tree::text(private, &["serviceaccount", "uid"]);
    if !lives(server, &format!("core/serviceaccounts/{namespace}/{account}"), uid).await? {
        return invalid();
    }
    let mut extra = BTreeMap::new();
    if let Some(id) = claims.get("jti").and_then(Value::as_str) {
        extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={id}")]);
    }
    for (kind, key) in [
        ("pod", format!("core/pods/{namespace}")),
        ("secret", format!("core/secrets/{namespace}")),
        ("node", "core/nodes".to_owned()),
    ] {
        let name = tree::text(private, &[kind, "name"]);
        let uid = tree::text(private, &[kind, "uid"]);
        if name.is_empty() {
            continue;
        }
        // A pod's token names the node it ran on, for information: the pod decides whether the token lives.
        let informs = kind == "node" && private.get("pod").is_some();
        if !informs && !lives(server, &format!("{key}/{name}"), uid).await? {
            return invalid();
        }
        if kind != "secret" {
            extra.insert(format!("authentication.kubernetes.io/{kind}-name"), vec![name.to_owned()]);
            if !uid.is_empty() {
                extra.insert(format!("authentication.kubernetes.io/{kind}-uid"), vec![uid.to_owned()]);
            }
        }
    }
    let user = UserInfo { uid: uid.to_owned(), extra, ..UserInfo::service_account(namespace, account) };
    Ok(Ok((user, audiences)))
}

/// Whether the object is there, is the same one, and is not long past its deletion.
async fn lives(server: &Server, key: &str, uid: &str) -> Answered<bool> {
    const AFTER_DELETION_S: i64 = 60;
    let Some(entry) = server.store.get(key).await? else { return Ok(false) };
    let object = stored::tree(&entry).map_err(Refusal::internal)?;
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    if tree::text(metadata, &["uid"]) != uid {
        return Ok(false);
    }
    let deleted: Option<irori_runtime::Timestamp> = tree::text(metadata, &["deletionTimestamp"]).parse().ok();
    Ok(deleted.is_none_or(|at| server.clock.now().as_second() < at.as_second() + AFTER_DELETION_S))
}
