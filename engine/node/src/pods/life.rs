//! The life of one pod on this machine, as a value: what it should be, what it is, what is under way.
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{
    effect::Image,
    facts::{self, ProbeKind, Role},
};
use crate::{
    refusal::Refusal,
    runtime::{ContainerId, PodRef, SandboxId},
};

/// The present: `mono` for deadlines (since the process started), `wall` for what is shown.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub mono: Duration,
    pub wall: Timestamp,
}

/// Everything known of one pod.
#[derive(Clone, Debug)]
pub struct Life {
    pub pod: PodRef,
    /// The object as last seen; `None` for what runs here without one.
    pub object: Option<Arc<Pod>>,
    /// The object is gone from the API.
    pub gone: bool,
    /// The runtime was asked at least once what is there. Before that nothing is done.
    pub observed: bool,
    pub refusals: Vec<Refusal>,
    pub start_time: Option<Timestamp>,
    pub volumes: Work,
    pub sandbox: Sandbox,
    /// Init containers and sidecars, then app containers, in the order of the spec.
    pub slots: Vec<Slot>,
    /// All init containers of the present sandbox are satisfied; later failures of theirs do not matter any more.
    pub initialized: bool,
    pub stop: Option<Stop>,
    pub cleanup: Work,
    pub delete: Work,
    /// Containers that are no slot's present or previous one.
    pub strays: Vec<Stray>,
    pub conditions: BTreeMap<&'static str, Condition>,
}

/// Something asked of the world, and how that stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Work {
    #[default]
    Idle,
    /// Under way, after this many failures in a row.
    Busy(u32),
    Done,
    Failed(Trouble),
}

/// Why something did not work, and when it is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// CamelCase, as shown in a waiting state.
    pub reason: String,
    pub message: String,
    /// Failures in a row, from 1.
    pub fails: u32,
    pub retry: Duration,
}

impl Work {
    pub fn fails(&self) -> u32 {
        match self {
            Self::Failed(trouble) => trouble.fails,
            Self::Busy(fails) => *fails,
            Self::Idle | Self::Done => 0,
        }
    }

    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// It is asked for now.
    pub fn begin(&mut self) {
        *self = Self::Busy(self.fails());
    }

    /// Whether it may be asked for now.
    pub fn is_due(&self, now: Now) -> bool {
        match self {
            Self::Idle => true,
            Self::Failed(trouble) => trouble.retry <= now.mono,
            Self::Busy(_) | Self::Done => false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// The number that the next one gets.
    pub next_attempt: u32,
    pub present: Option<Present>,
    /// Not ready any more, or left over; to be stopped and removed.
    pub old: Vec<SandboxId>,
    /// Making it.
    pub work: Work,
    /// Stopping or removing one.
    pub removal: Work,
}

/// A sandbox that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    pub id: SandboxId,
    pub attempt: u32,
    pub ips: Vec<IpAddr>,
    pub ready: bool,
    /// We stopped it ourselves, for good.
    pub stopped: bool,
}

#[derive(Clone, Debug)]
pub struct Stray {
    pub id: ContainerId,
    pub removal: Work,
}

/// Why the pod is being stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// Deleted through the API, or unknown to it.
    Deleted,
    /// All its containers are done.
    Completed,
    DeadlineExceeded,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub cause: Cause,
    /// When SIGKILL comes.
    pub deadline: Duration,
}

/// One container of the pod.
#[derive(Clone, Debug)]
pub struct Slot {
    pub name: String,
    pub role: Role,
    pub instance: Instance,
    /// The number of the present instance, or of the one to be started next: the restart count.
    pub attempt: u32,
    pub image: Work,
    /// What `image` found, once it is done.
    pub image_found: Option<Image>,
    /// Another image is asked for than the one that `image` is busy with.
    pub image_changed: bool,
    /// It was ended to run another image: it starts again whatever the policy says.
    pub replaced: bool,
    /// ErrImagePull was shown long enough.
    pub pull_back_off: bool,
    /// Why the last start did not work.
    pub start_trouble: Option<Trouble>,
    pub crash: Crash,
    /// The instance before the present one.
    pub last: Option<Exit>,
    pub probes: BTreeMap<ProbeKind, ProbeState>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Instance {
    /// There is none in this sandbox.
    None,
    /// A start is under way.
    Starting,
    Running(Run),
    Exited(Exit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Due,
    Busy,
    Done,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: ContainerId,
    pub started_at: Timestamp,
    pub since: Duration,
    pub image_ref: String,
    pub image_id: String,
    pub post_start: Hook,
    pub stop: Option<RunStop>,
}

/// A container that is being stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStop {
    pub deadline: Duration,
    /// The call is under way; if it failed, when it is made again.
    pub work: Work,
    /// It was asked for at least once: the preStop hook has had its turn.
    pub asked: bool,
}

/// A container that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Absent if the runtime has forgotten it.
    pub id: Option<ContainerId>,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub image_ref: String,
    pub image_id: String,
    pub at: Duration,
}

/// Back-off between restarts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crash {
    /// The wait after the next exit; zero at first.
    pub wait: Duration,
    /// When it was last raised.
    pub updated: Duration,
    /// It was said in an event that a restart waits.
    pub told: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeState {
    pub next: Duration,
    pub busy: bool,
    /// Results of one kind in a row.
    pub last: Option<bool>,
    pub row: u32,
    /// What the results add up to by the thresholds.
    pub verdict: Option<bool>,
}

/// A condition of the pod as it will be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub status: bool,
    pub reason: String,
    pub message: String,
    pub since: Timestamp,
}

impl Life {
    /// A pod of which only the name is known yet.
    pub fn new(pod: PodRef) -> Self {
        Self {
            pod,
            object: None,
            gone: false,
            observed: false,
            refusals: Vec::new(),
            start_time: None,
            volumes: Work::Idle,
            sandbox: Sandbox::default(),
            slots: Vec::new(),
            initialized: false,
            stop: None,
            cleanup: Work::Idle,
            delete: Work::Idle,
            strays: Vec::new(),
            conditions: BTreeMap::new(),
        }
    }

    pub fn spec(&self) -> Option<&PodSpec> {
        self.object.as_ref().and_then(|pod| pod.spec.as_ref())
    }

    pub fn slot_mut(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.name == name)
    }

    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.role == role)
    }

    /// Nothing runs and no start is under way.
    pub fn is_quiet(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.instance, Instance::None | Instance::Exited(_)))
    }

    /// Nothing is left to do, and the object is gone.
    pub fn is_over(&self) -> bool {
        self.delete == Work::Done
    }

    /// The pod is to be taken away altogether.
    pub fn is_deleted(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.cause == Cause::Deleted)
    }
}

impl Slot {
    pub fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            role,
            instance: Instance::None,
            attempt: 0,
            image: Work::Idle,
            image_found: None,
            image_changed: false,
            replaced: false,
            pull_back_off: false,
            start_trouble: None,
            crash: Crash::default(),
            last: None,
            probes: BTreeMap::new(),
        }
    }

    pub fn run(&self) -> Option<&Run> {
        match &self.instance {
            Instance::Running(run) => Some(run),
            _ => None,
        }
    }

    pub fn exit(&self) -> Option<&Exit> {
        match &self.instance {
            Instance::Exited(exit) => Some(exit),
            _ => None,
        }
    }

    /// It runs, its postStart hook is through and its startup probe (if any) has succeeded.
    pub fn is_started(&self, spec: &PodSpec) -> bool {
        self.run().is_some_and(|run| run.post_start == Hook::Done)
            && (!self.has_probe(spec, ProbeKind::Startup) || self.verdict(ProbeKind::Startup) == Some(true))
    }

    /// Started, and the readiness probe (if any) says yes. An init container is ready once it has succeeded.
    pub fn is_ready(&self, spec: &PodSpec) -> bool {
        match self.role {
            Role::Init => self.exit().is_some_and(|exit| exit.exit_code == 0),
            Role::Sidecar | Role::App => {
                self.is_started(spec)
                    && (!self.has_probe(spec, ProbeKind::Readiness) || self.verdict(ProbeKind::Readiness) == Some(true))
            }
        }
    }

    fn has_probe(&self, spec: &PodSpec, kind: ProbeKind) -> bool {
        facts::container(spec, &self.name).is_some_and(|c| facts::probe(c, kind).is_some())
    }

    fn verdict(&self, kind: ProbeKind) -> Option<bool> {
        self.probes.get(&kind).and_then(|probe| probe.verdict)
    }
}
