//! Impersonation: acting as somebody else, where RBAC allows it (Kubernetes: User impersonation).
use std::collections::BTreeMap;

use crate::{
    authz::{self, Attributes},
    call::Call,
    identity::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, UserInfo},
    query,
    refusal::{Answered, Refusal},
    server::Server,
};

/// Replaces the caller by the one its headers name, after asking whether it may.
pub fn apply(server: &Server, call: &mut Call) -> Answered<()> {
    let (mut user, mut uid, mut groups) = (None, None, Vec::new());
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &call.headers {
        let Some(what) = name.as_str().strip_prefix("impersonate-") else { continue };
        // Whoever asks to be somebody else must never go on as itself because that was not understood.
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| Refusal::bad_request(format!("header {name} is not UTF-8")))?
            .to_owned();
        match what {
            "user" => drop(user.get_or_insert(text)),
            "uid" => drop(uid.get_or_insert(text)),
            "group" => groups.push(text),
            _ => match what.strip_prefix("extra-") {
                Some(key) => extra.entry(query::decode_segment(key)).or_default().push(text),
                None => return Err(Refusal::bad_request(format!("header {name} is not known"))),
            },
        }
    }
    let (user, uid) = (user.unwrap_or_default(), uid.unwrap_or_default());
    if user.is_empty() && groups.is_empty() && uid.is_empty() && extra.is_empty() {
        return Ok(());
    }
    if user.is_empty() {
        let what = format!("requested [{groups:?} {uid:?} {extra:?}] without impersonating a user");
        return Err(Refusal::internal(what));
    }
    let may = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| -> Answered<()> {
        let asked = Attributes {
            verb: "impersonate",
            group,
            resource,
            subresource: sub,
            namespace,
            name,
            fields: "",
            path: "",
            is_resource: true,
        };
        authz::require(server, &call.user, &asked)
    };
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => may("", "serviceaccounts", "", namespace, name)?,
        None => may("", "users", "", "", &user)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", &uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            may("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    let mut all = groups;
    if let (Some((namespace, _)), true) = (account, all.is_empty()) {
        all = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let stranger = user == ANONYMOUS || all.iter().any(|g| g == UNAUTHENTICATED);
    if !stranger && !all.iter().any(|g| g == AUTHENTICATED) {
        all.push(AUTHENTICATED.to_owned());
    } else if user == ANONYMOUS && !all.iter().any(|g| g == UNAUTHENTICATED) {
        all.push(UNAUTHENTICATED.to_owned());
    }
    call.user = UserInfo { name: user, uid, groups: all, extra };
    Ok(())
}
