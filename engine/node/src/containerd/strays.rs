//! What runs without the CRI plugin's knowledge: where a start is cut off on a busy machine, containerd gives up its own cleaning up
//! after a few seconds; then its tasks service or only the kernel knows of the container.
use std::{collections::HashSet, time::Duration};

use irori_runtime::Backoff;

use super::{
    Machine, containers,
    exec::{KILL, SIGKILL},
    rpc::{USUAL, failed},
    wire::{cri, engine},
};
use crate::runtime::{ContainerId, ContainerState, ContainerStatus, Result, RuntimeError};

const LIST: &str = "/containerd.services.tasks.v1.Tasks/List";
const DELETE: &str = "/containerd.services.tasks.v1.Tasks/Delete";
/// The status of a task whose process has ended.
const STOPPED: i32 = 3;
/// Waits for a killed task to end.
const ENDED: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(500) };
const END_MAX: Duration = Duration::from_secs(10);

impl Machine {
    /// Removes something. What has a task still that the CRI plugin does not know of loses it first: it would stay for ever.
    pub(super) async fn remove<Q>(&self, operation: &'static str, path: &'static str, request: Q, id: &str) -> Result<()>
    where
        Q: prost::Message + Clone + 'static,
    {
        let mut ended = HashSet::new();
        loop {
            let answer = self.rpc.call::<_, cri::Empty>(path, request.clone(), USUAL).await;
            let Err(status) = answer else { return Ok(()) };
            match stray(status.message()) {
                Some(stray) if ended.insert(stray.to_owned()) => {
                    tracing::info!(container = stray, "end a task that was left of a start that was cut off");
                    self.end_task(stray).await?;
                }
                _ => return Err(failed(operation, id, &status)),
            }
        }
    }

    /// Ends a container's task whatever the CRI plugin takes it for. There may be none.
    async fn end_task(&self, id: &str) -> Result<()> {
        let work = async {
            for attempt in 0.. {
                let kill =
                    engine::KillRequest { container_id: id.to_owned(), exec_id: String::new(), signal: SIGKILL, all: true };
                if let Err(status) = self.rpc.call::<_, engine::Empty>(KILL, kill, USUAL).await {
                    tracing::debug!(container = id, "kill task (it may have ended): {}", status.message());
                }
                let delete = engine::DeleteTaskRequest { container_id: id.to_owned() };
                match self.rpc.call::<_, engine::DeleteResponse>(DELETE, delete, USUAL).await {
                    Ok(_) => break,
                    Err(status) if status.code() == tonic::Code::NotFound => break,
                    Err(status) => tracing::debug!(container = id, "remove task: {}", status.message()),
                }
                tokio::time::sleep(ENDED.wait(attempt)).await;
            }
        };
        // A shim that hangs would hold up everything else.
        tokio::time::timeout(END_MAX, work).await.map_err(|_| RuntimeError::Timeout { operation: "end task", limit: END_MAX })
    }

    /// Ends what is left of a container that has ended for the CRI plugin. What cannot be ended is told and left to the container's removal.
    async fn end_rest(&self, container: &ContainerStatus) {
        self.cgroups.kill_container(&container.pod.uid, &container.id.0);
        if let Err(error) = self.end_task(&container.id.0).await {
            tracing::warn!(container = container.id.0, "end what is left of a container: {error}");
        }
    }

    /// After a start that failed: what it left would run beside the next attempt. A containerd that is gone may have done it all the same.
    pub(super) async fn end_failed_start(&self, id: &ContainerId, why: &tonic::Status) {
        if why.code() == tonic::Code::Unavailable {
            return;
        }
        if let Ok(container) = self.container_status(id).await
            && container.state == ContainerState::Exited
        {
            self.end_rest(&container).await;
        }
    }

    /// Ends what still runs of containers that have ended for the CRI plugin: the pod's next attempt would run beside it.
    pub(super) async fn end_strays(&self) -> Result<()> {
        let tasks: HashSet<String> = self.list_tasks().await?.into_iter().map(|task| task.id).collect();
        let all = self.list_containers(containers::everything()).await?;
        let ended = |container: &&ContainerStatus| matches!(container.state, ContainerState::Exited | ContainerState::Unknown);
        for container in all.iter().filter(ended) {
            if tasks.contains(&container.id.0) {
                self.end_rest(container).await;
            } else {
                self.cgroups.kill_container(&container.pod.uid, &container.id.0);
            }
        }
        Ok(())
    }

    pub(super) async fn has_unnoticed_exits(&self) -> Result<bool> {
        let tasks = self.list_tasks().await?;
        let alive: HashSet<String> = tasks.into_iter().filter(|task| task.status != STOPPED).map(|task| task.id).collect();
        let containers = self.list_containers(containers::everything()).await?;
        let mut running = containers.iter().filter(|container| container.state == ContainerState::Running);
        Ok(running.any(|container| !alive.contains(&container.id.0)))
    }

    async fn list_tasks(&self) -> Result<Vec<engine::Process>> {
        let answer = self.rpc.call::<_, engine::ListTasksResponse>(LIST, engine::ListTasksRequest {}, USUAL).await;
        answer.map(|answer| answer.tasks).map_err(|status| failed("list tasks", "", &status))
    }
}

/// The task that stands in the way of a removal, by containerd's words for it: its code for that is used for other things too.
fn stray(message: &str) -> Option<&str> {
    let (_, task) = message.split_once("cannot delete running task ")?;
    Some(task.split_once(':').map_or(task, |(task, _)| task).trim())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_task_that_stands_in_the_way_is_named_by_the_refusal() {
        let message = "failed to delete containerd container \"07\": cannot delete running task 07: failed precondition";
        assert_eq!(super::stray(message), Some("07"));
        assert_eq!(super::stray("container \"07\" is in starting state, can't be removed"), None);
    }
}
