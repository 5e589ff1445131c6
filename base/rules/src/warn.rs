//! Warnings: what a stock server lets pass and says something about, in its words.
//!
//! Source: the API reference's deprecations, https://kubernetes.io/docs/reference/using-api/deprecation-guide/, and the descriptions of
//! the fields. Asked only of objects that are valid.
use hashbrown::HashSet;

use irori_api::{field::FieldPath, names, row::Row, status::quoted};
use serde_json::Value;

use crate::{
    prepare::app_armor_warnings,
    template_path,
    tree::{get, int, items, text},
    validate::unknown_formats,
};

mod address;
mod files;
mod kinds;
mod node_labels;
mod pod;
#[cfg(test)]
mod tests;
mod tls;

/// Things of one object that are compared with each other, counted each time; of what is beyond nothing is said.
const COMPARED_MAX: usize = 100_000;
/// Warnings of one object; further ones are not told.
pub const WARNINGS_MAX: usize = 1_000;

/// What there is to say of a new or changed object; `old`: what it was, at an update.
pub fn warnings(row: &Row, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    let named = old.is_none().then(|| text(new, &["metadata", "name"]));
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "Pod") => {
            host_name(named, "the Pod's hostname", &mut told);
            // Changes of a pod are mostly not a person's.
            if old.is_none() {
                pod::pod(new, &mut told);
            }
        }
        ("", "ReplicationController") | ("apps", "ReplicaSet" | "Deployment") => {
            host_name(named, "Pod names and hostnames", &mut told);
            template(row, new, old, &mut told);
        }
        ("batch", "Job") => {
            host_name(named, "Pod names and hostnames", &mut told);
            indexed(new, old, &["spec"], &mut told);
            template(row, new, old, &mut told);
        }
        ("apps", "DaemonSet") => template(row, new, old, &mut told),
        ("apps", "StatefulSet") => {
            template(row, new, old, &mut told);
            kinds::stateful_set(new, &mut told);
        }
        ("batch", "CronJob") => {
            host_name(named, "Pod names and hostnames", &mut told);
            indexed(new, old, &["spec", "jobTemplate", "spec"], &mut told);
            template(row, new, old, &mut told);
            if text(new, &["spec", "schedule"]).contains("TZ") {
                told.push(
                    "CRON_TZ or TZ used in spec.schedule is not officially supported, see \
                     https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                        .into(),
                );
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let before = old.map(unknown_formats).unwrap_or_default();
            let formats = unknown_formats(new).into_iter().filter(|format| !before.contains(format));
            told.extend(formats.map(|format| format!("unrecognized format {}", quoted(format))));
        }
        ("", "PodTemplate") => template(row, new, old, &mut told),
        (group, kind) => kinds::content(group, kind, new, &mut told),
    }
    told.truncate(WARNINGS_MAX);
    told
}

/// What there is to say of a new object before it is prepared: of annotations that are about to become fields. Valid or not.
pub fn early_warnings(row: &Row, new: &Value) -> Vec<String> {
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "Pod") => app_armor_warnings(new),
        _ => Vec::new(),
    }
}

/// What there is to say of a changed status.
pub fn status_warnings(row: &Row, new: &Value) -> Vec<String> {
    let mut told = Vec::new();
    if (row.gvk.group.as_str(), row.gvk.kind.as_str()) == ("", "Pod") {
        for list in ["podIPs", "hostIPs"] {
            for (at, address) in each(new, &["status", list], &FieldPath::root()) {
                address::ip(text(address, &["ip"]), &at.child("ip"), &mut told);
            }
        }
    }
    told
}

/// Names that become those of hosts should be labels.
fn host_name(name: Option<&str>, of: &str, told: &mut Vec<String>) {
    let wrong = names::dns_label(name.unwrap_or("a"));
    if !wrong.is_empty() {
        let wrong = wrong.join(" ");
        told.push(format!(
            "metadata.name: this is used in {of}, which can result in surprising behavior; a DNS label is recommended: [{wrong}]"
        ));
    }
}

fn unchanged(new: &Value, old: Option<&Value>) -> bool {
    let generation = |object: &Value| int(object, &["metadata", "generation"]);
    old.is_some_and(|old| generation(old) == generation(new))
}

/// A job of so many indexes, so many at once, may lose sight of some. `path`: of the job's spec.
fn indexed(new: &Value, old: Option<&Value>, path: &[&str], told: &mut Vec<String>) {
    const COMPLETIONS_HIGH: i64 = 100_000;
    const PARALLELISM_HIGH: i64 = 10_000;
    let Some(spec) = get(new, path).filter(|_| !unchanged(new, old)) else { return };
    let above = |field: &str, most: i64| int(spec, &[field]).is_some_and(|n| n > most);
    if text(spec, &["completionMode"]) == "Indexed"
        && above("completions", COMPLETIONS_HIGH)
        && above("parallelism", PARALLELISM_HIGH)
    {
        told.push(format!(
            "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not \
             be able to track completedIndexes when a big number of indexes fail",
            path.join(".")
        ));
    }
}

/// A template is looked at again where the object around it has changed.
fn template(row: &Row, new: &Value, old: Option<&Value>, told: &mut Vec<String>) {
    let Some(path) = template_path(row) else { return };
    if unchanged(new, old) {
        return;
    }
    let at = path.iter().skip(1).fold(FieldPath::new(path[0]), |at, step| at.child(step));
    if let Some(template) = get(new, path) {
        pod::template(template, &at, told);
    }
}

/// An amount of bytes that is no whole number.
fn fraction(amount: Option<&Value>, at: &FieldPath, told: &mut Vec<String>) {
    if let Some(amount) = amount.and_then(Value::as_str)
        && amount.parse::<irori_api::quantity::Quantity>().is_ok_and(|q| !q.is_whole())
    {
        told.push(format!("{at}: fractional byte value {amount:?} is invalid, must be an integer"));
    }
}

/// The places of items whose key stands twice, with the key.
fn doubles<'a>(list: &'a [Value], field: &str) -> Vec<(usize, &'a str)> {
    let mut seen = HashSet::new();
    list.iter().map(|item| text(item, &[field])).enumerate().filter(|(_, key)| !seen.insert(*key)).collect()
}

/// Items of the list at a path, with their paths.
fn each<'a>(of: &'a Value, path: &[&str], at: &FieldPath) -> Vec<(FieldPath, &'a Value)> {
    let list = path.iter().fold(at.clone(), |at, step| at.child(step));
    items(of, path).iter().enumerate().map(|(i, item)| (list.index(i), item)).collect()
}
