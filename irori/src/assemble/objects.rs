//! Objects that irori itself needs in the API: made at start where they are missing or differ.
use anyhow::{Context as _, Result};
use irori_client::ApiError;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// Where the platform's service accounts live.
pub const SYSTEM_NAMESPACE: &str = "irori-system";
/// The identity of the process's informers: everything but Secrets, read only.
pub const INFORMER_USER: &str = "system:irori:informer";

const CLUSTER_DNS_ROLE: &str = "irori:cluster-dns";

/// Makes every object be as given; a field that is not given stays as it is.
pub async fn ensure(client: &Client, objects: &[Value]) -> Result<()> {
    for object in objects {
        one(client, object).await.with_context(|| {
            let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
            format!("make {} {}", text("/kind"), text("/metadata/name"))
        })?;
    }
    Ok(())
}

async fn one(client: &Client, object: &Value) -> Result<()> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    let (kind, name) = (text("/kind").context("has a kind")?, text("/metadata/name").context("has a name")?);
    let (group, version) = text("/apiVersion").context("has an apiVersion")?.split_once('/').unwrap_or(("", "v1"));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    match api.get_opt(name).await? {
        None => match api.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await {
            Ok(_) => {}
            // Another server of the same home was quicker.
            Err(source) if source.is_already_exists() => {}
            Err(source) => return Err(source.into()),
        },
        Some(live) if holds(&serde_json::to_value(&live)?, object) => {}
        Some(_) => drop(api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await?),
    }
    Ok(())
}

/// Whether `live` has everything that `wanted` says.
fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(k, v)| live.get(k).is_some_and(|l| holds(l, v))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| holds(l, w))
        }
        (live, wanted) => live == wanted,
    }
}

/// Namespace, service accounts and roles of the parts that are not stock.
pub fn own() -> Vec<Value> {
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE}});
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "irori"}}}),
        account("gateway"),
        account("certs"),
        account("signer"),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": INFORMER_USER},
            "rules": readable_without_secrets(),
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": INFORMER_USER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": INFORMER_USER},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": INFORMER_USER}],
        }),
    ];
    // What a node's cluster DNS answers from, beside what the stock role of system:kube-proxy reads.
    all.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": CLUSTER_DNS_ROLE},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}],
    }));
    all.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": CLUSTER_DNS_ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CLUSTER_DNS_ROLE},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}],
    }));
    all.extend(irori_gateway::rules(SYSTEM_NAMESPACE, "gateway"));
    all.extend(irori_certs::rules(SYSTEM_NAMESPACE, "certs", "signer"));
    all
}

/// RBAC has no "all but": the core group is named resource by resource, so that Secrets are left out.
fn readable_without_secrets() -> Value {
    const CORE: [&str; 15] = [
        "configmaps",
        "endpoints",
        "events",
        "limitranges",
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "replicationcontrollers",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "componentstatuses",
    ];
    let groups = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    let verbs = ["get", "list", "watch"];
    json!([
        {"apiGroups": [""], "resources": CORE, "verbs": verbs},
        {"apiGroups": groups, "resources": ["*"], "verbs": verbs},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn informers_never_see_secrets() {
        let rules = readable_without_secrets();
        let core = rules.as_array().unwrap().iter().find(|rule| rule["apiGroups"] == json!([""])).unwrap();
        let resources = core["resources"].as_array().unwrap();
        assert!(!resources.contains(&json!("secrets")) && !resources.contains(&json!("*")));
    }

    #[test]
    fn an_object_holds_what_is_wanted_even_with_defaults_beside() {
        let live = json!({"spec": {"a": [{"x": 1, "y": 2}], "b": 3}});
        assert!(holds(&live, &json!({"spec": {"a": [{"x": 1}]}})));
        assert!(!holds(&live, &json!({"spec": {"a": [{"x": 2}]}})));
        assert!(!holds(&live, &json!({"spec": {"a": []}})));
    }
}
