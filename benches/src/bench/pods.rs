//! Pod starts, image present: from the sent create to Ready.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    curl::{Api, Watch},
    ground::Ground,
    home::{Home, Size, is_true},
    record::{Record, percentile, spread},
    wants,
};

const PODS: &str = "/api/v1/namespaces/bench/pods";
const AT_ONCE: usize = 10;
const START_MAX: Duration = Duration::from_secs(120);

/// What was seen of one pod.
#[derive(Default)]
struct Seen {
    sent: Option<Instant>,
    scheduled: Option<Instant>,
    ready: Option<Instant>,
    gone: bool,
    /// From creationTimestamp to the Ready condition's lastTransitionTime, in the API's whole seconds.
    by_stamps: Option<u64>,
}

struct Series {
    container: Value,
    api: Api,
    watch: Watch,
    pods: BTreeMap<String, Seen>,
}

pub fn run(ground: &Ground, count: usize) -> Result<()> {
    let mut record = Record::start("pods", ground)?;
    let outcome = measure(ground, count, &mut record);
    record.finish(outcome)
}

fn measure(ground: &Ground, count: usize, record: &mut Record) -> Result<()> {
    let mut home = Home::new(ground, Size { whoami: 1, page: 1 })?;
    home.start(None)?;
    home.wait_up()?;
    home.wait_replicas()?;
    let api = home.api()?;
    let running = api.get("/apis/apps/v1/namespaces/apps/deployments/whoami")?;
    let mut container = running.pointer("/spec/template/spec/containers/0").cloned().context("the app's container")?;
    // Ready when it runs: a probe's period is no part of the start.
    container.as_object_mut().context("a container is an object")?.remove("readinessProbe");
    api.post("/api/v1/namespaces", &[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})])?;
    let account = "/api/v1/namespaces/bench/serviceaccounts/default";
    super::control::until("the service account is there", START_MAX, || Ok(api.get(account).ok()))?;
    let watch = api.watch(PODS)?;
    let mut series = Series { container, api, watch, pods: BTreeMap::new() };
    series.round("warm", 2, 1)?;
    series.pods.clear();

    series.round("one", count, 1)?;
    let ready = tell(record, "one at a time", &series.pods);
    record.judge(&wants::POD_P50, percentile(&ready, 50).as_secs_f64());
    record.judge(&wants::POD_P99, percentile(&ready, 99).as_secs_f64());
    series.pods.clear();

    series.round("ten", count, AT_ONCE)?;
    tell(record, &format!("{AT_ONCE} at once"), &series.pods);
    drop(series);
    home.down()
}

fn tell(record: &mut Record, what: &str, pods: &BTreeMap<String, Seen>) -> Vec<Duration> {
    let since_sent = |at: fn(&Seen) -> Option<Instant>| -> Vec<Duration> {
        pods.values().filter_map(|pod| Some(at(pod)?.saturating_duration_since(pod.sent?))).collect()
    };
    let ready = since_sent(|pod| pod.ready);
    record.note(
        &format!("{} pods, {what}, create to node chosen, by watch", pods.len()),
        &spread(&since_sent(|pod| pod.scheduled)),
    );
    record.note(&format!("{} pods, {what}, create to Ready, by watch", pods.len()), &spread(&ready));
    let stamps: Vec<Duration> = pods.values().filter_map(|pod| pod.by_stamps).map(Duration::from_secs).collect();
    record.note(&format!("{} pods, {what}, create to Ready, by the API's whole seconds", stamps.len()), &spread(&stamps));
    ready
}

impl Series {
    /// Makes `count` pods, `at_once` at a time; each group is Ready and gone again before the next.
    fn round(&mut self, name: &str, count: usize, at_once: usize) -> Result<()> {
        let names: Vec<String> = (0..count).map(|n| format!("{name}-{n}")).collect();
        for group in names.chunks(at_once) {
            let bodies: Vec<Value> = group.iter().map(|name| self.pod(name)).collect();
            let sent = self.api.post(PODS, &bodies)?;
            for (name, sent) in group.iter().zip(sent) {
                self.pods.entry(name.clone()).or_default().sent = Some(sent);
            }
            self.wait(group, "is Ready", |pod| pod.ready.is_some())?;
            for name in group {
                self.api.delete(&format!("{PODS}/{name}"), &json!({"gracePeriodSeconds": 1}))?;
            }
            self.wait(group, "is gone", |pod| pod.gone)?;
        }
        Ok(())
    }

    fn pod(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [self.container]},
        })
    }

    fn wait(&mut self, group: &[String], what: &str, done: fn(&Seen) -> bool) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while let Some(late) = group.iter().find(|name| !self.pods.get(*name).is_some_and(done)) {
            let (seen, event) = self.watch.next_until(&format!("pod {late} {what}"), deadline)?;
            let pod = &event["object"];
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let entry = self.pods.entry(name).or_default();
            entry.gone |= event["type"] == "DELETED";
            if entry.scheduled.is_none() && pod["spec"]["nodeName"].is_string() {
                entry.scheduled = Some(seen);
            }
            if entry.ready.is_none() && is_true(pod, "Ready") {
                entry.ready = Some(seen);
                entry.by_stamps = by_stamps(pod);
            }
        }
        Ok(())
    }
}

fn by_stamps(pod: &Value) -> Option<u64> {
    let created = second_of_day(pod["metadata"]["creationTimestamp"].as_str()?)?;
    let ready = pod["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?;
    let ready = second_of_day(ready["lastTransitionTime"].as_str()?)?;
    // A day ends while pods start, too.
    Some((ready + 86_400 - created) % 86_400)
}

/// Of `2026-01-02T03:04:05Z`.
fn second_of_day(stamp: &str) -> Option<u64> {
    let (_, time) = stamp.split_once('T')?;
    let mut parts = time.trim_end_matches('Z').split(':').map(|part| part.parse::<u64>().ok());
    Some(parts.next()?? * 3600 + parts.next()?? * 60 + parts.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_counted_over_midnight() {
        let pod = json!({
            "metadata": {"creationTimestamp": "2026-01-01T23:59:59Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T00:00:01Z"}]},
        });
        assert_eq!(by_stamps(&pod), Some(2));
    }
}
