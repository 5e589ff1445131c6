//! Pod Security Standards: what a pod does that a level forbids.
//!
//! Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ and pod-security-admission/; the words are those of a
//! stock server. Checks are asked in the order of their names, those of baseline first; a restricted check that is stricter than a
//! baseline one takes its place.
use irori_api::field::{ErrorList, FieldPath};
use serde_json::{Map, Value};

mod baseline;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;

pub use policy::{LABELS, Level, Policy, Standard};

use crate::tree::{get, items, text};

/// One forbidden thing: in short, and with who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: String,
    pub detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Violation> {
        Some(Violation { reason: reason.into(), detail: detail.into() })
    }
}

type Check = fn(&Subject<'_>) -> Option<Violation>;

/// What a pod (or a template: `metadata` and `spec`) does that a standard forbids; empty if nothing.
pub fn violations(standard: Standard, pod: &Value) -> Vec<Violation> {
    let subject = Subject::new(pod, standard.minor);
    let (baseline, restricted) = (baseline::CHECKS, restricted::CHECKS);
    let checks: Vec<Check> = match standard.level {
        Level::Privileged => Vec::new(),
        Level::Baseline => baseline.iter().map(|(_, check)| *check).collect(),
        Level::Restricted => {
            let replaced = |name: &str| restricted.iter().any(|r| r.since <= standard.minor && r.replaces == name);
            let kept = baseline.iter().filter(|(name, _)| !replaced(name)).map(|(_, check)| *check);
            kept.chain(restricted.iter().filter(|r| r.since <= standard.minor).map(|r| r.check)).collect()
        }
    };
    checks.into_iter().filter_map(|check| check(&subject)).collect()
}

/// All violations in one line: `privileged (container "c" must not …), hostPort (…)`.
pub fn details(violations: &[Violation]) -> String {
    let one = |v: &Violation| if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Only the reasons, for many pods at once.
pub fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|v| v.reason.as_str()).collect::<Vec<_>>().join(", ")
}

/// Labels of a namespace that name no level or version.
pub fn label_errors(labels: Option<&Map<String, Value>>) -> ErrorList {
    let mut errors = ErrorList::default();
    let at = FieldPath::new("metadata").child("labels");
    for (label, value, why) in policy::faults(labels) {
        errors.invalid(at.key(&label), value, why);
    }
    errors
}

/// A pod as the checks look at it.
struct Subject<'a> {
    pod: &'a Value,
    spec: &'a Value,
    /// Every container: first those that initialise, last the ephemeral ones.
    containers: Vec<&'a Value>,
    minor: u32,
}

impl<'a> Subject<'a> {
    fn new(pod: &'a Value, minor: u32) -> Subject<'a> {
        let spec = get(pod, &["spec"]).unwrap_or(&Value::Null);
        let containers =
            ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|list| items(spec, &[list])).collect();
        Subject { pod, spec, containers, minor }
    }

    fn pod_context(&self) -> &'a Value {
        get(self.spec, &["securityContext"]).unwrap_or(&Value::Null)
    }

    /// Names of the containers whose security context is so.
    fn named(&self, is: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        let context = |c: &&&'a Value| is(get(c, &["securityContext"]).unwrap_or(&Value::Null));
        self.containers.iter().filter(context).map(|c| text(c, &["name"])).collect()
    }

    fn is_windows(&self) -> bool {
        text(self.spec, &["os", "name"]) == "windows"
    }

    /// Pods with users of their own may be root there.
    fn has_own_users(&self) -> bool {
        self.minor >= 35 && get(self.spec, &["hostUsers"]) == Some(&Value::Bool(false))
    }
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and container "a"`: who has set something.
fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let mut who: Vec<String> = Vec::new();
    if pod {
        who.push("pod".into());
    }
    if !names.is_empty() {
        who.push(containers(names));
    }
    (!who.is_empty()).then(|| who.join(" and "))
}

/// Sorted, each once.
fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort_unstable();
    values.dedup();
    values
}
