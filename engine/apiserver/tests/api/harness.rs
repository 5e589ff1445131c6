//! A server on a store of its own, and a client that speaks to it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use irori_api::row::Tables;
use irori_apiserver::{ApiServer, Settings, UserInfo};
use irori_runtime::{Clock, ManualTime, Shutdown, Tasks};
use irori_store::{
    Durability, EmbeddedStore, Entry, Frozen, Limits, Page, Range, Revision, SealedStore, Stats, Store, StoreError, Watch, Write,
};
use irori_trust::CaTree;
use serde_json::{Value, json};
use tower::Service;

pub const ADMIN_TOKEN: &str = "a-token-for-tests";

/// A store that can be told to forget, or to have no room.
pub struct Knobs {
    inner: Arc<dyn Store>,
    pub forgotten_below: AtomicU64,
    pub full: AtomicBool,
    /// Values are read as if an older version had written them: they take the slow path.
    pub older: AtomicBool,
}

#[async_trait::async_trait]
impl Store for Knobs {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.inner.get(key).await?.map(|entry| self.aged(entry)))
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        self.check(range.at)?;
        let mut page = self.inner.range(range).await?;
        page.entries = page.entries.into_iter().map(|entry| self.aged(entry)).collect();
        Ok(page)
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        self.inner.count(prefix).await
    }

    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<Revision, StoreError> {
        if self.full.load(Ordering::Relaxed) { Err(StoreError::Full) } else { self.inner.commit(writes, durability).await }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.check(Some(after))?;
        self.inner.watch(prefix, after).await
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        self.inner.current().await
    }

    async fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.wait_for(revision).await
    }

    async fn freeze(&self) -> Result<Box<dyn Frozen>, StoreError> {
        self.inner.freeze().await
    }

    fn sealing(&self) -> Option<&SealedStore> {
        self.inner.sealing()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn stats(&self) -> Option<Stats> {
        self.inner.stats()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

impl Knobs {
    /// Bytes 2 and 3 of a value are the schema generation.
    fn aged(&self, mut entry: Entry) -> Entry {
        if self.older.load(Ordering::Relaxed) {
            let mut value = entry.value.to_vec();
            value[2..4].fill(0);
            entry.value = value.into();
        }
        entry
    }

    fn check(&self, at: Option<Revision>) -> Result<(), StoreError> {
        let oldest = Revision(self.forgotten_below.load(Ordering::Relaxed));
        match at.filter(|at| *at < oldest) {
            Some(asked) => Err(StoreError::Compacted { asked, oldest }),
            None => Ok(()),
        }
    }
}

pub struct Api {
    pub store: Arc<Knobs>,
    pub server: Arc<ApiServer>,
    pub trust: Arc<CaTree>,
    pub time: ManualTime,
    pub clock: Clock,
    pub tasks: Tasks,
    _dir: tempfile::TempDir,
}

/// Who speaks.
#[derive(Clone)]
pub struct Client {
    server: Arc<ApiServer>,
    user: UserInfo,
}

/// What came back.
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

impl Api {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, time) = Clock::manual("2026-11-21T10:00:00Z".parse().unwrap());
        let tasks = Tasks::new(Shutdown::new());
        let trust = Arc::new(CaTree::open(&dir.path().join("trust"), "home.arpa", &clock).unwrap());
        let store = EmbeddedStore::open(irori_store::Settings::at(&dir.path().join("store")).unwrap(), &tasks).unwrap();
        let store = Arc::new(Knobs {
            inner: store,
            forgotten_below: AtomicU64::new(0),
            full: AtomicBool::new(false),
            older: AtomicBool::new(false),
        });
        let mut settings = Settings { admin_token: Some(ADMIN_TOKEN.to_owned()), ..Settings::default() };
        change(&mut settings);
        let tables = Arc::new(Tables::builtin());
        let server = ApiServer::new(settings, store.clone(), tables, trust.clone(), clock.clone(), tasks.clone()).await.unwrap();
        Self { store, server, trust, time, clock, tasks, _dir: dir }
    }

    pub fn user(&self, name: &str, groups: &[&str]) -> Client {
        Client { server: self.server.clone(), user: UserInfo::new(name, groups) }
    }

    pub fn admin(&self) -> Client {
        self.user("boss", &["system:masters"])
    }

    pub fn node(&self, name: &str) -> Client {
        self.user(&format!("system:node:{name}"), &["system:nodes"])
    }

    /// From the network, with the headers given.
    pub async fn over_network(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        Answer::of(self.server.answer(request(method, path, headers, body.to_owned())).await).await
    }

    /// A namespace with the service account that pods need.
    pub async fn namespace(&self, name: &str) {
        let admin = self.admin();
        admin.post("/api/v1/namespaces", json!({"metadata": {"name": name}})).await.expect(201);
        admin
            .post(&format!("/api/v1/namespaces/{name}/serviceaccounts"), json!({"metadata": {"name": "default"}}))
            .await
            .expect(201);
    }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: String) -> irori_http::Request {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(irori_http::full(body)).unwrap()
}

impl Client {
    pub async fn open(&self, request: irori_http::Request) -> irori_http::Response {
        self.server.in_process(self.user.clone()).call(request).await.unwrap()
    }

    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        Answer::of(self.open(request(method, path, headers, body)).await).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.raw("GET", path, &[], String::new()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.raw("POST", path, &[], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.raw("PUT", path, &[], body.to_string()).await
    }

    pub async fn merge(&self, path: &str, body: Value) -> Answer {
        self.raw("PATCH", path, &[("content-type", "application/merge-patch+json")], body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.raw("DELETE", path, &[], String::new()).await
    }

    /// Opens a watch; events are read one by one.
    pub async fn watch(&self, path: &str) -> Events {
        let response = self.open(request("GET", path, &[], String::new())).await;
        assert_eq!(response.status(), 200, "{path}");
        Events::of(response)
    }
}

impl Answer {
    pub async fn of(response: irori_http::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { code: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The body, if the code is the one.
    #[track_caller]
    pub fn expect(self, code: u16) -> Value {
        let told = &self.bytes[..self.bytes.len().min(2_000)];
        assert_eq!(self.code, code, "{}", String::from_utf8_lossy(told));
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// A refusal: its code, reason and a part of its text.
    #[track_caller]
    pub fn refuses(self, code: u16, reason: &str, text: &str) -> Value {
        let status = self.expect(code);
        assert_eq!(status["kind"], "Status", "{status}");
        assert_eq!(status["reason"].as_str().unwrap_or(""), reason, "{status}");
        assert!(status["message"].as_str().unwrap_or("").contains(text), "{status}");
        status
    }
}

/// The events of one watch.
pub struct Events {
    body: irori_http::Body,
    pending: Vec<u8>,
}

impl Events {
    pub fn of(response: irori_http::Response) -> Self {
        Self { body: response.into_body(), pending: Vec::new() }
    }

    /// The next event; `None` where the stream has ended. Waits at most ten seconds.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame()).await.expect("an event in time")?;
            self.pending.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// Type and name of the next event.
    pub async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.expect("the stream goes on");
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

pub fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

pub fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "registry.example/app:1"}]}})
}

pub fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

pub fn brief(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
