//! containerd's events, kept for every reader, and the watch over containerd itself.
//!
//! Flow: subscription → what is remembered (exits, memory kills) → one broadcast → readers.
//! Invariant: whoever may have missed an event gets `Relist`.
use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use futures::{StreamExt, stream};
use irori_runtime::Backoff;
use jiff::Timestamp;
use prost::Message;
use tokio::{sync::broadcast, time::Instant};

use super::{
    rpc::{Rpc, USUAL},
    wire::engine,
};
use crate::runtime::{EventStream, RuntimeEvent};

/// Events that a slow reader may be behind; above this it gets `Relist`.
const BEHIND_MAX: usize = 1024;

/// Topic of the event that shows that a subscription stands.
const HELLO: &str = "/irori/hello";
/// Waits for our own event.
const HEARD: Backoff = Backoff { first: Duration::from_millis(2), max: Duration::from_millis(200) };

/// After a kill, how long its reason is waited for: the exit and the memory kill behind it come from two sources, in any order.
const REASON_WAIT: Duration = Duration::from_millis(250);
/// Exit code of what SIGKILL ended (128 + 9).
const KILLED: i32 = 137;

/// How a container's main process ended, from its event: containerd's CRI plugin learns it a moment later than we do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    pub code: i32,
    pub at: Timestamp,
    heard: Instant,
}

pub(super) struct Events {
    sender: broadcast::Sender<RuntimeEvent>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    exits: HashMap<String, Exit>,
    memory_kills: HashSet<String>,
    /// What we told containerd to stop: a kill is no surprise there.
    stopping: HashSet<String>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { sender: broadcast::Sender::new(BEHIND_MAX), seen: Mutex::default() }
    }

    pub(super) fn exit_of(&self, id: &str) -> Option<Exit> {
        self.lock().exits.get(id).copied()
    }

    pub(super) fn was_killed_for_memory(&self, id: &str) -> bool {
        self.lock().memory_kills.contains(id)
    }

    /// We are about to end it ourselves.
    pub(super) fn stopping(&self, id: &str) {
        self.lock().stopping.insert(id.to_owned());
    }

    /// Waits until it is known whether the kernel killed the container for its memory, where its end was heard of just now.
    pub(super) async fn settle(&self, id: &str) {
        let mut events = self.sender.subscribe();
        let Some(exit) = self.exit_of(id).filter(|exit| exit.code == KILLED) else { return };
        if self.lock().stopping.contains(id) {
            return;
        }
        let told = async { while !self.was_killed_for_memory(id) && events.recv().await.is_ok() {} };
        let _late = tokio::time::timeout_at(exit.heard + REASON_WAIT, told).await;
    }

    /// Removed: its id never comes back.
    pub(super) fn forget(&self, id: &str) {
        let mut seen = self.lock();
        seen.exits.remove(id);
        seen.memory_kills.remove(id);
        seen.stopping.remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }

    /// Tells readers, and remembers what later questions need.
    pub(super) fn publish(&self, event: RuntimeEvent) {
        match &event {
            RuntimeEvent::TaskExit { id, exit_code, at } => {
                self.lock().exits.insert(id.clone(), Exit { code: *exit_code, at: *at, heard: Instant::now() });
            }
            RuntimeEvent::Oom { id } => {
                self.lock().memory_kills.insert(id.clone());
            }
            RuntimeEvent::Removed { id } => self.forget(id),
            RuntimeEvent::Relist | RuntimeEvent::TaskStarted { .. } => {}
        }
        // No reader is no error.
        let _readers = self.sender.send(event);
    }

    pub(super) fn stream(&self) -> EventStream {
        let receiver = self.sender.subscribe();
        let later = stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((event, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((RuntimeEvent::Relist, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        stream::once(async { RuntimeEvent::Relist }).chain(later).boxed()
    }

    /// Reads events until the connection is lost. Once the subscription stands it waits until what happened before has `settled`, and
    /// tells `Relist`.
    pub(super) async fn follow(&self, rpc: &Rpc, settled: impl Future<Output = ()>) -> Result<(), tonic::Status> {
        let topics = ["/tasks/start", "/tasks/exit", "/tasks/oom", "/containers/delete", HELLO];
        let filters = topics.iter().map(|topic| format!("topic==\"{topic}\"")).collect();
        let path = "/containerd.services.events.v1.Events/Subscribe";
        let mut envelopes = tokio::select! {
            answer = rpc.subscribe::<_, engine::Envelope>(path, engine::SubscribeRequest { filters }) => answer?,
            status = greet(rpc) => return Err(status),
        };
        settled.await;
        self.publish(RuntimeEvent::Relist);
        while let Some(envelope) = envelopes.message().await? {
            if let Some(event) = decode(envelope) {
                self.publish(event);
            }
        }
        Ok(())
    }
}

/// Publishes an event of our own until it is heard: containerd answers a subscription only with its first event, and nothing else says
/// that it stands.
async fn greet(rpc: &Rpc) -> tonic::Status {
    let mut attempt = 0;
    loop {
        let event = engine::Any { type_url: "irori.dev/Hello".to_owned(), value: bytes::Bytes::new() };
        let request = engine::PublishRequest { topic: HELLO.to_owned(), event: Some(event) };
        let path = "/containerd.services.events.v1.Events/Publish";
        if let Err(status) = rpc.call::<_, engine::Empty>(path, request, USUAL).await {
            return status;
        }
        tokio::time::sleep(HEARD.wait(attempt)).await;
        attempt += 1;
    }
}

/// `None` for what is not ours to tell: execs, other topics, broken messages.
fn decode(envelope: engine::Envelope) -> Option<RuntimeEvent> {
    let at = envelope.timestamp.as_ref().and_then(time);
    let any = envelope.event?;
    match envelope.topic.as_str() {
        "/tasks/start" => {
            engine::TaskStart::decode(any.value).ok().map(|event| RuntimeEvent::TaskStarted { id: event.container_id })
        }
        "/tasks/oom" => engine::TaskOom::decode(any.value).ok().map(|event| RuntimeEvent::Oom { id: event.container_id }),
        "/containers/delete" => {
            engine::ContainerDelete::decode(any.value).ok().map(|event| RuntimeEvent::Removed { id: event.id })
        }
        "/tasks/exit" => {
            let event = engine::TaskExit::decode(any.value).ok()?;
            let at = event.exited_at.as_ref().and_then(time).or(at)?;
            let exit_code = i32::try_from(event.exit_status).unwrap_or(i32::MAX);
            (event.id == event.container_id).then_some(RuntimeEvent::TaskExit { id: event.container_id, exit_code, at })
        }
        _ => None,
    }
}

fn time(at: &engine::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reason_of_a_kill_is_waited_for_though_it_comes_after_the_exit() {
        let events = Events::new();
        let exit = |id: &str, exit_code| RuntimeEvent::TaskExit { id: id.into(), exit_code, at: Timestamp::UNIX_EPOCH };
        events.publish(exit("failed", 1));
        let begun = Instant::now();
        events.settle("failed").await;
        events.settle("unheard of").await;
        let late = async {
            tokio::task::yield_now().await;
            events.publish(exit("other", 0));
            events.publish(RuntimeEvent::Oom { id: "killed".into() });
        };
        events.publish(exit("killed", 137));
        tokio::join!(events.settle("killed"), late);
        assert!(events.was_killed_for_memory("killed"));
        assert!(begun.elapsed() < REASON_WAIT, "none of them waits for the limit: {:?}", begun.elapsed());

        events.publish(exit("stopped", 137));
        let begun = Instant::now();
        events.settle("stopped").await;
        assert!(begun.elapsed() >= REASON_WAIT / 2 && !events.was_killed_for_memory("stopped"));
        let later = Instant::now();
        events.settle("stopped").await;
        events.stopping("ours");
        events.publish(exit("ours", 137));
        events.settle("ours").await;
        assert!(later.elapsed() < REASON_WAIT / 2, "neither what ended long ago is waited for nor what we ended");
    }

    fn exit(container: &str, process: &str) -> engine::Envelope {
        let event = engine::TaskExit {
            container_id: container.into(),
            id: process.into(),
            exit_status: 7,
            exited_at: Some(engine::Timestamp { seconds: 5, nanos: 0 }),
            ..Default::default()
        };
        let any = engine::Any { type_url: "containerd.events.TaskExit".into(), value: event.encode_to_vec().into() };
        engine::Envelope { topic: "/tasks/exit".into(), event: Some(any), ..Default::default() }
    }

    #[test]
    fn the_exit_of_a_container_is_told_and_that_of_an_exec_is_not() {
        let at = Timestamp::from_second(5).expect("in range");
        assert_eq!(decode(exit("c", "c")), Some(RuntimeEvent::TaskExit { id: "c".into(), exit_code: 7, at }));
        assert_eq!(decode(exit("c", "exec-1")), None);
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_to_list_again() {
        let events = Events::new();
        let mut reader = events.stream();
        assert_eq!(reader.next().await, Some(RuntimeEvent::Relist));
        for n in 0..=BEHIND_MAX {
            events.publish(RuntimeEvent::TaskStarted { id: n.to_string() });
        }
        assert_eq!(reader.next().await, Some(RuntimeEvent::Relist));
        assert_eq!(reader.next().await, Some(RuntimeEvent::TaskStarted { id: "1".into() }));
    }

    #[test]
    fn an_exit_is_remembered_until_the_container_is_removed() {
        let events = Events::new();
        events.publish(RuntimeEvent::TaskExit { id: "c".into(), exit_code: 3, at: Timestamp::UNIX_EPOCH });
        assert_eq!(events.exit_of("c").map(|exit| exit.code), Some(3));
        events.publish(RuntimeEvent::Removed { id: "c".into() });
        assert!(events.exit_of("c").is_none());
    }
}
