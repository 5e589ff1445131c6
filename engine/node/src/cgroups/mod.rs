//! The control groups of this instance: `/irori-<id>/containerd`, `/irori-<id>/kubepods[/<class>]/pod<uid>/<container>`.
//!
//! What it is: makes and removes groups above a container's own (which runc makes), sets a pod's limits, reads use.
//! What it is not: no systemd driver; on a systemd machine these groups stand beside its slices.
//! Invariant: nothing outside `/irori-<id>` is written, but for turning controllers on at the top of a version 2 tree.
//! Version 2 first; version 1 with the hierarchies that are mounted.
mod tree;
mod usage;

use std::{io, path::PathBuf};

use crate::runtime::{PodRef, Qos, Resources};

pub(crate) use tree::Hierarchy;

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no control groups are mounted at /sys/fs/cgroup")]
    NotMounted,
    #[error("controller `{controller}` of the control groups is missing")]
    Missing { controller: &'static str },
    #[error("{operation} control group `{}`", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The groups of one instance.
#[derive(Clone, Debug)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    /// `irori-<id>`
    root: String,
}

const KUBEPODS: &str = "kubepods";
const CPU_PERIOD_MICROS: u64 = 100_000;
/// The kernel's smallest quota.
const CPU_QUOTA_MICROS_MIN: u64 = 1_000;

/// Weight of a request, in shares of version 1.
pub(crate) fn shares(request_millis: u64) -> u64 {
    (request_millis * 1024 / 1000).clamp(2, 262_144)
}

/// Microseconds per period of `CPU_PERIOD_MICROS`.
pub(crate) fn quota(limit_millis: u64) -> u64 {
    (limit_millis * CPU_PERIOD_MICROS / 1000).max(CPU_QUOTA_MICROS_MIN)
}

/// The weight of version 2 (1…10000) that runc uses for shares of version 1 (2…262144).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

impl Cgroups {
    /// Finds the mounted hierarchies and makes this instance's groups.
    pub fn prepare(instance: &str) -> Result<Self, CgroupError> {
        let groups = Self { hierarchy: Hierarchy::find()?, root: format!("irori-{instance}") };
        for group in [groups.root.clone(), groups.engine(), groups.class(Qos::Guaranteed)] {
            groups.hierarchy.make(&group)?;
        }
        for class in [Qos::Burstable, Qos::BestEffort] {
            groups.hierarchy.make(&groups.class(class))?;
        }
        groups.hierarchy.set_cpu_weight(&groups.class(Qos::BestEffort), 2)?;
        Ok(groups)
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        self.hierarchy.version()
    }

    fn engine(&self) -> String {
        format!("{}/containerd", self.root)
    }

    fn class(&self, class: Qos) -> String {
        match class {
            Qos::Guaranteed => format!("{}/{KUBEPODS}", self.root),
            Qos::Burstable => format!("{}/{KUBEPODS}/burstable", self.root),
            Qos::BestEffort => format!("{}/{KUBEPODS}/besteffort", self.root),
        }
    }

    fn pod(&self, pod: &PodRef, class: Qos) -> String {
        format!("{}/pod{}", self.class(class), pod.uid)
    }

    /// Moves containerd to its own group, out of the one that ends with irori.
    pub(crate) fn adopt_engine(&self, pid: u32) -> Result<(), CgroupError> {
        self.hierarchy.enter(&self.engine(), pid)
    }

    /// Makes the pod's group with its limits; returns its path below the hierarchies, with a leading slash.
    pub(crate) fn make_pod(&self, pod: &PodRef, class: Qos, limits: &Resources) -> Result<String, CgroupError> {
        let group = self.pod(pod, class);
        self.hierarchy.make(&group)?;
        self.hierarchy.limit(&group, limits)?;
        self.weigh_burstable()?;
        Ok(format!("/{group}"))
    }

    /// Removes the pod's group whatever its class; absent is fine.
    pub(crate) fn remove_pod(&self, pod_uid: &str) -> Result<(), CgroupError> {
        self.groups_of(pod_uid).iter().try_for_each(|group| self.hierarchy.remove(group))?;
        self.weigh_burstable()
    }

    /// Where the pod's group is, by its class.
    fn groups_of(&self, pod_uid: &str) -> [String; 3] {
        [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort].map(|class| format!("{}/pod{pod_uid}", self.class(class)))
    }

    /// Uids of the pods that have a group.
    pub(crate) fn pods(&self) -> Vec<String> {
        let classes = [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort];
        let groups = classes.into_iter().flat_map(|class| self.hierarchy.children(&self.class(class)));
        groups.filter_map(|group| group.rsplit_once("/pod").map(|(_, uid)| uid.to_owned())).collect()
    }

    /// The class weighs as much as its pods together.
    fn weigh_burstable(&self) -> Result<(), CgroupError> {
        let class = self.class(Qos::Burstable);
        let sum = self.hierarchy.children(&class).iter().map(|pod| self.hierarchy.cpu_shares(pod)).sum::<u64>();
        self.hierarchy.set_cpu_weight(&class, sum.max(2))
    }

    /// Kills whatever is left in the groups of this instance.
    pub(crate) fn kill_all(&self) {
        self.kill(&self.root);
    }

    /// Kills whatever is left in a pod's groups: its sandbox has been removed.
    pub(crate) fn kill_pod(&self, pod_uid: &str) {
        self.groups_of(pod_uid).iter().for_each(|group| self.kill(group));
    }

    /// Kills whatever is left in a container's groups: it counts as ended, or is being removed.
    pub(crate) fn kill_container(&self, pod_uid: &str, id: &str) {
        self.groups_of(pod_uid).iter().for_each(|group| self.kill(&format!("{group}/{id}")));
    }

    fn kill(&self, group: &str) {
        for pid in self.hierarchy.processes(group) {
            tracing::warn!(pid, group, "a process that nobody looked after is killed");
            let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Removes every group of this instance. For the end of an instance; its processes have to be gone.
    pub fn remove_all(&self) -> Result<(), CgroupError> {
        self.hierarchy.remove(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_limits_become_what_the_kernel_takes() {
        assert_eq!([shares(0), shares(100), shares(1000), shares(9_999_999)], [2, 102, 1024, 262_144]);
        assert_eq!([quota(1), quota(500), quota(2000)], [1_000, 50_000, 200_000]);
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }

    #[test]
    fn a_pod_group_has_its_limits_and_goes_without_a_trace() {
        let instance = format!("{:06x}", std::process::id());
        let groups = Cgroups::prepare(&instance).expect("control groups are mounted");
        let pod = PodRef { namespace: "a".into(), name: "b".into(), uid: "u-1".into() };
        let limits = Resources {
            cpu_request_millis: 250,
            cpu_limit_millis: Some(500),
            memory_limit_bytes: Some(64 << 20),
            pids_limit: Some(20),
            ..Resources::default()
        };
        let path = groups.make_pod(&pod, Qos::Burstable, &limits).expect("make");
        assert_eq!(path, format!("/irori-{instance}/kubepods/burstable/podu-1"));
        assert_eq!(groups.hierarchy.cpu_shares(path.trim_start_matches('/')), 256);
        assert_eq!(groups.hierarchy.read_limit_memory(path.trim_start_matches('/')), Some(64 << 20));
        assert!(groups.pod_usage(&pod).is_some());
        assert_eq!(groups.pods(), ["u-1"]);
        groups.remove_pod("u-1").expect("remove");
        assert!(groups.pods().is_empty());
        groups.remove_pod("u-1").expect("removing what is gone is fine");
        assert!(groups.pod_usage(&pod).is_none());
        groups.remove_all().expect("remove all");
    }
}
