//! Calls to whichever member answers: one connection at a time, the next member when it fails, waits with a number.
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use irori_runtime::{Backoff, Shutdown, Tasks};
use prost::Message;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};

use super::{
    connect::{Access, ConnectError, Line},
    fault::{Fault, fault},
    wire::{self, Headed},
};
use crate::contract::{Revision, StoreError};

/// What a read may take, over all members that are tried.
const READ_MAX: Duration = Duration::from_secs(15);
/// What one member may take for a read, before the next is tried.
const READ_TRY_MAX: Duration = Duration::from_secs(5);
/// How long a commit may look for a member that takes it.
const SEND_MAX: Duration = Duration::from_secs(10);
/// What a commit may take once it is sent. etcd itself gives up after 7 s with usual settings.
const COMMIT_MAX: Duration = Duration::from_secs(10);
/// Between rounds over all members.
const ROUNDS: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) };

/// A client of one etcd cluster.
pub struct Client {
    access: Access,
    tasks: Tasks,
    /// Ends the connections.
    ended: Shutdown,
    lines: Mutex<Lines>,
    /// The newest revision that etcd has told of.
    newest: AtomicU64,
    /// Why nothing is asked any more.
    stopped: OnceLock<String>,
}

#[derive(Default)]
struct Lines {
    live: Option<Line>,
    /// Which member is tried next.
    next: usize,
    /// Connections made so far.
    made: u64,
    /// Of the first member that answered: another cluster is another store.
    cluster: Option<u64>,
}

/// What a commit came to.
pub enum Committed {
    Done(Revision),
    /// An expectation did not hold; what was asked for that case.
    Refused(Vec<wire::ResponseOp>),
}

impl Client {
    pub fn new(access: Access, tasks: Tasks) -> Self {
        Self {
            access,
            tasks,
            ended: Shutdown::new(),
            lines: Mutex::default(),
            newest: AtomicU64::new(0),
            stopped: OnceLock::new(),
        }
    }

    /// The newest revision that etcd has told of.
    pub fn newest(&self) -> Revision {
        Revision(self.newest.load(Ordering::Acquire))
    }

    pub fn note(&self, revision: Revision) {
        self.newest.fetch_max(revision.0, Ordering::AcqRel);
    }

    /// Ends all connections; later calls fail with `Stopped`.
    pub fn close(&self) {
        let _first_reason_stays = self.stopped.set("closed".to_owned());
        self.ended.start();
    }

    /// Given at `close`.
    pub fn ended(&self) -> &Shutdown {
        &self.ended
    }

    /// The store is not what it was: nothing is asked any more, and the process ends.
    fn stop(&self, reason: String) -> StoreError {
        tracing::error!("{reason} (E22: docs/errors/E22.md)");
        let reason = self.stopped.get_or_init(|| reason).clone();
        self.ended.start();
        self.tasks.shutdown().start();
        StoreError::Stopped { reason }
    }

    pub fn living(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(reason) => Err(StoreError::Stopped { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Connects once to every member that is there. Errors: a member that must not be used, or that none is there.
    pub async fn check_all(&self) -> Result<(), ConnectError> {
        let mut last = None;
        let mut lines = self.lines.lock().await;
        for (index, endpoint) in self.access.endpoints.iter().enumerate() {
            lines.made += 1;
            match Line::open(&self.access, endpoint, lines.made, &self.tasks, &self.ended).await {
                Ok(line) if lines.live.is_none() => {
                    lines.cluster = Some(line.cluster);
                    (lines.live, lines.next) = (Some(line), index);
                }
                Ok(line) if lines.cluster != Some(line.cluster) => {
                    let reason = "it belongs to another cluster than the members before it".to_owned();
                    return Err(ConnectError::Refused { endpoint: endpoint.clone(), reason });
                }
                Ok(_) => {}
                Err(ConnectError::Unreachable { endpoint, reason }) => {
                    tracing::warn!("etcd {endpoint}: {reason}");
                    last = Some(ConnectError::Unreachable { endpoint, reason });
                }
                Err(other) => return Err(other),
            }
        }
        match last {
            Some(last) if lines.live.is_none() => Err(last),
            _ => Ok(()),
        }
    }

    /// A connection, found or made before the deadline. Errors: `Unavailable`, `Stopped`.
    pub async fn line(&self, deadline: Instant) -> Result<Line, StoreError> {
        let late = || StoreError::Unavailable { reason: "no member of etcd answers".to_owned() };
        let mut lines = timeout_at(deadline, self.lines.lock()).await.map_err(|_| late())?;
        for round in 0.. {
            self.living()?;
            if let Some(line) = &lines.live {
                return Ok(line.clone());
            }
            let mut said = Vec::new();
            for _ in 0..self.access.endpoints.len() {
                let endpoint = self.access.endpoints[lines.next % self.access.endpoints.len()].clone();
                lines.made += 1;
                let opening = Line::open(&self.access, &endpoint, lines.made, &self.tasks, &self.ended);
                match timeout_at(deadline, opening).await {
                    Ok(Ok(line)) => {
                        let cluster = *lines.cluster.get_or_insert(line.cluster);
                        if cluster != line.cluster {
                            let told = format!("{endpoint} belongs to etcd cluster {:x}, not to {cluster:x}", line.cluster);
                            return Err(self.stop(told));
                        }
                        lines.live = Some(line.clone());
                        return Ok(line);
                    }
                    Ok(Err(failed)) => said.push(failed.to_string()),
                    Err(_) => said.push(format!("{endpoint}: no time left")),
                }
                lines.next += 1;
            }
            let wait = ROUNDS.wait(round);
            if Instant::now() + wait >= deadline {
                let reason = format!("no member of etcd answers: {}", said.join("; "));
                return Err(StoreError::Unavailable { reason });
            }
            tokio::time::sleep(wait).await;
        }
        Err(late())
    }

    /// This connection is of no use any more; the next call takes the next member.
    pub async fn lose(&self, line: &Line) {
        let mut lines = self.lines.lock().await;
        if lines.live.as_ref().is_some_and(|live| live.number == line.number) {
            lines.live = None;
            lines.next += 1;
        }
    }

    /// Asks something that changes nothing, of one member after the other. Errors: `Fault`s that another member would answer the
    /// same, as `Err(Ok(fault))`; all others as `Err(Err(error))`.
    pub async fn ask<Q, A>(&self, path: &'static str, asked: Q) -> Result<A, Asked>
    where
        Q: Message + Clone + Send + Sync + 'static,
        A: Message + Default + Headed + Send + Sync + 'static,
    {
        let deadline = Instant::now() + READ_MAX;
        for round in 0.. {
            let line = self.line(deadline).await?;
            let floor = self.newest();
            let reason = match timeout(READ_TRY_MAX, line.call::<Q, A>(path, asked.clone())).await {
                Ok(Ok(answer)) => {
                    self.checked(&answer, floor)?;
                    return Ok(answer);
                }
                Ok(Err(status)) => match fault(&status) {
                    fault @ (Fault::Compacted | Fault::Future | Fault::NoSpace | Fault::TooLarge(_) | Fault::Refused(_)) => {
                        return Err(Asked::Fault(fault));
                    }
                    Fault::Login => "the login has run out".to_owned(),
                    Fault::Elsewhere(reason) | Fault::Unknown(reason) => reason,
                },
                Err(_) => format!("no answer within {} s", READ_TRY_MAX.as_secs()),
            };
            tracing::debug!(endpoint = %line.endpoint, "ask etcd: {reason}");
            self.lose(&line).await;
            if Instant::now() + ROUNDS.wait(round) >= deadline {
                return Err(StoreError::Unavailable { reason }.into());
            }
            tokio::time::sleep(ROUNDS.wait(round)).await;
        }
        Err(StoreError::Unavailable { reason: "no member of etcd answers".to_owned() }.into())
    }

    /// Carries out a transaction, at most once. Errors: `Unavailable` (certainly not carried out), `Unknown`, `Full` (it may
    /// have been carried out), `Limit`, `Stopped`.
    pub async fn commit(&self, asked: wire::TxnRequest) -> Result<Committed, StoreError> {
        let deadline = Instant::now() + SEND_MAX;
        for round in 0.. {
            let line = self.line(deadline).await?;
            let floor = self.newest();
            let reason = match timeout_at(deadline, line.ready()).await {
                Ok(Ok(())) => match timeout(COMMIT_MAX, line.call::<_, wire::TxnResponse>(wire::TXN, asked.clone())).await {
                    Ok(Ok(answer)) => {
                        let revision = self.checked(&answer, floor)?;
                        return Ok(match answer.succeeded {
                            true => Committed::Done(revision),
                            false => Committed::Refused(answer.responses),
                        });
                    }
                    Ok(Err(status)) => match fault(&status) {
                        Fault::NoSpace => return Err(StoreError::Full),
                        Fault::TooLarge(reason) => return Err(StoreError::Limit { reason }),
                        Fault::Refused(reason) => return Err(StoreError::Unavailable { reason }),
                        Fault::Login => "the login has run out".to_owned(),
                        Fault::Elsewhere(reason) => reason,
                        Fault::Compacted | Fault::Future => return Err(self.unknown(&line, status.message()).await),
                        Fault::Unknown(reason) => return Err(self.unknown(&line, &reason).await),
                    },
                    Err(_) => {
                        let reason = format!("no answer within {} s", COMMIT_MAX.as_secs());
                        return Err(self.unknown(&line, &reason).await);
                    }
                },
                Ok(Err(reason)) => reason,
                Err(_) => "the connection takes no requests".to_owned(),
            };
            tracing::debug!(endpoint = %line.endpoint, "commit to etcd: {reason}");
            self.lose(&line).await;
            if Instant::now() + ROUNDS.wait(round) >= deadline {
                return Err(StoreError::Unavailable { reason });
            }
            tokio::time::sleep(ROUNDS.wait(round)).await;
        }
        Err(StoreError::Unavailable { reason: "no member of etcd answers".to_owned() })
    }

    async fn unknown(&self, line: &Line, reason: &str) -> StoreError {
        tracing::warn!(endpoint = %line.endpoint, "a commit's outcome is not known: {reason}");
        self.lose(line).await;
        StoreError::Unknown { reason: reason.to_owned() }
    }

    /// The revision of an answer. One that is older than what etcd had told before we asked means that etcd was put back.
    fn checked(&self, answer: &impl Headed, floor: Revision) -> Result<Revision, StoreError> {
        self.living()?;
        let revision = Revision(answer.header().map_or(0, |header| header.revision.max(0) as u64));
        if revision < floor {
            return Err(self.stop(format!("etcd went back from revision {} to {}", floor.0, revision.0)));
        }
        self.note(revision);
        Ok(revision)
    }
}

/// Why a question was not answered.
#[derive(Debug)]
pub enum Asked {
    /// Every member would say the same.
    Fault(Fault),
    Error(StoreError),
}

impl From<StoreError> for Asked {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}
