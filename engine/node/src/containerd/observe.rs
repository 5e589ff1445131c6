//! What containers write and use.
use std::collections::BTreeMap;

use futures::StreamExt;

use super::{Machine, containers::everything};
use crate::{
    logs,
    runtime::{
        ContainerId, ContainerState, ContainerUsage, LogOptions, LogStream, PodRef, PodUsage, Result, Runtime, RuntimeError,
        RuntimeEvent,
    },
};

impl Machine {
    pub(super) async fn read_logs(&self, id: &ContainerId, options: LogOptions) -> Result<LogStream> {
        let mut events = self.events.stream();
        let status = self.container_status(id).await?;
        let log = status.log_path.ok_or_else(|| RuntimeError::NotFound { what: format!("log of container `{id}`") })?;
        let (id, running) = (id.clone(), status.state == ContainerState::Running || status.state == ContainerState::Created);
        let me = self.me.clone();
        let ended = async move {
            if !running {
                return;
            }
            while let Some(event) = events.next().await {
                match event {
                    RuntimeEvent::TaskExit { id: ended, .. } | RuntimeEvent::Removed { id: ended } if ended == id.0 => return,
                    RuntimeEvent::Relist => {
                        let Some(machine) = me.upgrade() else { return };
                        match machine.container(&id).await {
                            Ok(status) if status.state == ContainerState::Exited => return,
                            Err(error) if error.is_not_found() => return,
                            // Still running, or to be told by the next `Relist`.
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
        };
        Ok(logs::stream(log, options, self.files.clone(), ended, &self.tasks))
    }

    pub(super) async fn measure(&self) -> Result<Vec<PodUsage>> {
        let mut pods: BTreeMap<PodRef, Vec<ContainerUsage>> = BTreeMap::new();
        for sandbox in self.list_sandboxes(BTreeMap::new()).await? {
            pods.entry(sandbox.pod).or_default();
        }
        let running =
            self.list_containers(everything()).await?.into_iter().filter(|container| container.state == ContainerState::Running);
        let at = Some(self.clock.now());
        for container in running {
            // A container that ends meanwhile has no group any more.
            if let Some(usage) = self.cgroups.container_usage(&container.pod, &container.id.0) {
                let usage = crate::runtime::Usage { at, ..usage };
                let one = ContainerUsage { id: container.id, pod: container.pod.clone(), name: container.name, usage };
                pods.entry(container.pod).or_default().push(one);
            }
        }
        let measured = pods.into_iter().filter_map(|(pod, containers)| {
            let usage = crate::runtime::Usage { at, ..self.cgroups.pod_usage(&pod)? };
            Some(PodUsage { pod, usage, containers })
        });
        Ok(measured.collect())
    }
}
