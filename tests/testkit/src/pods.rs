//! What tests ask of pods, in one word each.
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Home, Said, eventually};

/// How long something that is under way may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(40);

impl Home {
    /// `kubectl apply`.
    pub fn apply(&self, yaml: &str) -> Said {
        self.kubectl_with(&["apply", "-f", "-"], yaml.as_bytes())
    }

    /// Waits until a pod of namespace default is as `what` says; `looks` sees the whole object.
    pub fn wait_pod(&self, name: &str, what: &str, looks: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        eventually(&format!("pod {name} is {what}"), SOON, || {
            let said = self.kubectl(&["get", "pod", name, "-o", "json"]);
            let pod: Value = serde_json::from_str(&said.out).map_err(|_| said.err)?;
            if looks(&pod) {
                return Ok(pod);
            }
            let events = if Instant::now() < deadline { String::new() } else { self.events_of(name) };
            Err(format!("{}\n{events}", pod["status"]))
        })
    }

    pub fn wait_pod_ready(&self, name: &str) -> Value {
        self.wait_pod(name, "ready", |pod| condition(pod, "Ready") == "True")
    }

    /// Waits until a pod is `Succeeded` or `Failed`.
    pub fn wait_pod_ended(&self, name: &str) -> Value {
        self.wait_pod(name, "ended", |pod| ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or("")))
    }

    /// Runs a script in the first container of a pod.
    pub fn script(&self, pod: &str, script: &str) -> Said {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    /// What a script in the first container of a pod prints.
    #[track_caller]
    pub fn inside(&self, pod: &str, script: &str) -> String {
        self.script(pod, script).expect_ok()
    }

    /// Reason and message of the events about an object, one a line.
    pub fn events_of(&self, name: &str) -> String {
        let format = r#"jsonpath={range .items[*]}{.reason}: {.message} x{.count} {.lastTimestamp}{"\n"}{end}"#;
        self.kubectl(&["get", "events", "--field-selector", &format!("involvedObject.name={name}"), "-o", format]).expect_ok()
    }
}

/// The status of a condition of an object, `""` where it has none.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let all = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or("")
}
