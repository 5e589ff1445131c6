//! What a pod's life asks of the world (`Effect`) and what the world tells it (`Event`).
use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;

use super::{facts::ProbeKind, life::Present};
use crate::runtime::{ContainerId, ContainerStatus, ImageInfo, SandboxId, SandboxStatus};

/// Carried out by the executor, in no particular order and all at once; each has its answer among the events.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the volumes of the pod. `Event::Volumes`.
    PrepareVolumes,
    /// `Event::SandboxUp`.
    EnsureSandbox { attempt: u32 },
    /// Stop it and keep it. `Event::SandboxRemoval`.
    StopSandbox { id: SandboxId },
    /// Stop and remove it, with its containers. `Event::SandboxRemoval`.
    RemoveSandbox { id: SandboxId },
    /// By the container's pull policy. `Event::Image`.
    EnsureImage { container: String },
    /// Create and start. `Event::Started`.
    Start { container: String, attempt: u32, image: Image },
    /// `Event::PostStarted`.
    PostStart { container: String, id: ContainerId },
    /// Run the preStop hook if there is one and it is asked for, then stop; all within `grace`. `Event::Stopped`.
    Stop { container: String, id: ContainerId, grace: Duration, pre_stop: bool },
    /// `Event::Removed`.
    RemoveContainer { id: ContainerId },
    /// `Event::Probed`.
    Probe { container: String, id: ContainerId, kind: ProbeKind },
    /// Take volumes and folders of the pod away. `Event::Cleaned`.
    Cleanup,
    /// Delete the object, if it is still the same one, with no grace. `Event::Deleted`.
    Delete,
    /// Record an event about the pod.
    Tell(Tell),
}

/// An event for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Tell {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
    /// The container that it is about.
    pub container: Option<String>,
}

/// An image that is present.
#[derive(Clone, Debug, PartialEq)]
pub struct Image(pub Arc<ImageFacts>);

#[derive(Clone, Debug)]
pub struct ImageFacts {
    pub info: ImageInfo,
}

impl PartialEq for ImageFacts {
    fn eq(&self, other: &Self) -> bool {
        self.info.id == other.info.id
    }
}

impl Image {
    pub fn new(info: ImageInfo) -> Self {
        Self(Arc::new(ImageFacts { info }))
    }

    pub fn info(&self) -> &ImageInfo {
        &self.0.info
    }
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// As shown in a waiting state, e.g. `ErrImagePull`.
    pub reason: String,
    pub message: String,
}

/// The runtime could not say whether it has an image.
pub const INSPECT_FAILED: &str = "ImageInspectError";

impl Failure {
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

/// A start that did not work; a container may have been made already.
#[derive(Clone, Debug, PartialEq)]
pub struct StartFailure {
    pub failure: Failure,
    pub id: Option<ContainerId>,
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeResult {
    Success,
    Failure(String),
}

/// What the runtime has of one pod.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub sandboxes: Vec<SandboxStatus>,
    /// With exit codes where they have ended.
    pub containers: Vec<ContainerStatus>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The object is as given.
    Pod(Arc<Pod>),
    /// The object is not in the API (any more).
    Gone,
    Observed(Observed),
    /// A ConfigMap or Secret that the pod refers to is not what it was.
    SourcesChanged,
    Volumes(Result<(), Failure>),
    SandboxUp(Result<Present, Failure>),
    /// A sandbox is as said; `None` if the runtime does not know it.
    SandboxSeen {
        id: SandboxId,
        ready: bool,
    },
    SandboxRemoval {
        id: SandboxId,
        removed: bool,
        result: Result<(), Failure>,
    },
    Image {
        container: String,
        result: Result<Image, Failure>,
    },
    Started {
        container: String,
        attempt: u32,
        result: Result<ContainerStatus, StartFailure>,
    },
    PostStarted {
        container: String,
        id: ContainerId,
        result: Result<(), String>,
    },
    /// How a container is; `None` if the runtime does not know it.
    Seen {
        id: ContainerId,
        status: Option<ContainerStatus>,
    },
    Stopped {
        container: String,
        id: ContainerId,
        result: Result<(), Failure>,
    },
    Removed {
        id: ContainerId,
        result: Result<(), Failure>,
    },
    Probed {
        container: String,
        id: ContainerId,
        kind: ProbeKind,
        result: ProbeResult,
    },
    Cleaned(Result<(), Failure>),
    Deleted(Result<(), Failure>),
    /// Time has passed.
    Tick,
}
