//! Keeping the kernel's rules in step with Services.
use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{Backoff, EventType, Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler, Recorder};
use irori_runtime::Tasks;
use k8s_openapi::api::{
    core::v1::{ObjectReference, Service},
    discovery::v1::EndpointSlice,
};
use tracing::{debug, warn};

use super::{
    Problem, plan,
    stale::{stale, udp_changed},
};
use crate::{
    Settings,
    netlink::{NetlinkError, conntrack::ConntrackSocket, events},
    nft::{
        Nft, NftError, base,
        ruleset::{Ruleset, difference},
    },
};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(30) };

/// Why to look at Services: something about them changed.
const ALL: &str = "services";
/// Why to look at Services: the table was deleted, by us (when it is written anew) or by somebody else.
const TABLE_DELETED: &str = "table-deleted";

/// Serves all Services on this node until shutdown. [`crate::host::prepare`] comes first.
pub fn run(settings: Settings, informers: &Informers, recorder: Recorder, tasks: &Tasks) -> Result<(), NetlinkError> {
    let (services, slices) = (informers.of::<Service>(), informers.of::<EndpointSlice>());
    // Whatever changed, the answer is one plan of everything.
    let all = || Key::cluster(ALL);
    let changes = stream::select(services.changes().map(move |_| all()), slices.changes().map(move |_| all()));
    // Somebody loads a firewall that begins with `flush ruleset`.
    let deleted = events::table_deleted(&settings.instance.table())?.map(|_| Key::cluster(TABLE_DELETED));
    let triggers = stream::select(changes, deleted);
    let sync = Sync { kernel: Kernel::new(&settings), settings, services, slices, recorder, reported: Mutex::default() };
    Loop { workers: 1, backoff: BACKOFF }.run(sync, triggers, tasks);
    Ok(())
}

struct Sync {
    settings: Settings,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    recorder: Recorder,
    kernel: Kernel,
    reported: Mutex<BTreeSet<Problem>>,
}

impl Reconciler for Sync {
    fn name(&self) -> &'static str {
        "services"
    }

    fn reconcile(&self, reason: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            self.services.synced().await;
            self.slices.synced().await;
            let plan = plan(&self.services.list(), &self.slices.list(), &self.settings);
            self.report(plan.problems);
            if reason.name == TABLE_DELETED {
                let noticed = self.kernel.notice_loss(&self.settings).await;
                noticed.map_err(|e| ReconcileError::other("look for the table of packet rules", e))?;
            }
            let applied = self.kernel.apply(&self.settings, plan.ruleset).await;
            applied.map_err(|e| ReconcileError::other("apply Services to the kernel", e))?;
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

impl Sync {
    /// Tells each problem once for as long as it lasts.
    fn report(&self, problems: Vec<Problem>) {
        let now: BTreeSet<Problem> = problems.into_iter().collect();
        let mut reported = self.reported.lock().expect("no holder of this lock panics");
        for problem in now.difference(&reported) {
            let Some(service) = self.services.get(&problem.service) else { continue };
            let about = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Service".to_owned()),
                namespace: service.metadata.namespace.clone(),
                name: service.metadata.name.clone(),
                uid: service.metadata.uid.clone(),
                ..ObjectReference::default()
            };
            self.recorder.event(&about, EventType::Warning, problem.reason, problem.message.clone());
        }
        *reported = now;
    }
}

/// What is in the kernel.
pub struct Kernel {
    nft: Nft,
    /// `None`: not known, so everything is written.
    applied: tokio::sync::Mutex<Option<Ruleset>>,
}

impl Kernel {
    pub fn new(settings: &Settings) -> Self {
        Self { nft: Nft::new(settings.nft.clone()), applied: tokio::sync::Mutex::default() }
    }

    /// Forgets what was applied if the table is gone, so that the next application writes everything.
    pub async fn notice_loss(&self, settings: &Settings) -> Result<(), NftError> {
        let mut applied = self.applied.lock().await;
        if applied.is_some() && !self.nft.has_table(&settings.instance.table()).await? {
            warn!("somebody deleted the table of packet rules, writing it again");
            *applied = None;
        }
        Ok(())
    }

    /// Brings the kernel to `new`: by the difference where the present state is known, else by writing the table anew in one
    /// transaction. Then forgets UDP connections that lead elsewhere now.
    pub async fn apply(&self, settings: &Settings, new: Ruleset) -> Result<(), NftError> {
        let mut applied = self.applied.lock().await;
        let table = settings.instance.table();
        let old = applied.take();
        let commands = match &old {
            Some(old) => difference(&table, old, &new),
            None => anew(settings, &new),
        };
        if !commands.is_empty() {
            debug!(commands = commands.len(), whole = old.is_none(), "apply Services");
            if let Err(difference_failed) = self.nft.apply(commands).await {
                if old.is_none() {
                    return Err(difference_failed);
                }
                warn!("packet rules are not as they were left, writing all of them: {difference_failed}");
                self.nft.apply(anew(settings, &new)).await?;
            }
        }
        let before = old.unwrap_or_default();
        let forget = udp_changed(&before, &new).then(|| (before, new.clone()));
        *applied = Some(new);
        drop(applied);
        if let Some((before, new)) = forget {
            let forgotten = tokio::task::spawn_blocking(move || forget_stale(&before, &new)).await;
            match forgotten.expect("it does not panic and is not cancelled") {
                Ok(0) => {}
                Ok(count) => debug!(count, "forgot stale UDP connections"),
                Err(source) => warn!("forget stale UDP connections: {source}"),
            }
        }
        Ok(())
    }
}

fn anew(settings: &Settings, ruleset: &Ruleset) -> Vec<serde_json::Value> {
    let table = settings.instance.table();
    let word = serde_json::json!({ "table": { "family": "inet", "name": table } });
    let mut commands = vec![serde_json::json!({ "add": word }), serde_json::json!({ "delete": word })];
    commands.extend(base::commands(settings));
    commands.extend(ruleset.commands(&table));
    commands
}

fn forget_stale(old: &Ruleset, new: &Ruleset) -> Result<usize, NetlinkError> {
    let mut socket = ConntrackSocket::open()?;
    let connections = socket.connections()?;
    let stale = stale(old, new, &connections);
    for connection in &stale {
        socket.forget(connection)?;
    }
    Ok(stale.len())
}
