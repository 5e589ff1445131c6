//! ServiceAccount: every pod has one, and its token unless it says no.
use irori_rules::tree;
use serde_json::{Value, json};

use super::{Attributes, Plugin};
use crate::{
    authz::nodes,
    call::Call,
    change, read,
    refusal::{Answered, Refusal},
    server::Server,
    stored,
};

const MOUNTED_AT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Just above an hour: clients are told of a token that must be renewed.
const TOKEN_LIFE_S: i64 = 3607;

pub struct ServiceAccount;

#[async_trait::async_trait]
impl Plugin for ServiceAccount {
    async fn mutate(&self, server: &Server, call: &mut Call, asked: &Attributes<'_>, pod: &mut Value) -> Answered<()> {
        if !asked.creates("", "pods") {
            return Ok(());
        }
        let name = tree::text(pod, &["metadata", "name"]).to_owned();
        let refuse = |why: String| Err(Refusal::forbidden(read::about(asked.row, &name), &why));
        if nodes::is_mirror(pod) {
            return if tree::text(pod, &["spec", "serviceAccountName"]).is_empty() {
                Ok(())
            } else {
                refuse("a mirror pod may not reference service accounts".to_owned())
            };
        }
        let namespace = call.asked.namespace.clone();
        let mut account = tree::text(pod, &["spec", "serviceAccountName"]).to_owned();
        if account.is_empty() {
            account = match tree::text(pod, &["spec", "serviceAccount"]) {
                "" => "default".to_owned(),
                old => old.to_owned(),
            };
        }
        tree::set(pod, &["spec", "serviceAccountName"], account.clone());
        tree::set(pod, &["spec", "serviceAccount"], account.clone());
        let Some(entry) = server.store.get(&format!("core/serviceaccounts/{namespace}/{account}")).await? else {
            return refuse(format!(
                "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
            ));
        };
        let found = stored::tree(&entry).map_err(Refusal::internal)?;
        let wish = |object: &Value, path: &[&str]| tree::get(object, path).and_then(Value::as_bool);
        let mounts = wish(pod, &["spec", "automountServiceAccountToken"])
            .or_else(|| wish(&found, &["automountServiceAccountToken"]))
            .unwrap_or(true);
        if mounts {
            mount_token(pod, server.settings.openshift);
        }
        if tree::items(pod, &["spec", "imagePullSecrets"]).is_empty() {
            let secrets = tree::items(&found, &["imagePullSecrets"]).to_vec();
            if !secrets.is_empty() {
                tree::set(pod, &["spec", "imagePullSecrets"], secrets);
            }
        }
        Ok(())
    }
}

/// Gives every container the projected volume with token, CA and namespace, unless it mounts something there itself.
fn mount_token(pod: &mut Value, openshift: bool) {
    const PREFIX: &str = "kube-api-access-";
    let found = tree::items(pod, &["spec", "volumes"])
        .iter()
        .map(|v| tree::text(v, &["name"]))
        .find(|n| n.starts_with(PREFIX))
        .map(str::to_owned);
    let volume = found.clone().unwrap_or_else(|| format!("{PREFIX}{}", change::random_letters(5)));
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in tree::items_mut(pod, &["spec", list]) {
            let mut mounts = tree::items(container, &["volumeMounts"]).to_vec();
            if mounts.iter().any(|m| tree::text(m, &["mountPath"]) == MOUNTED_AT) {
                continue;
            }
            used = true;
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNTED_AT}));
            tree::set(container, &["volumeMounts"], mounts);
        }
    }
    if !used || found.is_some() {
        return;
    }
    let mut volumes = tree::items(pod, &["spec", "volumes"]).to_vec();
    let mut sources = vec![
        json!({"serviceAccountToken": {"expirationSeconds": TOKEN_LIFE_S, "path": "token"}}),
        json!({"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}),
        json!({"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}),
    ];
    if openshift {
        let items = json!([{"key": "service-ca.crt", "path": "service-ca.crt"}]);
        sources.push(json!({"configMap": {"name": "openshift-service-ca.crt", "items": items}}));
    }
    volumes.push(json!({"name": volume, "projected": {"defaultMode": 420, "sources": sources}}));
    tree::set(pod, &["spec", "volumes"], volumes);
}
