//! Events: told without waiting, merged when they repeat, limited per object, dropped (and counted) rather than queued without end.
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use irori_runtime::{Clock, OnEnd, SignedDuration, Tasks, Timestamp};
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use tokio::sync::mpsc;
use tracing::debug;

use crate::ApiError;

/// Events waiting to be written. Above this new ones are dropped and counted.
const WAITING_MAX: usize = 1000;
/// Different events remembered for merging; above this the older half is forgotten.
const REMEMBERED_MAX: usize = 4096;
/// Different messages under one reason for one object, in `SIMILAR_WITHIN`, before they become one event.
const SIMILAR_MAX: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_secs(600);
/// Events of one object at once, and the time to earn another.
const BURST_PER_OBJECT: u32 = 25;
const EARN_ONE: SignedDuration = SignedDuration::from_secs(300);
/// A server that does not answer loses the event, not the recorder.
const WRITE_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl EventType {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Writes Events as one component. Clones share its limits.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    sender: mpsc::Sender<Told>,
    dropped: AtomicU64,
    clock: Clock,
}

struct Told {
    about: ObjectReference,
    r#type: EventType,
    reason: String,
    message: String,
    at: Timestamp,
}

impl Recorder {
    /// `component` as in `kubectl describe` (`deployment-controller`, `kubelet`); `host` where it is bound to a machine.
    pub fn new(client: kube::Client, component: &str, host: Option<&str>, clock: Clock, tasks: &Tasks) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let source = EventSource { component: Some(component.to_owned()), host: host.map(str::to_owned) };
        let writer = Writer { client, source, memory: Memory::default() };
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("event-recorder", OnEnd::Contained, async move {
            let _stopped = shutdown.guard(writer.write_all(receiver)).await;
            Ok::<(), Infallible>(())
        });
        Self(Arc::new(Shared { sender, dropped: AtomicU64::new(0), clock }))
    }

    /// Tells that `reason` (CamelCase) happened to `about`. Returns at once.
    pub fn event(&self, about: &ObjectReference, r#type: EventType, reason: &str, message: impl Into<String>) {
        let told =
            Told { about: about.clone(), r#type, reason: reason.to_owned(), message: message.into(), at: self.0.clock.now() };
        if self.0.sender.try_send(told).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were dropped because too many were waiting.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

struct Writer {
    client: kube::Client,
    source: EventSource,
    memory: Memory,
}

impl Writer {
    async fn write_all(mut self, mut waiting: mpsc::Receiver<Told>) {
        while let Some(told) = waiting.recv().await {
            let reason = told.reason.clone();
            match tokio::time::timeout(WRITE_MAX, self.write(told)).await {
                Ok(Ok(())) => {}
                Ok(Err(source)) => debug!(reason, "write event: {source}"),
                Err(_) => debug!(reason, "write event: not done in time"),
            }
        }
    }

    async fn write(&mut self, told: Told) -> Result<(), kube::Error> {
        let Some(line) = self.memory.decide(told) else { return Ok(()) };
        let namespace = line.about.namespace.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if line.count > 1 {
            let patch = serde_json::json!({
                "count": line.count, "message": line.message, "lastTimestamp": seconds(line.last),
            });
            match events.patch(&line.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Err(source) if source.is_not_found() => {} // expired meanwhile: made anew below
                done => return done.map(drop),
            }
        }
        let event = Event {
            metadata: ObjectMeta { name: Some(line.name), namespace: Some(namespace), ..Default::default() },
            involved_object: line.about,
            type_: Some(line.r#type.name().to_owned()),
            reason: Some(line.reason),
            message: Some(line.message),
            count: Some(line.count),
            first_timestamp: Some(seconds(line.first)),
            last_timestamp: Some(seconds(line.last)),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            source: Some(self.source.clone()),
            ..Default::default()
        };
        events.create(&PostParams::default(), &event).await.map(drop)
    }
}

/// metav1.Time knows whole seconds only.
fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// An event as it is to be written: `count` of 1 is a new one.
struct Line {
    name: String,
    about: ObjectReference,
    r#type: EventType,
    reason: String,
    message: String,
    count: i32,
    first: Timestamp,
    last: Timestamp,
}

/// What was told before: decides what becomes of the next. No I/O, no clock.
#[derive(Default)]
struct Memory {
    similar: HashMap<Similar, Messages>,
    merged: HashMap<(Similar, String), Merged>,
    budgets: HashMap<String, Budget>,
    named: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Similar {
    object: String,
    field: String,
    r#type: EventType,
    reason: String,
}

struct Messages {
    seen: Vec<String>,
    last: Timestamp,
}

struct Merged {
    name: String,
    count: i32,
    first: Timestamp,
    last: Timestamp,
}

struct Budget {
    left: u32,
    since: Timestamp,
}

impl Memory {
    fn decide(&mut self, told: Told) -> Option<Line> {
        let about = &told.about;
        let object = format!(
            "{}/{}/{}/{}",
            about.kind.as_deref().unwrap_or_default(),
            about.namespace.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default(),
            about.uid.as_deref().unwrap_or_default()
        );
        if !self.spend(&object, told.at) {
            return None;
        }
        let field = about.field_path.clone().unwrap_or_default();
        let similar = Similar { object, field, r#type: told.r#type, reason: told.reason.clone() };
        let combined = self.too_many_like(&similar, &told);
        let message = if combined { format!("(combined from similar events): {}", told.message) } else { told.message };
        let slot = (similar, if combined { String::new() } else { message.clone() });
        if self.merged.len() >= REMEMBERED_MAX && !self.merged.contains_key(&slot) {
            forget_older_half(&mut self.merged, |merged| merged.last);
        }
        self.named += 1;
        let name =
            || format!("{}.{:x}{:02x}", about.name.as_deref().unwrap_or("unknown"), told.at.as_nanosecond(), self.named & 0xff);
        let merged = self.merged.entry(slot).or_insert_with(|| Merged { name: name(), count: 0, first: told.at, last: told.at });
        merged.count = merged.count.saturating_add(1);
        merged.last = told.at;
        let (name, count, first) = (merged.name.clone(), merged.count, merged.first);
        Some(Line { name, about: told.about, r#type: told.r#type, reason: told.reason, message, count, first, last: told.at })
    }

    /// Whether an object that tells too much has anything left to say.
    fn spend(&mut self, object: &str, at: Timestamp) -> bool {
        if self.budgets.len() >= REMEMBERED_MAX && !self.budgets.contains_key(object) {
            forget_older_half(&mut self.budgets, |budget| budget.since);
        }
        let budget = self.budgets.entry(object.to_owned()).or_insert(Budget { left: BURST_PER_OBJECT, since: at });
        let earned = at.duration_since(budget.since).as_secs() / EARN_ONE.as_secs();
        if earned > 0 {
            budget.left = BURST_PER_OBJECT.min(budget.left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)));
            budget.since = at;
        }
        if budget.left == 0 {
            return false;
        }
        budget.left -= 1;
        true
    }

    fn too_many_like(&mut self, similar: &Similar, told: &Told) -> bool {
        if self.similar.len() >= REMEMBERED_MAX && !self.similar.contains_key(similar) {
            forget_older_half(&mut self.similar, |messages| messages.last);
        }
        let fresh = || Messages { seen: Vec::new(), last: told.at };
        let messages = self.similar.entry(similar.clone()).or_insert_with(fresh);
        if told.at.duration_since(messages.last) > SIMILAR_WITHIN {
            *messages = fresh();
        }
        messages.last = told.at;
        if messages.seen.contains(&told.message) {
            return false;
        }
        if messages.seen.len() >= SIMILAR_MAX {
            return true;
        }
        messages.seen.push(told.message.clone());
        false
    }
}

fn forget_older_half<K, V>(map: &mut HashMap<K, V>, last: impl Fn(&V) -> Timestamp) {
    let mut times: Vec<_> = map.values().map(&last).collect();
    times.sort_unstable();
    let Some(middle) = times.get(times.len() / 2).copied() else { return };
    map.retain(|_, value| last(value) > middle);
}

#[cfg(test)]
mod tests;
