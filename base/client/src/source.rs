//! List and watch of one collection, for ever: resumed by revision, listed anew when the revision is gone.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use futures::StreamExt;
use http::{Request, header};
use http_body_util::BodyExt;
use irori_http::BoxError;
use irori_runtime::{Backoff, Shutdown};
use kube::core::Status;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::{ApiError, error::chain};

/// Objects in one page of a list.
const PAGE_OBJECTS: u32 = 500;
/// Bytes of one watch event. A longer one ends the watch; the list that follows has the object.
const LINE_BYTES_MAX: usize = 16 << 20;
/// How long the server is asked to hold a watch: this, and up to as much again by collection, so that not all end at once.
const WATCH_SECONDS: u64 = 1500;
/// The wait on our side beyond it, for a server that does not keep its word.
const WATCH_GRACE: Duration = Duration::from_secs(30);
/// A watch that ends sooner counts as failed, so that a server that ends each at once is not asked in a circle.
const WATCH_SHORT: Duration = Duration::from_secs(1);
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(15) };
/// Failures in a row before somebody is told.
const FAILURES_QUIET: u32 = 3;

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Collection {
    /// `/api/v1/pods`, `/apis/apps/v1/namespaces/x/deployments`.
    pub path: String,
    /// Field selector, empty for none.
    pub fields: String,
    /// Label selector, empty for none.
    pub labels: String,
    /// Ask for PartialObjectMetadata.
    pub metadata_only: bool,
}

impl Collection {
    /// All of `K`, in all namespaces.
    pub fn of<K: kube::Resource<DynamicType = ()>>() -> Self {
        Self { path: K::url_path(&(), None), fields: String::new(), labels: String::new(), metadata_only: K::metadata_api() }
    }

    fn uri(&self, query: &str) -> String {
        let mut uri = format!("{}?{query}", self.path);
        for (name, value) in [("fieldSelector", &self.fields), ("labelSelector", &self.labels)] {
            if !value.is_empty() {
                uri = format!("{uri}&{name}={}", percent_encoded(value));
            }
        }
        uri
    }

    fn accept(&self, list: bool) -> &'static str {
        match (self.metadata_only, list) {
            (false, _) => "application/json",
            (true, true) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            (true, false) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        }
    }

    fn watch_seconds(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        WATCH_SECONDS + hasher.finish() % WATCH_SECONDS
    }
}

/// What happened to a collection.
#[derive(Debug)]
pub enum Event<T> {
    /// This is all there was at `revision`; what is not here is gone.
    Listed { objects: Vec<T>, revision: String },
    /// Created or changed.
    Put(T),
    /// Gone; the last known state, or as much of it as the server told.
    Deleted(T),
    /// Nothing of this collection changed up to this revision.
    Progress { revision: String },
}

#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("ask the API")]
    Api(#[from] kube::Error),
    #[error("the revision is compacted")]
    Expired,
    #[error("read the watch")]
    Read(#[source] BoxError),
    #[error("decode the answer")]
    Decode(#[from] serde_json::Error),
    #[error("a watch event is over {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("the watch ended at once")]
    Short,
}

/// Follows `collection` until shutdown, telling `sink`, which must not block. Objects that do not decode are left out with a warning.
pub async fn follow<T>(client: kube::Client, collection: Collection, shutdown: Shutdown, mut sink: impl FnMut(Event<T>) + Send)
where
    T: kube::Resource + DeserializeOwned + Send,
{
    let _stopped = shutdown.guard(follow_for_ever(&client, &collection, &mut sink)).await;
}

async fn follow_for_ever<T>(client: &kube::Client, collection: &Collection, sink: &mut (impl FnMut(Event<T>) + Send))
where
    T: kube::Resource + DeserializeOwned + Send,
{
    let mut failures = 0;
    loop {
        let mut revision = match list(client, collection).await {
            Ok((objects, revision)) => {
                sink(Event::Listed { objects, revision: revision.clone() });
                revision
            }
            Err(source) => {
                failed(collection, &source, &mut failures).await;
                continue;
            }
        };
        loop {
            let started = Instant::now();
            let before = revision.clone();
            let ended = watch(client, collection, &mut revision, sink).await;
            if revision != before || started.elapsed() >= WATCH_SHORT {
                failures = 0;
            }
            let ended = match ended {
                Ok(()) if started.elapsed() < WATCH_SHORT && revision == before => Err(SourceError::Short),
                ended => ended,
            };
            match ended {
                Ok(()) => {}
                Err(SourceError::Expired) => {
                    debug!(path = collection.path, "the watched revision is gone, listing anew");
                    if failures > 0 {
                        tokio::time::sleep(BACKOFF.wait(failures)).await;
                    }
                    failures += 1;
                    break;
                }
                Err(source) => failed(collection, &source, &mut failures).await,
            }
        }
    }
}

async fn failed(collection: &Collection, source: &SourceError, failures: &mut u32) {
    if *failures == FAILURES_QUIET {
        warn!(path = collection.path, "follow collection: {}", chain(source));
    } else {
        debug!(path = collection.path, failures, "follow collection: {}", chain(source));
    }
    tokio::time::sleep(BACKOFF.wait(*failures)).await;
    *failures = failures.saturating_add(1);
}

#[derive(Deserialize)]
#[serde(bound = "'de: 'a")]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

async fn list<T: DeserializeOwned>(client: &kube::Client, collection: &Collection) -> Result<(Vec<T>, String), SourceError> {
    let mut objects = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let query = match &next {
            None => format!("limit={PAGE_OBJECTS}"),
            Some(token) => format!("limit={PAGE_OBJECTS}&continue={}", percent_encoded(token)),
        };
        let request = Request::get(collection.uri(&query)).header(header::ACCEPT, collection.accept(true)).body(Vec::new());
        let request = request.map_err(kube::Error::HttpError)?;
        let text = match client.request_text(request).await {
            Ok(text) => text,
            Err(kube::Error::Api(status)) if status.code == 410 => return Err(SourceError::Expired),
            Err(source) => return Err(source.into()),
        };
        let page: Page<'_> = serde_json::from_str(&text)?;
        objects.extend(page.items.unwrap_or_default().into_iter().filter_map(|raw| decode(collection, raw.get())));
        match page.metadata.next.filter(|token| !token.is_empty()) {
            Some(token) => next = Some(token),
            None => return Ok((objects, page.metadata.resource_version)),
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct OnlyMeta {
    metadata: PageMeta,
}

/// One watch from `revision` to its end; `revision` moves along.
async fn watch<T>(
    client: &kube::Client,
    collection: &Collection,
    revision: &mut String,
    sink: &mut (impl FnMut(Event<T>) + Send),
) -> Result<(), SourceError>
where
    T: kube::Resource + DeserializeOwned + Send,
{
    let seconds = collection.watch_seconds();
    let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={revision}");
    let request = Request::get(collection.uri(&query)).header(header::ACCEPT, collection.accept(false));
    let request = request.body(kube::client::Body::empty()).map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds) + WATCH_GRACE;
    let mut chunks = response.into_body().into_data_stream();
    let mut buffer = BytesMut::new();
    let mut searched = 0;
    loop {
        while let Some(end) = buffer[searched..].iter().position(|byte| *byte == b'\n').map(|at| at + searched) {
            tell(collection, &buffer[..end], revision, sink)?;
            buffer.advance(end + 1);
            searched = 0;
        }
        searched = buffer.len();
        if searched > LINE_BYTES_MAX {
            return Err(SourceError::LineTooLong);
        }
        match tokio::time::timeout_at(deadline, chunks.next()).await {
            Ok(Some(Ok(chunk))) => buffer.extend_from_slice(&chunk),
            Ok(Some(Err(source))) => return Err(SourceError::Read(source.into())),
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

fn tell<T>(
    collection: &Collection,
    line: &[u8],
    revision: &mut String,
    sink: &mut impl FnMut(Event<T>),
) -> Result<(), SourceError>
where
    T: kube::Resource + DeserializeOwned,
{
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    match &*line.r#type {
        "BOOKMARK" => {
            let bookmark: OnlyMeta = serde_json::from_str(line.object.get())?;
            *revision = bookmark.metadata.resource_version;
            sink(Event::Progress { revision: revision.clone() });
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(line.object.get())?;
            return Err(if status.code == 410 { SourceError::Expired } else { kube::Error::Api(status.boxed()).into() });
        }
        kind => {
            let Some(object) = decode::<T>(collection, line.object.get()) else {
                // Its revision still counts: without it the same object would be sent again at once.
                let meta: OnlyMeta = serde_json::from_str(line.object.get())?;
                *revision = meta.metadata.resource_version;
                sink(Event::Progress { revision: revision.clone() });
                return Ok(());
            };
            if let Some(seen) = &object.meta().resource_version {
                revision.clone_from(seen);
            }
            sink(if kind == "DELETED" { Event::Deleted(object) } else { Event::Put(object) });
        }
    }
    Ok(())
}

fn decode<T: DeserializeOwned>(collection: &Collection, json: &str) -> Option<T> {
    match serde_json::from_str(json) {
        Ok(object) => Some(object),
        Err(source) => {
            warn!(path = collection.path, "leave out an object that does not decode: {source}");
            None
        }
    }
}

async fn refused(response: http::Response<kube::client::Body>) -> SourceError {
    let code = response.status();
    let body = http_body_util::Limited::new(response.into_body(), 1 << 20).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let status = serde_json::from_slice::<Status>(&bytes)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(&bytes), "Unknown").with_code(code.as_u16()));
    if status.code == 410 || code.as_u16() == 410 {
        return SourceError::Expired;
    }
    let error = kube::Error::Api(status.boxed());
    debug!(forbidden = error.is_forbidden(), "watch refused");
    error.into()
}

fn percent_encoded(value: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    out
}
