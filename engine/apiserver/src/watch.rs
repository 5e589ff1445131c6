//! watch: cursor of the store ▶ selection ▶ encoded once and shared ▶ one stream per client.
//!
//! Invariant: revisions in one stream only grow; nothing is left out and nothing comes twice.
//! A watch ends at its timeout, when the client falls behind, when the server stops, or with an ERROR event when its revision is gone.
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, stream};
use irori_api::{codec::protobuf, row::Row, status::Status};
use irori_http::Response;
use irori_store::{Entry, Event, Range, Revision, StoreError, Watch, WatchEnd};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};

use crate::{
    call::Call,
    codec,
    flow::Place,
    limits,
    negotiate::{self, Form, Shape, Wanted},
    query::ListOptions,
    read,
    refusal::{Answered, Refusal},
    respond,
    select::Selection,
    server::Server,
    stored,
};

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Added,
    Modified,
    Deleted,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// Encoded events of all watches, and the trees that selectors look at; both made once per event.
#[derive(Default)]
pub struct SharedEvents(Mutex<Shared>);

#[derive(Default)]
struct Shared {
    encoded: HashMap<Encoding, Bytes>,
    encoded_order: VecDeque<Encoding>,
    trees: HashMap<(u64, Arc<str>), Trees>,
    trees_order: VecDeque<(u64, Arc<str>)>,
}

/// Revision, key, kind of event, form, and the group-version that is answered.
type Encoding = (u64, Arc<str>, Kind, Form, Arc<str>);

/// The object after and before an event.
type Trees = Arc<(Option<Value>, Option<Value>)>;

/// Trees held at once; they are several times the size of their bytes.
const TREES_MAX: usize = 128;

impl SharedEvents {
    fn trees(&self, event: &Event) -> Trees {
        let key = (event.revision.0, event.key.clone());
        let lock = || self.0.lock().expect("no holder of this lock panics");
        if let Some(trees) = lock().trees.get(&key) {
            return trees.clone();
        }
        let now = event.value.clone().map(|value| Entry { key: event.key.clone(), value, revision: event.revision });
        let read = |entry: &Entry| stored::tree(entry).ok();
        let trees = Arc::new((now.as_ref().and_then(read), event.previous.as_ref().and_then(read)));
        let mut shared = lock();
        if shared.trees.insert(key.clone(), trees.clone()).is_none() {
            shared.trees_order.push_back(key);
        }
        if shared.trees_order.len() > TREES_MAX
            && let Some(oldest) = shared.trees_order.pop_front()
        {
            shared.trees.remove(&oldest);
        }
        trees
    }

    fn encoded(&self, key: Encoding, encode: impl FnOnce() -> Answered<Bytes>) -> Answered<Bytes> {
        let lock = || self.0.lock().expect("no holder of this lock panics");
        if let Some(bytes) = lock().encoded.get(&key) {
            return Ok(bytes.clone());
        }
        let bytes = encode()?;
        let mut shared = lock();
        if shared.encoded.insert(key.clone(), bytes.clone()).is_none() {
            shared.encoded_order.push_back(key);
        }
        if shared.encoded_order.len() > limits::SHARED_EVENTS_MAX
            && let Some(oldest) = shared.encoded_order.pop_front()
        {
            shared.encoded.remove(&oldest);
        }
        Ok(bytes)
    }
}

/// Opens a watch on a collection (or, by `metadata.name`, on one object).
pub async fn open(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, place: Place) -> Answered<Response> {
    let options = ListOptions::read(&call.query)?;
    options.check_watch()?;
    let mut selection = Selection::read(row, &options)?;
    if !call.asked.name.is_empty() {
        // The name that was authorised, whatever else is selected: the old /watch/ paths say it in the path.
        selection.only(&call.asked.name);
    }
    let wanted = negotiate::wanted(call)?;
    let mut prefix = read::prefix(row, &call.asked.namespace)?;
    let mut only_key = None;
    if let Some(name) = selection.only_name()
        && (!row.namespaced || !call.asked.namespace.is_empty())
    {
        prefix += name;
        only_key = selection.is_one_name().then(|| prefix.clone());
    }
    let mut view = View {
        server: server.clone(),
        row: row.clone(),
        api_version: row.gvk.api_version().into(),
        wanted,
        selection,
        only_key,
        include: call.query.clone(),
        tables_sent: false,
    };
    let mut ready: VecDeque<Bytes> = VecDeque::new();
    let opened = start(server, &prefix, &options, &mut view, &mut ready).await;
    let content_type = match wanted.form {
        Form::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    let feed = match opened {
        Ok((source, after)) => {
            let ends_at = Instant::now() + life(&options);
            let bookmark_at = next_bookmark(Instant::now(), ends_at).filter(|_| options.bookmarks);
            Feed {
                source: Some(source),
                ready,
                view,
                ends_at,
                bookmark_at,
                timer: Box::pin(tokio::time::sleep_until(bookmark_at.unwrap_or(ends_at))),
                after,
                told: Revision(0),
                shutdown: server.tasks.shutdown().waiting().boxed(),
                _place: place,
            }
        }
        // A revision that is gone or does not come is an event of the stream, as upstream's cache has it.
        Err(refusal) if matches!(refusal.code, 410 | 504) => {
            let bytes = view.status(&refusal)?;
            let body = irori_http::stream(stream::iter([Ok(bytes)]));
            return Ok(respond::plain(200, content_type, body));
        }
        Err(refusal) => return Err(refusal),
    };
    let body =
        irori_http::stream(stream::unfold(feed, |mut feed| async move { feed.next().await.map(|bytes| (Ok(bytes), feed)) }));
    Ok(respond::plain(200, content_type, body))
}

fn life(options: &ListOptions) -> Duration {
    match options.timeout_s {
        Some(seconds) => Duration::from_secs(seconds).min(limits::WATCH_LIFE_MAX),
        None => {
            // Spread out, so that watches opened together do not end together.
            let random = u32::try_from(uuid::Uuid::new_v4().as_u128() >> 96).unwrap_or(0);
            limits::WATCH_LIFE_MIN + limits::WATCH_LIFE_MIN.mul_f64(f64::from(random) / f64::from(u32::MAX))
        }
    }
}

/// Opens the cursor, and puts what comes before it into `ready`. The revision is the one after which the client is told of changes.
async fn start(
    server: &Server,
    prefix: &str,
    options: &ListOptions,
    view: &mut View,
    ready: &mut VecDeque<Bytes>,
) -> Answered<(Box<dyn Watch>, Revision)> {
    let asked = options.revision.filter(|revision| *revision > 0);
    let (after, opens_at) = if options.begins_with_what_is_there() {
        if let Some(revision) = asked {
            read::wait_for(server, revision).await?;
        }
        let page = server.store.range(Range { prefix: prefix.to_owned(), ..Range::default() }).await?;
        for entry in &page.entries {
            ready.extend(view.initial(entry)?);
        }
        if options.bookmarks {
            ready.push_back(view.bookmark(page.revision, true)?);
        }
        (page.revision, page.revision)
    } else {
        // A revision that is yet to come is waited for in the stream.
        let current = server.store.current().await?;
        let after = asked.map_or(current, Revision);
        (after, after.min(current))
    };
    match server.store.watch(prefix, opens_at).await {
        Ok(watch) => Ok((watch, after)),
        Err(StoreError::Compacted { asked, oldest }) => Err(Status::too_old(asked.0, oldest.0).into()),
        Err(source) => Err(source.into()),
    }
}

/// How one client sees events.
struct View {
    server: Arc<Server>,
    row: Arc<Row>,
    api_version: Arc<str>,
    wanted: Wanted,
    selection: Selection,
    /// The one key that is selected, where nothing else is asked for.
    only_key: Option<String>,
    /// For `includeObject` of tables.
    include: crate::query::Query,
    tables_sent: bool,
}

impl View {
    /// The event for an object that was there before the watch.
    fn initial(&mut self, entry: &Entry) -> Answered<Option<Bytes>> {
        if !self.selection.matches_entry(&self.row, entry) {
            return Ok(None);
        }
        self.object(Kind::Added, entry, entry.revision).map(Some)
    }

    /// What an event is to this client: nothing, or an addition, change or deletion within its selection.
    fn event(&mut self, event: &Event) -> Answered<Option<Bytes>> {
        let whole = self.selection.is_everything() || self.only_key.as_deref() == Some(&*event.key);
        let (now, before) = if whole {
            (event.value.is_some(), event.previous.is_some())
        } else {
            let trees = self.server.shared_events.trees(event);
            let selected = |tree: &Option<Value>| tree.as_ref().is_some_and(|t| self.selection.matches(&self.row, t));
            (selected(&trees.0), selected(&trees.1))
        };
        let kind = match (before, now) {
            (false, true) => Kind::Added,
            (true, true) => Kind::Modified,
            (true, false) => Kind::Deleted,
            (false, false) => return Ok(None),
        };
        // A deletion shows what was there, under the revision of its end.
        let value = if kind == Kind::Deleted { event.previous.as_ref().map(|p| p.value.clone()) } else { event.value.clone() };
        let Some(value) = value else { return Ok(None) };
        let entry = Entry { key: event.key.clone(), value, revision: event.revision };
        if self.wanted.shape != Shape::Itself {
            return self.object(kind, &entry, event.revision).map(Some);
        }
        let key = (event.revision.0, event.key.clone(), kind, self.wanted.form, self.api_version.clone());
        let server = self.server.clone();
        server.shared_events.encoded(key, || self.object(kind, &entry, event.revision)).map(Some)
    }

    fn object(&mut self, kind: Kind, entry: &Entry, revision: Revision) -> Answered<Bytes> {
        let head = stored::head(entry).map_err(Refusal::internal)?;
        let current = self.wanted.shape == Shape::Itself && head.is_of(&self.row);
        if current && self.wanted.form == Form::Protobuf {
            let mut json = Vec::with_capacity(head.json.len() + 64);
            stored::splice(&mut json, &head, revision.0, false);
            let object = codec::write_json(&self.server, &self.row, &json)?;
            return Ok(protobuf::watch_frame(kind.name(), &object).into());
        }
        if current && self.wanted.form == Form::Json {
            let mut out = Vec::with_capacity(head.json.len() + 160);
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(kind.name().as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            stored::splice(&mut out, &head, revision.0, true);
            out.extend_from_slice(b"}\n");
            return Ok(out.into());
        }
        let object = respond::tree(&self.server, &self.row, entry)?;
        let shown = self.shape(object);
        codec::write_event(&self.server, self.wanted.form, kind.name(), &shown)
    }

    fn shape(&mut self, object: Value) -> Value {
        let header = !self.tables_sent;
        self.tables_sent = true;
        respond::shape_event(&self.server, &self.include, &self.row, self.wanted, object, header)
    }

    /// A bookmark: no more than a revision.
    fn bookmark(&mut self, revision: Revision, initial_end: bool) -> Answered<Bytes> {
        let mut metadata = json!({"resourceVersion": revision.0.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": self.row.gvk.kind, "apiVersion": self.row.gvk.api_version(), "metadata": metadata});
        let shown = self.shape(object);
        codec::write_event(&self.server, self.wanted.form, "BOOKMARK", &shown)
    }

    fn status(&self, refusal: &Refusal) -> Answered<Bytes> {
        codec::write_event(&self.server, self.wanted.form, "ERROR", &refusal.to_value())
    }
}

/// Once a minute, and shortly before the end, so that a quiet watch is resumed from where it was.
fn next_bookmark(now: Instant, ends_at: Instant) -> Option<Instant> {
    let last = ends_at.checked_sub(limits::BOOKMARK_BEFORE_END).filter(|last| *last > now);
    last.map(|last| last.min(now + limits::BOOKMARK_EVERY))
}

/// One client's stream.
struct Feed {
    /// `None`: the last bytes are on their way.
    source: Option<Box<dyn Watch>>,
    ready: VecDeque<Bytes>,
    view: View,
    ends_at: Instant,
    bookmark_at: Option<Instant>,
    /// Of the next bookmark, else of the end. Kept from event to event, like the wait for shutdown: a thousand watchers that set
    /// theirs anew at each would stand in line for the timers.
    timer: Pin<Box<Sleep>>,
    /// What came up to here is not told.
    after: Revision,
    /// The last revision that a bookmark named.
    told: Revision,
    shutdown: BoxFuture<'static, ()>,
    _place: Place,
}

enum Woken {
    Events(Result<Vec<Arc<Event>>, WatchEnd>),
    Bookmark,
    End,
}

impl Feed {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.gather() {
                return Some(bytes);
            }
            let source = self.source.as_mut()?;
            let woken = tokio::select! {
                events = source.next() => Woken::Events(events),
                () = &mut self.timer => if self.bookmark_at.is_some() { Woken::Bookmark } else { Woken::End },
                () = &mut self.shutdown => Woken::End,
            };
            match woken {
                Woken::Events(Ok(events)) => self.take(&events),
                Woken::Events(Err(WatchEnd::Compacted)) => {
                    self.fail(&Refusal::expired("The resourceVersion for the provided watch is too old."))
                }
                // The client resumes by its last revision.
                Woken::Events(Err(WatchEnd::Lagged | WatchEnd::Closed)) | Woken::End => self.source = None,
                Woken::Bookmark => {
                    self.bookmark_at = next_bookmark(Instant::now(), self.ends_at);
                    self.timer.as_mut().reset(self.bookmark_at.unwrap_or(self.ends_at));
                    let progress = source.progress();
                    if progress > self.told && progress >= self.after {
                        self.told = progress;
                        match self.view.bookmark(progress, false) {
                            Ok(bytes) => self.ready.push_back(bytes),
                            Err(refusal) => self.fail(&refusal),
                        }
                    }
                }
            }
        }
    }

    fn take(&mut self, events: &[Arc<Event>]) {
        for event in events.iter().filter(|event| event.revision > self.after) {
            match self.view.event(event) {
                Ok(bytes) => self.ready.extend(bytes),
                Err(refusal) => {
                    tracing::error!(key = %event.key, "encode event: {}", refusal.message);
                    return self.fail(&refusal);
                }
            }
        }
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.source = None;
        self.ready.extend(self.view.status(refusal));
    }

    /// Several small events leave in one piece.
    fn gather(&mut self) -> Option<Bytes> {
        const PIECE_BYTES: usize = 16 * 1024;
        let first = self.ready.pop_front()?;
        if self.ready.is_empty() || first.len() >= PIECE_BYTES {
            return Some(first);
        }
        let mut piece = first.to_vec();
        while let Some(next) = self.ready.front()
            && piece.len() + next.len() <= PIECE_BYTES
        {
            piece.extend_from_slice(next);
            self.ready.pop_front();
        }
        Some(piece.into())
    }
}
