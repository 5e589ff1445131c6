//! What nobody owns any more goes; what waits for its dependents goes after them; what leaves its dependents behind lets them go.
//!
//! Flow: discovery -> one metadata-only watch per kind (all that can be listed, watched and deleted, save Events) -> `graph` -> uids to
//! look at -> the object and its owners, asked live -> `plan` -> delete or patch, under exactly the state that was judged.
//! Invariant: absence of an owner is asked live, never taken from a watch. Nothing is judged before every kind was listed once.
//! Limits: kinds are those of the start; one that comes later is looked after from the next start on.
mod apply;
mod graph;
mod plan;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, stream};
use irori_client::{ApiError, Collection, Event, Key, Loop, Outcome, ReconcileError, Reconciler, follow};
use irori_runtime::{Backoff, OnEnd, Shutdown, Tasks};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use self::{
    apply::Objects,
    graph::{Entry, Graph, KindId, ORPHAN},
    plan::{Owner, Verdict},
};
use crate::{
    Context,
    resources::{ResourceKind, discover},
};

const DISCOVERY: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(30) };

pub(crate) fn start(context: &Context, client: kube::Client) {
    let tasks = context.tasks.clone();
    context.tasks.spawn("garbage-discovery", OnEnd::Contained, async move {
        if let Some(kinds) = known_kinds(&client, tasks.shutdown()).await {
            watch_all(client, kinds, &tasks);
        }
        Ok::<(), Infallible>(())
    });
}

/// All kinds that garbage can be of. Asked until it is known; `None` at shutdown.
async fn known_kinds(client: &kube::Client, shutdown: &Shutdown) -> Option<Vec<ResourceKind>> {
    for attempt in 0.. {
        match shutdown.guard(discover(client)).await? {
            Ok((kinds, failed)) if failed.is_empty() => return Some(kinds),
            Ok((_, failed)) => warn!(?failed, "some groups do not answer discovery"),
            Err(source) => debug!("discover kinds: {source}"),
        }
        if !shutdown.sleep(DISCOVERY.wait(attempt)).await {
            return None;
        }
    }
    None
}

fn is_collected(kind: &ResourceKind) -> bool {
    kind.plural != "events" && ["list", "watch", "delete"].into_iter().all(|verb| kind.can(verb))
}

fn watch_all(client: kube::Client, kinds: Vec<ResourceKind>, tasks: &Tasks) {
    let (look, mut looks) = mpsc::unbounded_channel();
    let (listed, all_listed) = watch::channel(false);
    let watched: Vec<KindId> = (0..kinds.len()).filter(|id| is_collected(&kinds[*id])).collect();
    let shared = Arc::new(Shared { graph: Mutex::default(), look, to_list: AtomicUsize::new(watched.len()), listed });
    for id in watched {
        let collection =
            Collection { path: kinds[id].path(""), fields: String::new(), labels: String::new(), metadata_only: true };
        let (shared, client, shutdown) = (shared.clone(), client.clone(), tasks.shutdown().clone());
        let mut first = true;
        tasks.spawn("garbage-watch", OnEnd::Contained, async move {
            follow::<PartialObjectMeta>(client, collection, shutdown, |event| {
                shared.take(id, event, std::mem::take(&mut first));
            })
            .await;
            Ok::<(), Infallible>(())
        });
    }
    let triggers = stream::poll_fn(move |cx| looks.poll_recv(cx));
    let collector = Collector { objects: Objects { client, kinds }, shared, all_listed };
    Loop::default().run(collector, triggers, tasks);
}

/// Between the watches and the collector.
struct Shared {
    graph: Mutex<Graph>,
    /// Uids to look at. As many wait as there are objects with owners, at most: the loop takes them in at once and merges them.
    look: mpsc::UnboundedSender<Key>,
    to_list: AtomicUsize,
    listed: watch::Sender<bool>,
}

impl Shared {
    fn take(&self, kind: KindId, event: Event<PartialObjectMeta>, first: bool) {
        let look = match event {
            Event::Listed { objects, .. } => {
                let metas: Vec<ObjectMeta> = objects.into_iter().map(|object| object.metadata).collect();
                self.graph().replace(kind, &metas)
            }
            Event::Put(object) => self.graph().put(kind, &object.metadata),
            Event::Deleted(object) => self.graph().remove(object.metadata.uid.as_deref().unwrap_or_default()),
            Event::Progress { .. } => return,
        };
        for uid in look {
            // The collector has ended, at shutdown.
            let _ended = self.look.send(Key::cluster(uid));
        }
        if first && self.to_list.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.listed.send_replace(true);
        }
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().expect("no holder of this lock panics")
    }
}

struct Collector {
    objects: Objects,
    shared: Arc<Shared>,
    all_listed: watch::Receiver<bool>,
}

impl Reconciler for Collector {
    fn name(&self) -> &'static str {
        "garbage"
    }

    /// `key` is a uid.
    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            self.all_listed().await;
            let uid = &key.name;
            let Some(entry) = self.shared.graph().entry(uid).cloned() else { return Ok(Outcome::Gone) };
            let Some(live) = self.objects.live(&entry, uid).await? else { return Ok(Outcome::Gone) };
            if entry.orphans {
                self.let_dependents_go(uid, &entry, &live).await?;
            } else if entry.foreground {
                self.wait_for_dependents(uid, &entry, &live).await?;
            }
            if !entry.deleting {
                self.judge(uid, &entry, &live).await?;
            }
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

impl Collector {
    async fn all_listed(&self) {
        let mut listed = self.all_listed.clone();
        // The sender lives as long as this.
        let _sender_lives = listed.wait_for(|done| *done).await;
    }

    async fn judge(&self, uid: &str, entry: &Entry, live: &ObjectMeta) -> Result<(), ReconcileError> {
        let mut owners: Vec<_> = Vec::new();
        for owner in live.owner_references.iter().flatten() {
            let found = self.objects.owner(owner, &entry.namespace).await?;
            if found == Owner::Unknown {
                debug!(kind = owner.kind, name = owner.name, dependent = entry.name, "owner of a kind that is not known here");
            }
            owners.push((owner.clone(), found));
        }
        let has_dependents = self.shared.graph().dependents(uid).next().is_some();
        match plan::judge(live, &owners, has_dependents) {
            Verdict::Keep => {}
            Verdict::KeepWith(owners) => self.objects.set_owners(entry, live, &owners).await?,
            Verdict::Delete(policy) => self.objects.delete(entry, live, policy).await?,
        }
        Ok(())
    }

    /// Foreground: its dependents first, then it.
    async fn wait_for_dependents(&self, uid: &str, entry: &Entry, live: &ObjectMeta) -> Result<(), ReconcileError> {
        let (blockers, waiting): (usize, Vec<Key>) = {
            let graph = self.shared.graph();
            let waiting = graph.dependents(uid).filter(|(_, entry)| !entry.deleting).map(|(uid, _)| Key::cluster(uid));
            (graph.blockers(uid), waiting.collect())
        };
        for dependent in waiting {
            let _ended = self.shared.look.send(dependent);
        }
        if blockers == 0 {
            self.objects.drop_finalizer(entry, live, graph::FOREGROUND).await?;
        }
        Ok(())
    }

    /// Orphaning: no dependent names it any more, then it goes.
    async fn let_dependents_go(&self, uid: &str, entry: &Entry, live: &ObjectMeta) -> Result<(), ReconcileError> {
        let dependents: Vec<(String, Entry)> =
            self.shared.graph().dependents(uid).map(|(uid, entry)| (uid.to_owned(), entry.clone())).collect();
        for (dependent_uid, dependent) in dependents {
            let Some(meta) = self.objects.live(&dependent, &dependent_uid).await? else { continue };
            let owners: Vec<_> = meta.owner_references.iter().flatten().filter(|owner| owner.uid != uid).cloned().collect();
            if owners.len() != meta.owner_references.as_ref().map_or(0, Vec::len) {
                self.objects.set_owners(&dependent, &meta, &owners).await?;
            }
        }
        match self.objects.drop_finalizer(entry, live, ORPHAN).await {
            Err(source) if !source.is_not_found() => Err(source.into()),
            _ => Ok(()),
        }
    }
}
