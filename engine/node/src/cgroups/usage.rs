//! What groups use, read from the kernel when asked.
use std::{collections::BTreeMap, fs, path::Path};

use super::{Cgroups, tree::number};
use crate::runtime::{PodRef, Qos, Usage};

impl Cgroups {
    /// Use of the pod's group with all below it; `None` if there is no such group.
    pub(crate) fn pod_usage(&self, pod: &PodRef) -> Option<Usage> {
        self.usage(&self.find_pod(pod)?)
    }

    /// Use of one container of the pod.
    pub(crate) fn container_usage(&self, pod: &PodRef, container_id: &str) -> Option<Usage> {
        self.usage(&format!("{}/{container_id}", self.find_pod(pod)?))
    }

    fn find_pod(&self, pod: &PodRef) -> Option<String> {
        let classes = [Qos::Burstable, Qos::BestEffort, Qos::Guaranteed];
        let groups = classes.into_iter().map(|class| self.pod(pod, class));
        groups.into_iter().find(|group| self.hierarchy.dir("memory", group).is_some_and(|dir| dir.is_dir()))
    }

    fn usage(&self, group: &str) -> Option<Usage> {
        let memory = self.hierarchy.dir("memory", group)?;
        let stat = pairs(&memory.join("memory.stat"))?;
        let of = |name: &str| stat.get(name).copied().unwrap_or(0);
        let pids = self.hierarchy.dir("pids", group).and_then(|dir| number(&dir.join("pids.current"))).unwrap_or(0);
        let (cpu_nanos, used, inactive, rss) = if self.hierarchy.version() == 1 {
            let cpu = self.hierarchy.dir("cpuacct", group).and_then(|dir| number(&dir.join("cpuacct.usage"))).unwrap_or(0);
            (cpu, number(&memory.join("memory.usage_in_bytes"))?, of("total_inactive_file"), of("total_rss"))
        } else {
            let cpu = pairs(&memory.join("cpu.stat")).and_then(|stat| stat.get("usage_usec").copied()).unwrap_or(0) * 1000;
            (cpu, number(&memory.join("memory.current"))?, of("inactive_file"), of("anon"))
        };
        Some(Usage {
            at: None,
            cpu_nanos,
            memory_working_set_bytes: used.saturating_sub(inactive),
            memory_usage_bytes: used,
            memory_rss_bytes: rss,
            pids,
            disk_bytes: 0,
        })
    }
}

/// `name value` lines.
fn pairs(file: &Path) -> Option<BTreeMap<String, u64>> {
    let text = fs::read_to_string(file).ok()?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Some(lines.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect())
}
