//! From objects to a cluster: make or change what differs, prune what left the file, wait until it runs.
use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::{WatchStreamExt, watcher},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    model::Home,
    objects::{APP_LABEL, HOME_LABEL, MANAGED_BY, NAMESPACE, Object, objects},
};

/// Remembers what the last run asked for, so that a field that left the file leaves the object too.
const LAST_APPLIED: &str = "irori.dev/last-applied";
/// Kinds that a home file makes and that are pruned when their app leaves it.
const PRUNED: [(&str, &str, &str, &str); 4] = [
    ("apps", "v1", "Deployment", "deployments"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses"),
    ("", "v1", "Service", "services"),
    ("", "v1", "ConfigMap", "configmaps"),
];

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("bring {what} to what the home file says")]
    Apply {
        what: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("look for what left the home file ({kind})")]
    Prune {
        kind: &'static str,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("watch app `{app}`")]
    Watch {
        app: String,
        #[source]
        source: Box<watcher::Error>,
    },
    /// Somebody else's object has the name.
    #[error("{what} exists and was not made by irori; rename the app, or delete the object")]
    NotOurs { what: String },
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub created: Vec<String>,
    pub changed: Vec<String>,
    pub pruned: Vec<String>,
    /// Data of apps that left the file: still there, delete by hand.
    pub kept: Vec<String>,
}

/// A line of the final table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppRow {
    pub app: String,
    /// `ready`, `starting`, `stopped` (0 replicas), or in one word why it does not start, as Kubernetes says it.
    pub state: String,
    /// The same in a sentence; empty where there is nothing to say.
    pub detail: String,
    pub ready: u32,
    pub replicas: u32,
    pub address: String,
    /// A command that works at once, without DNS.
    pub curl: String,
}

/// Brings the cluster to the home. Safe to repeat; writes only what differs.
pub async fn apply(client: &Client, home: &Home, progress: &(dyn Fn(&str) + Sync)) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    for object in objects(home) {
        progress(&format!("{} {}", object.kind, object.name));
        one(client, home, &object, &mut applied).await?;
    }
    prune(client, home, &mut applied).await?;
    Ok(applied)
}

fn api(client: &Client, group: &str, version: &str, kind: &str, plural: &str, namespaced: bool) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    if namespaced { Api::namespaced_with(client.clone(), NAMESPACE, &resource) } else { Api::all_with(client.clone(), &resource) }
}

async fn one(client: &Client, home: &Home, object: &Object, applied: &mut Applied) -> Result<(), ApplyError> {
    let what = format!("{} {}", object.kind.to_lowercase(), object.name);
    let failed = |source: kube::Error| ApplyError::Apply { what: what.clone(), source: Box::new(source) };
    let (group, version) = object.api_version.split_once('/').unwrap_or(("", object.api_version));
    let api = api(client, group, version, object.kind, object.plural, object.namespace.is_some());
    let mut body = object.body.clone();
    body["metadata"]["annotations"][LAST_APPLIED] = json!(object.body.to_string());
    let Some(live) = api.get_opt(&object.name).await.map_err(failed)? else {
        let fresh: DynamicObject = serde_json::from_value(body).expect("an object of ours has apiVersion, kind and metadata");
        api.create(&PostParams::default(), &fresh).await.map_err(failed)?;
        applied.created.push(what);
        return Ok(());
    };
    let ours =
        live.labels().get(MANAGED_BY.0).is_some_and(|v| v == MANAGED_BY.1) && live.labels().get(HOME_LABEL) == Some(&home.name);
    if !ours {
        return Err(ApplyError::NotOurs { what });
    }
    let last = live.annotations().get(LAST_APPLIED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let patch = with_removals(&last, body);
    let before = live.resource_version();
    let after = api.patch(&object.name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(failed)?;
    if after.resource_version() != before {
        applied.changed.push(what);
    }
    Ok(())
}

/// A merge patch (RFC 7386) that sets `wanted` and takes away what `last` had and `wanted` has not.
fn with_removals(last: &Value, wanted: Value) -> Value {
    match (last, wanted) {
        (Value::Object(last), Value::Object(mut wanted)) => {
            for (key, old) in last {
                let patched = match wanted.remove(key) {
                    Some(new) => with_removals(old, new),
                    None => Value::Null,
                };
                wanted.insert(key.clone(), patched);
            }
            Value::Object(wanted)
        }
        (_, wanted) => wanted,
    }
}

async fn prune(client: &Client, home: &Home, applied: &mut Applied) -> Result<(), ApplyError> {
    let ours = ListParams::default().labels(&format!("{}={},{HOME_LABEL}={}", MANAGED_BY.0, MANAGED_BY.1, home.name));
    let wanted: Vec<(String, String)> = objects(home).into_iter().map(|o| (o.kind.to_owned(), o.name)).collect();
    for (group, version, kind, plural) in PRUNED {
        let failed = |source: kube::Error| ApplyError::Prune { kind, source: Box::new(source) };
        let api = api(client, group, version, kind, plural, true);
        for object in api.list(&ours).await.map_err(failed)? {
            let name = object.name_any();
            if wanted.contains(&(kind.to_owned(), name.clone())) {
                continue;
            }
            match api.delete(&name, &DeleteParams::background()).await {
                Ok(_) => applied.pruned.push(format!("{} {name}", kind.to_lowercase())),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let failed = |source: kube::Error| ApplyError::Prune { kind: "PersistentVolumeClaim", source: Box::new(source) };
    for claim in claims.list(&ListParams::default().labels(APP_LABEL)).await.map_err(failed)? {
        if !claim.labels().get(APP_LABEL).is_some_and(|app| home.apps.contains_key(app)) {
            applied.kept.push(format!("persistentvolumeclaim {}", claim.name_any()));
        }
    }
    Ok(())
}

/// Waits until every app runs what the file says, at most `limit`; tells on the way. Returns the apps that did not make it.
pub async fn wait(
    client: &Client,
    home: &Home,
    limit: Duration,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<String>, ApplyError> {
    let mut waiting: BTreeMap<&String, String> = home.apps.keys().map(|app| (app, String::new())).collect();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let selector = watcher::Config::default().labels(&format!("{HOME_LABEL}={}", home.name));
    let mut changes = watcher(deployments, selector).default_backoff().applied_objects().boxed();
    let deadline = tokio::time::Instant::now() + limit;
    while !waiting.is_empty() {
        let Ok(next) = tokio::time::timeout_at(deadline, changes.try_next()).await else { break };
        let Some(deployment) = next.map_err(|source| ApplyError::Watch { app: "*".to_owned(), source: Box::new(source) })? else {
            break;
        };
        let name = deployment.name_any();
        if home.apps.contains_key(&name) {
            let (ready, wanted, settled) = readiness(&deployment);
            progress(&format!("{name} {ready}/{wanted}"));
            if settled {
                waiting.remove(&name);
            }
        }
    }
    Ok(waiting.into_keys().cloned().collect())
}

/// Ready replicas, wanted replicas, and whether the rollout of the newest generation is over.
fn readiness(deployment: &Deployment) -> (u32, u32, bool) {
    let count = |n: Option<i32>| u32::try_from(n.unwrap_or(0)).unwrap_or(0);
    let wanted = count(deployment.spec.as_ref().and_then(|s| s.replicas).or(Some(1)));
    let status = deployment.status.clone().unwrap_or_default();
    let seen = status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0);
    let ready = count(status.ready_replicas);
    let settled = seen && count(status.updated_replicas) == wanted && ready == wanted && count(status.replicas) == wanted;
    (ready, wanted, settled)
}

/// The table as it is now. `gateway` is where the gateway listens; `ca_file` is named in the curl lines.
pub async fn rows(client: &Client, home: &Home, gateway: std::net::SocketAddr, ca_file: &str) -> Result<Vec<AppRow>, ApplyError> {
    let failed = |source: kube::Error| ApplyError::Prune { kind: "Deployment", source: Box::new(source) };
    let ours = ListParams::default().labels(&format!("{HOME_LABEL}={}", home.name));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployments = deployments.list(&ours).await.map_err(failed)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = pods.list(&ours).await.map_err(failed)?;
    let mut rows = Vec::new();
    for (name, app) in &home.apps {
        let deployment = deployments.iter().find(|d| d.name_any() == *name);
        let (ready, replicas, settled) = deployment.map_or((0, app.replicas, false), readiness);
        let trouble = pods.iter().filter(|pod| pod.labels().get(APP_LABEL) == Some(name)).find_map(trouble);
        let of = |word: &str| (word.to_owned(), String::new());
        let (state, detail) = match (settled, replicas, trouble) {
            (true, 0, _) => of("stopped"),
            (true, ..) => of("ready"),
            (false, _, Some(trouble)) => trouble,
            (false, ..) => of("starting"),
        };
        let port = if gateway.port() == 443 { String::new() } else { format!(":{}", gateway.port()) };
        let to = if gateway.ip().is_unspecified() { "127.0.0.1".to_owned() } else { gateway.ip().to_string() };
        let to = if to.contains(':') { format!("[{to}]") } else { to };
        let address = format!("https://{}{port}/", app.host);
        let curl = format!("curl --cacert {ca_file} --resolve {}:{}:{to} {address}", app.host, gateway.port());
        rows.push(AppRow { app: name.clone(), state, detail, ready, replicas, address, curl });
    }
    Ok(rows)
}

/// Why a pod does not run: a word, and a sentence from its own status.
fn trouble(pod: &Pod) -> Option<(String, String)> {
    let status = pod.status.as_ref()?;
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let waiting = containers.find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|r| !matches!(*r, "ContainerCreating" | "PodInitializing"))?;
        // How long the next start is put off says less than how the last run ended.
        let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref()).map(|ended| {
            let said = ended.message.as_deref().map_or(String::new(), |text| format!(": {}", text.trim_end()));
            format!("its last run ended with code {} ({}){said}", ended.exit_code, ended.reason.as_deref().unwrap_or("no reason"))
        });
        Some((reason.to_owned(), last.or_else(|| waiting.message.clone()).unwrap_or_default()))
    });
    waiting.or_else(|| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let stuck = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        Some((stuck.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()), stuck.message.clone().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_left_the_file_is_taken_away_and_others_stay() {
        let last = json!({"spec": {"replicas": 2, "env": {"A": "1", "B": "2"}}});
        let patch = with_removals(&last, json!({"spec": {"replicas": 2, "env": {"A": "1"}}}));
        assert_eq!(patch, json!({"spec": {"replicas": 2, "env": {"A": "1", "B": null}}}));
    }

    #[test]
    fn what_is_wrong_with_a_pod_is_a_word_and_a_sentence() {
        let pod = |status: Value| -> Pod { serde_json::from_value(json!({"status": status})).unwrap() };
        let container = |state: Value, last: Value| json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last});
        let waits = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let ended = json!({"terminated": {"exitCode": 7, "reason": "Error", "message": "no config\n"}});
        for (status, word, sentence) in [
            (
                json!({"containerStatuses": [container(waits("ErrImageNeverPull", "not there"), json!({}))]}),
                "ErrImageNeverPull",
                "not there",
            ),
            (
                json!({"containerStatuses": [container(waits("CrashLoopBackOff", "back-off 10s"), ended)]}),
                "CrashLoopBackOff",
                "its last run ended with code 7 (Error): no config",
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
                "Unschedulable",
                "0/1 nodes",
            ),
        ] {
            assert_eq!(trouble(&pod(status)), Some((word.to_owned(), sentence.to_owned())));
        }
        let starting = json!({"containerStatuses": [container(json!({"waiting": {"reason": "ContainerCreating"}}), json!({}))]});
        assert_eq!(trouble(&pod(starting)), None);
    }

    #[test]
    fn a_rollout_is_settled_only_when_the_newest_generation_runs_whole() {
        let deployment = |observed: i64, ready: i32| -> Deployment {
            serde_json::from_value(json!({
                "metadata": {"generation": 2}, "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": observed, "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready},
            }))
            .unwrap()
        };
        assert_eq!(readiness(&deployment(2, 2)), (2, 2, true));
        assert_eq!(readiness(&deployment(1, 2)), (2, 2, false));
        assert_eq!(readiness(&deployment(2, 1)), (1, 2, false));
    }
}
