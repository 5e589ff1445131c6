//! What pods and node use, as `/stats/summary` has it.
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Refused, json_answer};
use crate::{pods::site::Site, runtime::Usage};

pub async fn summary(site: &Arc<Site>) -> Answer {
    let usage = site.runtime.usage().await;
    let usage = usage.map_err(|source| Refused(http::StatusCode::SERVICE_UNAVAILABLE, source.to_string()))?;
    let pods: Vec<Value> = usage
        .iter()
        .map(|pod| {
            let containers: Vec<Value> = pod.containers.iter().map(|c| of(json!({ "name": c.name }), &c.usage)).collect();
            let reference = json!({ "name": pod.pod.name, "namespace": pod.pod.namespace, "uid": pod.pod.uid });
            of(json!({ "podRef": reference, "containers": containers }), &pod.usage)
        })
        .collect();
    let total = usage.iter().fold(Usage::default(), |sum, pod| Usage {
        at: pod.usage.at.or(sum.at),
        cpu_nanos: sum.cpu_nanos + pod.usage.cpu_nanos,
        memory_working_set_bytes: sum.memory_working_set_bytes + pod.usage.memory_working_set_bytes,
        memory_usage_bytes: sum.memory_usage_bytes + pod.usage.memory_usage_bytes,
        memory_rss_bytes: sum.memory_rss_bytes + pod.usage.memory_rss_bytes,
        pids: sum.pids + pod.usage.pids,
        disk_bytes: sum.disk_bytes + pod.usage.disk_bytes,
    });
    // The node's figures are those of its pods: nothing else is accounted for here.
    let node = of(json!({ "nodeName": site.settings.name }), &total);
    Ok(json_answer(&json!({ "node": node, "pods": pods })))
}

fn of(mut into: Value, usage: &Usage) -> Value {
    let time = usage.at.map(|at| at.to_string());
    into["cpu"] = json!({ "time": time, "usageCoreNanoSeconds": usage.cpu_nanos });
    into["memory"] = json!({ "time": time, "workingSetBytes": usage.memory_working_set_bytes,
        "usageBytes": usage.memory_usage_bytes, "rssBytes": usage.memory_rss_bytes });
    into["process_stats"] = json!({ "process_count": usage.pids });
    into
}
