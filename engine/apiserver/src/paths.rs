//! Paths that are no resources: discovery, OpenAPI, health, version.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use irori_api::status::quoted;
use irori_http::Response;
use serde_json::{Value, json};

use crate::{call::Call, discovery, limits, negotiate::Form, path, refusal::Answered, respond, server::Server, upkeep};

pub async fn answer(server: &Arc<Server>, call: &mut Call) -> Answered<Response> {
    let below = call.asked.path.strip_prefix(upkeep::ROOT).filter(|below| below.is_empty() || below.starts_with('/'));
    if let Some(below) = below.map(str::to_owned) {
        return upkeep::answer(server, call, &below).await;
    }
    if !matches!(call.asked.verb, "get" | "head") {
        return Err(path::not_supported());
    }
    let path = call.asked.path.trim_end_matches('/');
    match path {
        "/healthz" | "/livez" | "/readyz" => health(server, call, path).await,
        "/version" => Ok(json_answer(call, &version())),
        "/metrics" => Ok(respond::bytes(call, 200, "text/plain; version=0.0.4", metrics(server).await?)),
        "/openid/v1/jwks" => Ok(respond::bytes(call, 200, "application/jwk-set+json", server.trust.tokens().jwks().to_string())),
        "/.well-known/openid-configuration" => Ok(json_answer(call, &openid(server))),
        "" => Ok(json_answer(call, &json!({"paths": roots(server)}))),
        _ => match path.strip_prefix("/healthz/").or(path.strip_prefix("/livez/")).or(path.strip_prefix("/readyz/")) {
            Some(check) => one_check(server, call, check).await,
            None => discovery::answer(server, call, path).await,
        },
    }
}

pub fn json_answer(call: &Call, value: &Value) -> Response {
    respond::bytes(call, 200, Form::Json.content_type(), value.to_string())
}

/// What version this is. Clients parse it as a semantic version with a leading v.
pub fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": concat!("v1.36.2-irori.", env!("CARGO_PKG_VERSION")), "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

const CHECKS: [&str; 3] = ["ping", "log", "etcd"];

/// Whether one part works. The store has upstream's name, whatever it is.
async fn check(server: &Server, name: &str) -> Option<Result<(), String>> {
    match name {
        "ping" | "log" => Some(Ok(())),
        "store" | "etcd" => {
            let asked = tokio::time::timeout(limits::HEALTH_WAIT, server.store.current()).await;
            Some(asked.map_err(|late| late.to_string()).and_then(|said| said.map(|_| ()).map_err(|e| e.to_string())))
        }
        "started" => Some(if server.ready.load(Ordering::Acquire) { Ok(()) } else { Err("not ready".to_owned()) }),
        "shutdown" => Some(if server.tasks.shutdown().started() { Err("shutting down".to_owned()) } else { Ok(()) }),
        _ => None,
    }
}

async fn health(server: &Server, call: &Call, path: &str) -> Answered<Response> {
    let mut names: Vec<&str> = CHECKS.to_vec();
    if path == "/readyz" {
        names.extend(["started", "shutdown"]);
    }
    let mut excluded: BTreeSet<&str> = call.query.all("exclude").collect();
    let mut lines = String::new();
    let mut failed = 0;
    for name in names {
        if excluded.remove(name) {
            lines += &format!("[+]{name} excluded: ok\n");
            continue;
        }
        match check(server, name).await {
            Some(Err(why)) => {
                failed += 1;
                tracing::warn!(check = name, "health: {why}");
                lines += &format!("[-]{name} failed: reason withheld\n");
            }
            _ => lines += &format!("[+]{name} ok\n"),
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.into_iter().map(quoted).collect();
        lines += &format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","));
    }
    let word = path.trim_start_matches('/');
    let (code, text) = match (failed, call.query.get("verbose").is_some()) {
        (0, false) => (200, "ok".to_owned()),
        (0, true) => (200, format!("{lines}{word} check passed\n")),
        _ => (500, format!("{lines}{word} check failed\n")),
    };
    Ok(respond::bytes(call, code, "text/plain; charset=utf-8", text))
}

async fn one_check(server: &Server, call: &Call, name: &str) -> Answered<Response> {
    match check(server, name).await {
        None => Ok(discovery::nothing_here(call)),
        Some(Ok(())) => Ok(respond::bytes(call, 200, "text/plain; charset=utf-8", "ok")),
        Some(Err(why)) => {
            tracing::warn!(check = name, "health: {why}");
            let text = format!("internal server error: {name} failed: reason withheld\n");
            Ok(respond::bytes(call, 500, "text/plain; charset=utf-8", text))
        }
    }
}

async fn metrics(server: &Server) -> Answered<String> {
    let mut out = String::from("# TYPE apiserver_request_total counter\n");
    out += &format!("apiserver_request_total {}\n", server.answered.load(Ordering::Relaxed));
    out += "# TYPE apiserver_storage_revision gauge\n";
    out += &format!("apiserver_storage_revision {}\n", server.store.current().await?.0);
    out += "# TYPE apiserver_storage_objects gauge\n";
    let mut running: BTreeMap<&str, u64> = BTreeMap::new();
    server.tasks.list().iter().for_each(|task| *running.entry(task.name).or_default() += 1);
    out += "# TYPE irori_tasks_running gauge\n";
    running.iter().for_each(|(name, count)| out += &format!("irori_tasks_running{{task=\"{name}\"}} {count}\n"));
    out += "# TYPE irori_task_wakeups_total counter\n";
    server
        .tasks
        .wakeups()
        .iter()
        .for_each(|(name, count)| out += &format!("irori_task_wakeups_total{{task=\"{name}\"}} {count}\n"));
    let mut prefixes: Vec<&str> =
        server.tables.rows.values().filter_map(|r| r.storage.as_ref()).map(|s| s.prefix.as_str()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    for prefix in prefixes {
        let count = server.store.count(&format!("{prefix}/")).await?;
        if count > 0 {
            out += &format!("apiserver_storage_objects{{resource=\"{prefix}\"}} {count}\n");
        }
    }
    Ok(out)
}

fn openid(server: &Server) -> Value {
    json!({
        "issuer": server.settings.issuer, "jwks_uri": format!("https://{}/openid/v1/jwks", server.settings.advertised),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn roots(server: &Server) -> Vec<String> {
    let mut paths =
        vec!["/.well-known/openid-configuration".to_owned(), "/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in server.tables.groups.iter().filter(|g| !g.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|v| format!("/apis/{}/{v}", group.name)));
    }
    let rest = ["/healthz", "/livez", "/metrics", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"];
    paths.extend(rest.map(str::to_owned));
    paths.sort();
    paths
}
