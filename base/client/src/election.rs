//! Who leads, of several servers: a Lease of coordination.k8s.io, as kube-controller-manager and kube-scheduler keep theirs.
//!
//! Whoever holds the Lease renews it; the others watch it, and one of them takes it when it has not changed for as long as it says. That time is
//! counted on the watcher's own clock since it saw the change, so that clocks need not agree.
//! Invariant: a leader that could not renew for `Timing::renew_deadline` ends its parts, and has until `Timing::lease` to be done with it.
use std::time::Duration;

use futures::StreamExt;
use irori_runtime::{Clock, OnEnd, Tasks, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, api::PostParams};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::{ApiError, Informer, Informers, Key};

/// How long what takes.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A Lease that has not changed for so long may be taken.
    pub lease: Duration,
    /// A leader that could not renew for so long leads no more.
    pub renew_deadline: Duration,
    /// Between renewals, and between tries.
    pub retry: Duration,
}

impl Default for Timing {
    /// Stock are 15, 10 and 2 s. A little less, so that 15 s after the leader's death its successor has not only begun but done something.
    fn default() -> Self {
        Self { lease: Duration::from_secs(12), renew_deadline: Duration::from_secs(8), retry: Duration::from_secs(2) }
    }
}

/// One who would lead.
pub struct Candidate {
    /// May get, create and update the Lease.
    pub client: kube::Client,
    /// See the Lease.
    pub informers: Informers,
    pub namespace: &'static str,
    /// Of the Lease.
    pub name: String,
    /// Ours alone, and the same after a restart: a process that comes back takes its own Lease at once.
    pub identity: String,
    pub clock: Clock,
    pub timing: Timing,
}

/// Why leading ended.
enum End {
    /// The process ends.
    Shutdown,
    /// A part ended that the process cannot do without.
    Failed,
    /// Somebody else leads, or may.
    Lost,
}

impl Candidate {
    /// Spawns the candidacy. Whenever we lead, `start` starts the leading parts in tasks that end when we lead no more.
    pub fn run(self, tasks: &Tasks, start: impl Fn(&Tasks) + Send + 'static) {
        let outer = tasks.clone();
        tasks.spawn("leader-election", OnEnd::Fatal, async move { self.campaign(&outer, start).await });
    }

    async fn campaign(self, tasks: &Tasks, start: impl Fn(&Tasks)) -> Result<(), String> {
        let lease = self.informers.of_namespace::<Lease>(self.namespace, &format!("metadata.name={}", self.name), "");
        loop {
            let Some(mut held) = tasks.shutdown().guard(self.acquire(&lease)).await else { return Ok(()) };
            info!(lease = %self.name, identity = self.identity, "leading");
            let own = Tasks::new(tasks.shutdown().child());
            start(&own);
            let end = self.hold(&own, tasks, &mut held).await;
            own.shutdown().start();
            // What is still running then is aborted, before anybody else may start.
            let left = own.drain(self.timing.lease - self.timing.renew_deadline).await;
            if !left.is_empty() {
                warn!(lease = %self.name, "gave up waiting for: {}", left.join(", "));
            }
            match end {
                End::Shutdown => {
                    self.release(held).await;
                    return Ok(());
                }
                End::Failed => return Err(format!("a part that {} leads has ended", self.name)),
                End::Lost => warn!(lease = %self.name, "not leading any more"),
            }
        }
    }

    /// Waits until the Lease is free, and takes it.
    async fn acquire(&self, lease: &Informer<Lease>) -> Lease {
        let key = Key::new(self.namespace, &self.name);
        let mut changes = lease.changes();
        lease.synced().await;
        let mut seen: (Option<String>, Instant) = (None, Instant::now());
        loop {
            let known = lease.get(&key);
            let version = known.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
            if seen.0 != version {
                seen = (version, Instant::now());
            }
            let spec = known.as_ref().and_then(|lease| lease.spec.as_ref());
            let wait = match free_in(spec, &self.identity, seen.1.elapsed()) {
                Duration::ZERO => match self.write(known.as_deref(), spec).await {
                    Ok(held) => return held,
                    Err(source) => {
                        debug!(lease = %self.name, "take the lease: {source}");
                        self.timing.retry
                    }
                },
                wait => wait,
            };
            tokio::select! {
                Some(_) = changes.next() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Renews until it cannot.
    async fn hold(&self, own: &Tasks, tasks: &Tasks, held: &mut Lease) -> End {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = tasks.shutdown().wait() => return End::Shutdown,
                () = own.shutdown().wait() => return if tasks.shutdown().started() { End::Shutdown } else { End::Failed },
                () = tokio::time::sleep(self.timing.retry) => {}
            }
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            let began = Instant::now();
            match timeout(left, self.write(Some(held), held.spec.as_ref())).await {
                Ok(Ok(lease)) => (*held, renewed) = (lease, began),
                Ok(Err(source)) => {
                    debug!(lease = %self.name, "renew the lease: {source}");
                    if source.is_conflict() || source.is_not_found() {
                        match timeout(left, self.api().get_opt(&self.name)).await {
                            Ok(Ok(Some(live))) if holder(live.spec.as_ref()) == self.identity => *held = live,
                            Ok(Ok(_)) => return End::Lost,
                            Ok(Err(_)) | Err(_) => {}
                        }
                    }
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                return End::Lost;
            }
        }
    }

    /// Lets the Lease go, so that nobody has to wait for it.
    async fn release(&self, mut held: Lease) {
        if let Some(spec) = &mut held.spec {
            // The API takes no empty name.
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(self.clock.now()));
            spec.acquire_time = spec.renew_time.clone();
        }
        match timeout(self.timing.retry, self.api().replace(&self.name, &PostParams::default(), &held)).await {
            Ok(Ok(_)) => {}
            Ok(Err(source)) => debug!(lease = %self.name, "release the lease: {source}"),
            Err(_) => debug!(lease = %self.name, "release the lease: no answer"),
        }
    }

    /// Writes the Lease as ours, over what was seen of it.
    async fn write(&self, seen: Option<&Lease>, spec: Option<&LeaseSpec>) -> Result<Lease, kube::Error> {
        let spec = Some(ours(spec, &self.identity, self.timing.lease, self.clock.now()));
        match seen {
            Some(seen) => {
                let lease = Lease { spec, ..seen.clone() };
                self.api().replace(&self.name, &PostParams::default(), &lease).await
            }
            None => {
                let (name, namespace) = (Some(self.name.clone()), Some(self.namespace.to_owned()));
                let lease = Lease { metadata: ObjectMeta { name, namespace, ..ObjectMeta::default() }, spec };
                self.api().create(&PostParams::default(), &lease).await
            }
        }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

fn holder(spec: Option<&LeaseSpec>) -> &str {
    spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// In what time a Lease may be taken that has been seen unchanged for `unchanged`. Pure.
fn free_in(spec: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Duration {
    let holder = holder(spec);
    if holder.is_empty() || holder == me {
        return Duration::ZERO;
    }
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    Duration::from_secs(seconds.unwrap_or(0)).saturating_sub(unchanged)
}

/// The Lease as `me` takes or renews it. Pure.
fn ours(before: Option<&LeaseSpec>, me: &str, lease: Duration, now: Timestamp) -> LeaseSpec {
    let now = Some(MicroTime(now));
    let renewed = before.filter(|before| before.holder_identity.as_deref() == Some(me));
    let transitions = match (before, renewed) {
        (None, _) => 0,
        (Some(before), None) => before.lease_transitions.unwrap_or(0).saturating_add(1),
        (Some(before), Some(_)) => before.lease_transitions.unwrap_or(0),
    };
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(i32::try_from(lease.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: renewed.and_then(|before| before.acquire_time.clone()).or_else(|| now.clone()),
        renew_time: now,
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests;
