//! What objects cost a whole home in memory: store, informers and controllers together.
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    api::{CONFIG_MAPS, count, fill},
    control, curl,
    ground::Ground,
    home::{Home, Size},
    proc::Usage,
    record::{Record, mb},
    wants,
    wrk::Target,
};

const SIZE: Size = Size { whoami: 1, page: 1 };
const FEW: u64 = 10_000;
const MANY: u64 = 100_000;
const CLIENTS: u32 = 16;
const API: &str = "https://127.0.0.1:6443";
const AUTHORIZED_MAX: Duration = Duration::from_secs(30);
/// For what goes on after the last write: snapshots, what allocators give back.
const SETTLE: Duration = Duration::from_secs(30);
/// Of a slope, for each object: what is not JSON.
const BYTES_PER_OBJECT: f64 = 300.0;
const TIMES_JSON: f64 = 1.5;

pub fn run(ground: &Ground) -> Result<()> {
    let mut record = Record::start("memory", ground)?;
    let outcome = measure(ground, &mut record);
    record.finish(outcome)
}

fn measure(ground: &Ground, record: &mut Record) -> Result<()> {
    let mut home = Home::new(ground, SIZE)?;
    home.start(None)?;
    home.wait_up()?;
    home.wait_replicas()?;
    let (api, pid) = (home.api()?, home.pid()?);
    let token = administrator(&api)?;
    let bearer = format!("Authorization: Bearer {token}");
    control::until("the load may read its objects", AUTHORIZED_MAX, || {
        let url = format!("{API}{CONFIG_MAPS}?limit=1");
        Ok(curl::answers(Some(home.namespace()), &["-H", &bearer], &url)?.then_some(()))
    })?;
    let target = Target { ground, url: API, token: &token, pid, namespace: Some(home.namespace()) };

    let mut looks = Vec::new();
    for goal in [FEW, MANY] {
        fill(&target, &api, "configmaps", CLIENTS, goal - count(&api, CONFIG_MAPS)?)?;
        control::pause(SETTLE)?;
        let (there, usage) = (count(&api, CONFIG_MAPS)?, Usage::sum(&[pid]));
        let shown = format!(
            "RSS {:.1} MB (anonymous {:.1} MB), PSS {:.1} MB",
            mb(usage.rss_kb * 1024),
            mb(usage.anonymous_kb * 1024),
            mb(usage.pss_kb * 1024)
        );
        record.note(&format!("{there} objects"), &shown);
        looks.push((there, usage.rss_kb * 1024));
    }
    let list = api.get(&format!("{CONFIG_MAPS}?limit=1"))?;
    let name = list["items"][0]["metadata"]["name"].as_str().context("no object is listed")?;
    let json = api.get_as(&format!("{CONFIG_MAPS}/{name}"), "application/json")?.len();
    let ((few, before), (many, after)) = (looks[0], looks[1]);
    let slope = after.saturating_sub(before) as f64 / (many - few) as f64;
    let allowed = json as f64 * TIMES_JSON + BYTES_PER_OBJECT;
    record.note("an object", &format!("{json} bytes of JSON, {slope:.0} bytes of memory, of {allowed:.0} allowed"));
    record.judge(&wants::SLOPE, slope / allowed);
    home.down()
}

/// The namespace of the load, and a token of a service account that may do all.
fn administrator(api: &curl::Api) -> Result<String> {
    api.create("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}))?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}});
    api.create("/api/v1/namespaces/bench/serviceaccounts", &account)?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "bench"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "bench", "name": "load"}]});
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3_600}});
    let answer: Value = api.create("/api/v1/namespaces/bench/serviceaccounts/load/token", &request)?;
    Ok(answer["status"]["token"].as_str().context("no token in the answer")?.to_owned())
}
