//! A small API server for a node under test: objects in memory, lists, watches, merge patches, tokens. It checks nothing.
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use irori_http::{Body, BoxError, full};
use serde_json::{Value, json};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// By path: `/api/v1/namespaces/x/pods/y`.
    objects: BTreeMap<String, Value>,
    /// Revision, type, path, object.
    events: Vec<(u64, &'static str, String, Value)>,
    tokens: u32,
}

/// A path taken apart.
struct Place {
    /// Without namespace and name: `/api/v1/pods`.
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
    sub: Option<String>,
}

impl Place {
    fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let at = if parts[0] == "api" { 2 } else { 3 };
        let (namespace, rest) = match &parts[at..] {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        Self {
            kind: format!("/{}/{}", parts[..at].join("/"), rest[0]),
            namespace,
            name: rest.get(1).map(|s| (*s).to_owned()),
            sub: rest.get(2).map(|s| (*s).to_owned()),
        }
    }

    fn holds(&self, path: &str, object: &Value, fields: &str) -> bool {
        let other = Self::of(path);
        let matches = |field: &str| match field.split_once('=') {
            Some((path, wanted)) => {
                object.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str) == Some(wanted)
            }
            None => true,
        };
        other.kind == self.kind
            && (self.namespace.is_none() || self.namespace == other.namespace)
            && fields.split(',').all(matches)
    }
}

impl Api {
    pub fn new() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), revision: watch::Sender::new(0) }))
    }

    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        irori_client::in_process(tower::service_fn(move |request: http::Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        }))
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.state.lock().expect("lock").objects.get(path).cloned()
    }

    pub fn list(&self, kind: &str) -> Vec<Value> {
        let place = Place::of(kind);
        let state = self.0.state.lock().expect("lock");
        state.objects.iter().filter(|(path, object)| place.holds(path, object, "")).map(|(_, object)| object.clone()).collect()
    }

    /// Creates or replaces.
    pub fn put(&self, path: &str, mut object: Value) -> Value {
        let mut state = self.0.state.lock().expect("lock");
        let old = state.objects.get(path);
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let place = Place::of(path);
        let meta = object["metadata"].as_object_mut().expect("metadata");
        meta.insert("name".into(), json!(place.name));
        if let Some(namespace) = &place.namespace {
            meta.insert("namespace".into(), json!(namespace));
        }
        let uid = old.map_or_else(|| json!(uuid::Uuid::new_v4().to_string()), |old| old["metadata"]["uid"].clone());
        meta.entry("uid").or_insert(uid);
        self.write(&mut state, kind, path, object)
    }

    fn write(&self, state: &mut State, kind: &'static str, path: &str, mut object: Value) -> Value {
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        if kind == "DELETED" {
            state.objects.remove(path);
        } else {
            state.objects.insert(path.to_owned(), object.clone());
        }
        state.events.push((state.revision, kind, path.to_owned(), object.clone()));
        self.0.revision.send_replace(state.revision);
        object
    }

    /// As a user deletes a pod: it goes when its node says so.
    pub fn delete_gracefully(&self, path: &str, grace: u64) {
        let mut object = self.get(path).expect("it is there");
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.put(path, object);
    }

    /// It is gone at once.
    pub fn remove(&self, path: &str) {
        let mut state = self.0.state.lock().expect("lock");
        if let Some(object) = state.objects.get(path).cloned() {
            self.write(&mut state, "DELETED", path, object);
        }
    }

    /// Waits until `seen` says so of the state of the world.
    pub async fn until<T>(&self, what: &str, mut seen: impl FnMut(&Self) -> Option<T>) -> T {
        let mut revision = self.0.revision.subscribe();
        let wait = async {
            loop {
                revision.mark_unchanged();
                if let Some(found) = seen(self) {
                    return found;
                }
                revision.changed().await.expect("the API lives");
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), wait).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come: {:#?}", self.list("/api/v1/pods")),
        }
    }

    async fn answer(&self, request: http::Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = irori_http::read_limited(body, 1 << 24).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let path = head.uri.path().to_owned();
        let query: BTreeMap<String, String> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.replace("%3D", "=").replace("%2C", ",")))
            .collect();
        let place = Place::of(&path);
        let fields = query.get("fieldSelector").cloned().unwrap_or_default();
        match (head.method, &place.name, place.sub.as_deref()) {
            (Method::GET, None, _) if query.contains_key("watch") => self.watch(place, fields, &query),
            (Method::GET, None, _) => self.listing(&place, &fields),
            (Method::GET, Some(_), _) => found(self.get(&path)),
            (Method::POST, Some(_), Some("token")) => {
                let mut state = self.0.state.lock().expect("lock");
                state.tokens += 1;
                let expires = irori_runtime::Timestamp::now() + irori_runtime::SignedDuration::from_secs(3600);
                let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let status = json!({ "token": format!("token-{}", state.tokens), "expirationTimestamp": expires });
                answer(
                    StatusCode::CREATED,
                    &json!({ "kind": "TokenRequest", "metadata": {}, "spec": body["spec"], "status": status }),
                )
            }
            (Method::POST, None, _) => {
                let name = body["metadata"]["name"].as_str().map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
                let path = format!("{path}/{name}");
                if self.get(&path).is_some() {
                    return refusal(StatusCode::CONFLICT, "AlreadyExists");
                }
                answer(StatusCode::CREATED, &self.put(&path, body))
            }
            (Method::PATCH, Some(_), sub) => {
                let path = path.trim_end_matches("/status").to_owned();
                let Some(mut object) = self.get(&path) else { return refusal(StatusCode::NOT_FOUND, "NotFound") };
                let mut body = body;
                if let Some(uid) = body.pointer("/metadata/uid")
                    && *uid != object["metadata"]["uid"]
                {
                    return refusal(StatusCode::CONFLICT, "Conflict");
                }
                if sub == Some("status") {
                    body = json!({ "status": body["status"] });
                }
                merge(&mut object, &body);
                answer(StatusCode::OK, &self.put(&path, object))
            }
            (Method::DELETE, Some(_), _) => {
                let Some(object) = self.get(&path) else { return refusal(StatusCode::NOT_FOUND, "NotFound") };
                self.remove(&path);
                answer(StatusCode::OK, &object)
            }
            other => panic!("the test's API does not know {other:?}"),
        }
    }

    fn listing(&self, place: &Place, fields: &str) -> Response<Body> {
        let state = self.0.state.lock().expect("lock");
        let items: Vec<&Value> = state.objects.iter().filter(|(p, o)| place.holds(p, o, fields)).map(|(_, o)| o).collect();
        answer(
            StatusCode::OK,
            &json!({ "kind": "List", "metadata": { "resourceVersion": state.revision.to_string() }, "items": items }),
        )
    }

    fn watch(&self, place: Place, fields: String, query: &BTreeMap<String, String>) -> Response<Body> {
        let from: u64 = query.get("resourceVersion").and_then(|r| r.parse().ok()).unwrap_or(0);
        let (api, place) = (self.clone(), Arc::new(place));
        let lines = stream::unfold((from, self.0.revision.subscribe()), move |(from, mut revision)| {
            let (api, place, fields) = (api.clone(), place.clone(), fields.clone());
            async move {
                loop {
                    revision.mark_unchanged();
                    let (text, to) = {
                        let state = api.0.state.lock().expect("lock");
                        let new =
                            state.events.iter().filter(|(r, _, path, object)| *r > from && place.holds(path, object, &fields));
                        let text: String =
                            new.map(|(_, kind, _, object)| format!("{}\n", json!({ "type": kind, "object": object }))).collect();
                        (text, state.revision)
                    };
                    if !text.is_empty() {
                        return Some((Ok::<_, BoxError>(bytes::Bytes::from(text)), (to, revision)));
                    }
                    revision.changed().await.ok()?;
                }
            }
        });
        Response::new(irori_http::stream(lines.boxed()))
    }
}

fn answer(code: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = code;
    response
}

fn found(object: Option<Value>) -> Response<Body> {
    object.map_or_else(|| refusal(StatusCode::NOT_FOUND, "NotFound"), |object| answer(StatusCode::OK, &object))
}

fn refusal(code: StatusCode, reason: &str) -> Response<Body> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code.as_u16(), "reason": reason, "message": reason });
    answer(code, &status)
}

/// A merge patch; lists of conditions merge by type, other lists are replaced.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in fields {
        match value {
            Value::Null => {
                into.as_object_mut().expect("an object").remove(name);
            }
            Value::Array(items) if name == "conditions" => {
                let mut all = into[name].as_array().cloned().unwrap_or_default();
                for item in items {
                    all.retain(|old| old["type"] != item["type"]);
                    let mut fresh = json!({});
                    merge(&mut fresh, item);
                    all.push(fresh);
                }
                into[name] = json!(all);
            }
            Value::Array(items) => into[name] = items.iter().filter(|item| item.get("$patch").is_none()).cloned().collect(),
            Value::Object(_) => merge(&mut into[name], value),
            value => into[name] = value.clone(),
        }
    }
}
