//! Which pods there are: one worker for each uid, fed from the API's watch and the runtime's events.
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use irori_client::{Change, Informer};
use irori_runtime::{Backoff, OnEnd};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use super::{
    facts,
    site::Site,
    worker::{INBOX_MAX, Message, Worker},
};
use crate::{
    runtime::{ContainerStatus, PodRef, RuntimeEvent, SandboxStatus},
    volumes::PodFolder,
};

const LIST_BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };

type Lists = (Vec<SandboxStatus>, Vec<ContainerStatus>);

struct Manager {
    site: Arc<Site>,
    workers: HashMap<String, mpsc::Sender<Message>>,
    ended: mpsc::UnboundedSender<String>,
    /// The runtime was listed at least once: a pod that appears now has nothing there.
    listed: bool,
}

/// Runs until the process stops. Nothing is done before the pods of this node are known.
pub async fn run(site: Arc<Site>) {
    let shutdown = site.tasks.shutdown().clone();
    let informer: Informer<Pod> = site.informers.of_selected(&format!("spec.nodeName={}", site.settings.name), "");
    if shutdown.guard(informer.synced()).await.is_none() {
        return;
    }
    let mut changes = informer.changes();
    let (ended, mut over) = mpsc::unbounded_channel();
    let mut manager = Manager { site: site.clone(), workers: HashMap::new(), ended, listed: false };
    for pod in informer.list() {
        manager.present(pod).await;
    }
    let mut events = site.runtime.events();
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            Some(change) = changes.next() => manager.change(change).await,
            Some(uid) = over.recv() => {
                manager.workers.remove(&uid);
            }
            event = events.next() => match event {
                Some(RuntimeEvent::Relist) => {
                    let Some(lists) = shutdown.guard(list(&site)).await else { return };
                    manager.relisted(lists).await;
                }
                Some(RuntimeEvent::TaskExit { id, .. }) => manager.look(id).await,
                Some(RuntimeEvent::Oom { .. } | RuntimeEvent::TaskStarted { .. } | RuntimeEvent::Removed { .. }) => {}
                None => events = site.runtime.events(),
            },
        }
    }
}

/// Asks until the runtime answers: it may be starting.
async fn list(site: &Site) -> Lists {
    for attempt in 0.. {
        match futures::try_join!(site.runtime.sandboxes(), site.runtime.containers()) {
            Ok(lists) => return lists,
            Err(source) => tracing::warn!("list containers: {source}"),
        }
        tokio::time::sleep(LIST_BACKOFF.wait(attempt)).await;
    }
    unreachable!("the numbers do not end before the process does")
}

impl Manager {
    async fn change(&mut self, change: Change<Pod>) {
        let uid = |pod: &Option<Arc<Pod>>| pod.as_ref().and_then(|pod| pod.metadata.uid.clone());
        let (old, new) = (uid(&change.old), uid(&change.new));
        if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
            self.send(&old, Message::Gone).await;
        }
        if let Some(pod) = change.new {
            self.present(pod).await;
        }
    }

    async fn present(&mut self, pod: Arc<Pod>) {
        let Some(pod_ref) = facts::pod_ref(&pod) else { return };
        let fresh = !self.workers.contains_key(&pod_ref.uid);
        let uid = pod_ref.uid.clone();
        self.worker(pod_ref);
        self.send(&uid, Message::Pod(pod)).await;
        if fresh && self.listed {
            self.send(&uid, Message::Listed { sandboxes: Vec::new(), containers: Vec::new() }).await;
        }
    }

    fn worker(&mut self, pod: PodRef) {
        if self.workers.contains_key(&pod.uid) {
            return;
        }
        let uid = pod.uid.clone();
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        self.workers.insert(uid.clone(), sender);
        let worker = Worker::new(self.site.clone(), pod, inbox);
        let ended = self.ended.clone();
        self.site.tasks.spawn("pod", OnEnd::Contained, async move {
            worker.run().await;
            // The manager is gone only when the process stops.
            let _stopping = ended.send(uid);
            Ok::<(), Infallible>(())
        });
    }

    async fn send(&mut self, uid: &str, message: Message) {
        if let Some(worker) = self.workers.get(uid) {
            // A worker that has just ended is taken off the map by its own message.
            let _ended = worker.send(message).await;
        }
    }

    async fn look(&mut self, id: String) {
        if let Some(uid) = self.site.owners.of(&id) {
            self.send(&uid, Message::Look { id }).await;
        }
    }

    /// What is there and in no pod of this node's is torn down by a worker that knows the pod is gone.
    async fn relisted(&mut self, (sandboxes, containers): Lists) {
        let mut by_pod: HashMap<PodRef, Lists> = HashMap::new();
        for sandbox in sandboxes {
            by_pod.entry(sandbox.pod.clone()).or_default().0.push(sandbox);
        }
        for container in containers {
            by_pod.entry(container.pod.clone()).or_default().1.push(container);
        }
        let first = !std::mem::replace(&mut self.listed, true);
        let mut unlisted: Vec<String> = self.workers.keys().cloned().collect();
        for (pod, (sandboxes, containers)) in by_pod {
            if !facts::is_plain(&pod.uid) {
                tracing::warn!(uid = pod.uid, "the runtime has a pod whose uid is none");
                continue;
            }
            let orphan = !self.workers.contains_key(&pod.uid);
            let uid = pod.uid.clone();
            unlisted.retain(|known| *known != uid);
            self.worker(pod);
            if orphan {
                self.send(&uid, Message::Gone).await;
            }
            self.send(&uid, Message::Listed { sandboxes, containers }).await;
        }
        for uid in unlisted {
            self.send(&uid, Message::Listed { sandboxes: Vec::new(), containers: Vec::new() }).await;
        }
        if first {
            self.remove_left_folders().await;
        }
    }

    /// Folders of pods that are known to nobody any more: deleted while irori was down, with nothing left in the runtime.
    async fn remove_left_folders(&self) {
        let (folder, known) = (self.site.pods_folder(), self.workers.keys().cloned().collect::<HashSet<_>>());
        let work = tokio::task::spawn_blocking(move || {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(uid) = entry.file_name().into_string() else { continue };
                if known.contains(&uid) || !facts::is_plain(&uid) {
                    continue;
                }
                match PodFolder::new(&folder, &uid).remove() {
                    Ok(()) => tracing::info!(uid, "removed the folder of a pod that is gone"),
                    Err(failure) => tracing::warn!(uid, "{}", failure.message),
                }
            }
        });
        // A panic in there would be logged by its hook; nothing depends on the result.
        let _ended = work.await;
    }
}
