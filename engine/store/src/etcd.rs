//! The store on etcd v3, for several servers of one home.
//!
//! Flow: reads and commits go to whichever member answers, and are linearizable there; one watch on all keys of the home feeds the ring and
//! the queues of this process's watchers, as the embedded store's writer does. Revisions are etcd's own. Nothing is lazy.
//!
//! Invariants: a commit is sent at most once; one whose outcome is not known fails with `Unknown` and never as if it had not happened. A
//! revision that goes back, and another cluster behind the same addresses, stop the store.
//! Limits: as etcd's usual settings have them, 128 writes and 1.5 MiB a commit; a read 15 s, a commit 10 s to find a member and 10 s for its
//! answer; connecting 3 s a member.
mod client;
mod connect;
mod cursor;
mod fault;
mod following;
mod history;
mod keys;
mod reads;
mod stream;
mod version;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use irori_runtime::{Clock, Tasks};
use tokio::sync::Notify;

use self::{
    client::{Client, Committed},
    connect::{Access, ConnectError},
    cursor::Cursor,
    following::Shared,
    keys::Keys,
    reads::{FrozenRange, error},
};
use crate::{
    contract::{Durability, Entry, Expect, Frozen, Key, Page, Range, Revision, Store, StoreError, Watch, Write},
    embedded::hub::Hub,
    limits::Limits,
    state::State,
};

pub use connect::Login;

/// etcd's usual `--max-txn-ops`.
const COMMIT_WRITES_MAX: usize = 128;
/// etcd's usual `--max-request-bytes` is 1.5 MiB, in which a write's key stands three times.
const COMMIT_BYTES_MAX: usize = 1_540_000;
const VALUE_BYTES_MAX: usize = 1_536_000;
/// Asking etcd how far the watch has come, while somebody waits for a revision.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Where the store is, and how it is to work.
pub struct EtcdSettings {
    /// `host:port` of each member.
    pub endpoints: Vec<String>,
    /// Where the home's keys begin, such as `/irori/home.arpa`.
    pub prefix: String,
    /// With the CA of etcd's certificates, and our own certificate where etcd asks for one; `None` is plain HTTP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub login: Option<Login>,
    /// How far back watches and reads at least reach.
    pub history: Duration,
    /// Where this server notes the newest revision, so that an etcd that was put back is noticed at the next start.
    pub noted: Option<PathBuf>,
    pub clock: Clock,
    /// Events kept in memory; older ones are asked of etcd.
    pub ring_events_max: usize,
    /// Bytes of keys and values, previous ones included, of the events kept in memory.
    pub ring_bytes_max: usize,
}

impl EtcdSettings {
    /// The usual settings.
    pub fn at(endpoints: Vec<String>, prefix: &str, clock: Clock) -> Self {
        Self {
            endpoints,
            prefix: prefix.to_owned(),
            tls: None,
            login: None,
            history: Duration::from_secs(5 * 60),
            noted: None,
            clock,
            ring_events_max: 8_192,
            ring_bytes_max: 16 << 20,
        }
    }
}

/// Why a store on etcd was not opened.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    #[error("reach etcd: {reason}")]
    Unreachable { reason: String },
    #[error("{reason}")]
    Version { reason: String },
    #[error(
        "etcd is at revision {}, and was at {} when this server last saw it: it was put back, and clients would take old for new",
        found.0, noted.0
    )]
    WentBack { found: Revision, noted: Revision },
}

impl From<ConnectError> for EtcdError {
    fn from(failed: ConnectError) -> Self {
        let reason = failed.to_string();
        match failed {
            ConnectError::Version { .. } => Self::Version { reason },
            ConnectError::Unreachable { .. } | ConnectError::Refused { .. } => Self::Unreachable { reason },
        }
    }
}

/// A store on etcd, beside which there may be others on the same keys.
pub struct EtcdStore {
    shared: Arc<Shared>,
    noted: Option<PathBuf>,
}

impl EtcdStore {
    /// Connects and begins to watch. Its tasks end with `close`, or when the store is dropped.
    pub async fn open(settings: EtcdSettings, tasks: &Tasks) -> Result<Arc<Self>, EtcdError> {
        let endpoints = settings.endpoints.iter().map(|endpoint| Arc::from(endpoint.as_str())).collect();
        let access = Access { endpoints, tls: settings.tls, login: settings.login };
        let client = Client::new(access, tasks.clone());
        client.check_all().await?;
        let shared = Shared {
            client,
            keys: Keys::below(&settings.prefix),
            hub: Hub::new(State::default(), settings.ring_events_max, settings.ring_bytes_max),
            asked: Notify::new(),
        };
        let unreachable = |source: StoreError| EtcdError::Unreachable { reason: source.to_string() };
        let current = shared.current().await.map_err(unreachable)?;
        let noted = settings.noted.as_deref().and_then(history::noted).unwrap_or_default();
        if current < noted {
            return Err(EtcdError::WentBack { found: current, noted });
        }
        history::note(settings.noted.as_deref(), current);
        history::raise(&settings.clock, history::mark(&shared).await.map_err(unreachable)?);
        shared.hub.restart(State::empty_at(current));
        let shared = Arc::new(shared);
        following::start(shared.clone(), tasks);
        history::keep(shared.clone(), settings.history, settings.noted.clone(), settings.clock, tasks);
        tracing::info!(revision = current.0, "store on etcd opened");
        Ok(Arc::new(Self { shared, noted: settings.noted }))
    }

    /// What "no space" means for a commit: a member that finds its quota exceeded while it carries one out does so and then refuses it.
    async fn full(&self, writes: &[Write]) -> StoreError {
        for write in writes {
            match self.get(&write.key).await {
                Ok(current) if holds(write.expect, current.as_ref()) => {}
                Ok(_) | Err(_) => {
                    let reason = "etcd has no space left, and the change may have been its last".to_owned();
                    return StoreError::Unknown { reason };
                }
            }
        }
        StoreError::Full
    }

    fn conflict(&self, writes: &[Write], responses: Vec<wire::ResponseOp>) -> StoreError {
        let found = responses.into_iter().map(|response| response.range.and_then(|range| range.kvs.into_iter().next()));
        for (write, found) in writes.iter().zip(found) {
            let current = found.and_then(|kv| self.shared.entry(kv));
            if !holds(write.expect, current.as_ref()) {
                return StoreError::Conflict { key: write.key.clone(), current };
            }
        }
        StoreError::Unknown { reason: "etcd refused a commit without a reason".to_owned() }
    }
}

fn holds(expect: Expect, current: Option<&Entry>) -> bool {
    match expect {
        Expect::Absent => current.is_none(),
        Expect::At(revision) => current.is_some_and(|entry| entry.revision == revision),
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.shared.client.close();
    }
}

#[async_trait::async_trait]
impl Store for EtcdStore {
    fn limits(&self) -> Limits {
        Limits { value_bytes_max: VALUE_BYTES_MAX, commit_bytes_max: COMMIT_BYTES_MAX, commit_writes_max: COMMIT_WRITES_MAX }
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let asked = wire::RangeRequest { key: self.shared.keys.full(key), ..wire::RangeRequest::default() };
        let answer: wire::RangeResponse = match self.shared.client.ask(wire::RANGE, asked).await {
            Ok(answer) => answer,
            Err(failed) => return Err(self.shared.failed(failed, Revision(0)).await),
        };
        Ok(answer.kvs.into_iter().next().and_then(|kv| self.shared.entry(kv)))
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        self.shared.range(range).await
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        let (key, range_end) = self.shared.keys.range(prefix);
        let asked = wire::RangeRequest { key, range_end, count_only: true, ..wire::RangeRequest::default() };
        match self.shared.client.ask::<_, wire::RangeResponse>(wire::RANGE, asked).await {
            Ok(answer) => Ok(answer.count.max(0) as u64),
            Err(failed) => Err(self.shared.failed(failed, Revision(0)).await),
        }
    }

    async fn commit(&self, writes: Vec<Write>, _durability: Durability) -> Result<Revision, StoreError> {
        self.shared.client.living()?;
        self.limits().check(&writes)?;
        match self.shared.client.commit(transaction(&self.shared.keys, &writes)).await {
            Ok(Committed::Done(revision)) => Ok(revision),
            Ok(Committed::Refused(responses)) => Err(self.conflict(&writes, responses)),
            Err(StoreError::Full) => Err(self.full(&writes).await),
            Err(failed) => Err(failed),
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.shared.client.living()?;
        if after > self.shared.hub.reached() {
            let current = self.shared.current().await?;
            if after > current {
                return Err(StoreError::Future { asked: after, current });
            }
        } else if after < self.shared.hub.held_after() {
            // The ring does not have it: does etcd?
            let known = self.shared.newest_at(after.0.max(1) as i64).await;
            if let Err(failed) = known {
                return Err(self.shared.failed(failed, after).await);
            }
        }
        Ok(Box::new(Cursor::new(self.shared.clone(), prefix, after)))
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        self.shared.current().await
    }

    async fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        self.shared.client.living()?;
        let waiting = self.shared.hub.wait_for(revision);
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                done = &mut waiting => return done,
                () = tokio::time::sleep(ASK_EVERY) => self.shared.asked.notify_one(),
            }
        }
    }

    async fn freeze(&self) -> Result<Box<dyn Frozen>, StoreError> {
        Ok(Box::new(FrozenRange::new(self.shared.clone(), self.shared.current().await?)))
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.shared.client.living().is_ok() {
            history::note(self.noted.as_deref(), self.shared.client.newest());
        }
        self.shared.client.close();
        self.shared.hub.close();
        Ok(())
    }
}

/// All writes if every expectation holds; otherwise what is there under each key.
fn transaction(keys: &Keys, writes: &[Write]) -> wire::TxnRequest {
    let operation = |operation| wire::RequestOp { operation: Some(operation) };
    let full = |key: &Key| keys.full(key);
    wire::TxnRequest {
        compare: writes
            .iter()
            .map(|write| {
                let against = match write.expect {
                    Expect::Absent => wire::Against::Created(0),
                    // To etcd, what is not there was modified at 0.
                    Expect::At(Revision(0)) => wire::Against::Modified(-1),
                    Expect::At(revision) => wire::Against::Modified(i64::try_from(revision.0).unwrap_or(i64::MAX)),
                };
                wire::Compare::equal(full(&write.key), against)
            })
            .collect(),
        success: writes
            .iter()
            .map(|write| {
                operation(match &write.value {
                    Some(value) => wire::Operation::Put(wire::PutRequest { key: full(&write.key), value: value.clone() }),
                    None => wire::Operation::Delete(wire::DeleteRequest { key: full(&write.key) }),
                })
            })
            .collect(),
        failure: writes
            .iter()
            .map(|write| {
                let range = wire::RangeRequest { key: full(&write.key), ..wire::RangeRequest::default() };
                operation(wire::Operation::Range(range))
            })
            .collect(),
    }
}
