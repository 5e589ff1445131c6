//! Pods and pod templates.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{check, compute, container, context, dns, env, meta, pod_annotations, selector, volume, windows};
use crate::tree::{flag, get, items, map, text};

pub fn pod(object: &Value, fresh: bool, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec_value = get(object, &["spec"]).unwrap_or(&Value::Null);
    pod_annotations::content(object, &FieldPath::new("metadata").child("annotations"), errors);
    spec(spec_value, Some(text(object, &["metadata", "name"])), &at, errors);
    tokens(spec_value, &at, errors);
    container::plain_images(spec_value, &at, errors);
    if !fresh {
        return;
    }
    if !items(spec_value, &["ephemeralContainers"]).is_empty() {
        errors.forbidden(at.child("ephemeralContainers"), "cannot be set on create");
    }
    if !text(spec_value, &["nodeName"]).is_empty() && !items(spec_value, &["schedulingGates"]).is_empty() {
        errors.forbidden(at.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    pod_annotations::seccomp_fields(object, &at, errors);
    pod_annotations::app_armor_fields(object, &at, errors);
}

/// Tokens are those of a service account.
fn tokens(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if !text(spec, &["serviceAccountName"]).is_empty() {
        return;
    }
    for (i, volume) in items(spec, &["volumes"]).iter().enumerate() {
        for (j, source) in items(volume, &["projected", "sources"]).iter().enumerate() {
            if get(source, &["serviceAccountToken"]).is_some() {
                let at = at.child("volumes").index(i).at(["projected", "sources"]).index(j).child("serviceAccountToken");
                errors.forbidden(at, "must not be specified when serviceAccountName is not set");
            }
        }
    }
}

/// A pod template: metadata and spec.
pub fn template(template_of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let template_value = get(template_of, &["template"]).unwrap_or(&Value::Null);
    template_value_at(template_value, at, errors);
}

pub fn template_value_at(template: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let metadata = get(template, &["metadata"]).unwrap_or(&Value::Null);
    meta::labels(get(metadata, &["labels"]), &at.child("labels"), errors);
    meta::annotations(metadata, &at.child("annotations"), errors);
    pod_annotations::content(template, &at.child("annotations"), errors);
    let spec_value = get(template, &["spec"]).unwrap_or(&Value::Null);
    spec(spec_value, None, &at.child("spec"), errors);
    pod_annotations::seccomp_fields(template, &at.child("spec"), errors);
    if !items(spec_value, &["ephemeralContainers"]).is_empty() {
        errors.forbidden(at.child("spec").child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// `pod`: the name of the pod whose spec it is; `None` for a template's.
pub fn spec(spec: &Value, pod: Option<&str>, at: &FieldPath, errors: &mut ErrorList) {
    let volumes = volume::volumes(items(spec, &["volumes"]), pod, &at.child("volumes"), errors);
    claims(items(spec, &["resourceClaims"]), &at.child("resourceClaims"), errors);
    let claims = compute::Claims::of(spec);
    container::containers(spec, &volumes, &claims, at, errors);
    compute::pod(spec, &claims, at, errors);
    container::host_network(spec, pod.is_some(), at, errors);
    check::required_one_of(errors, spec, at, &["restartPolicy"], &["Always", "OnFailure", "Never"]);
    check::required_one_of(errors, spec, at, &["dnsPolicy"], &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    meta::labels(get(spec, &["nodeSelector"]), &at.child("nodeSelector"), errors);
    context::pod(spec, &at.child("securityContext"), errors);
    if let Some(affinity) = get(spec, &["affinity"]) {
        selector::affinity(affinity, &at.child("affinity"), errors);
    }
    dns::config(spec, at, errors);
    gates(spec, at, errors);
    selector::spread(items(spec, &["topologySpreadConstraints"]), &at.child("topologySpreadConstraints"), errors);
    windows::host_processes(spec, at, errors);
    own_users(spec, at, errors);
    dns::host_name(spec, at, errors);
    check::name(errors, spec, at, &["serviceAccountName"], names::dns_subdomain);
    check::name(errors, spec, at, &["nodeName"], names::dns_subdomain);
    check::between(errors, spec, at, &["activeDeadlineSeconds"], 1, i64::from(i32::MAX));
    check::name(errors, spec, at, &["hostname"], names::dns_label);
    check::name(errors, spec, at, &["subdomain"], names::dns_label);
    selector::tolerations(items(spec, &["tolerations"]), &at.child("tolerations"), errors);
    dns::host_aliases(spec, at, errors);
    check::name(errors, spec, at, &["priorityClassName"], names::dns_subdomain);
    check::name(errors, spec, at, &["runtimeClassName"], names::dns_subdomain);
    if get(spec, &["preemptionPolicy"]).is_some() {
        check::required_one_of(errors, spec, at, &["preemptionPolicy"], &["PreemptLowerPriority", "Never"]);
    }
    if let Some(overhead) = map(spec, &["overhead"]) {
        compute::overhead(overhead, &at.child("overhead"), errors);
    }
    windows::system(spec, at, errors);
    env::files(spec, at, errors);
}

/// What a pod waits for: to be ready, and to be scheduled.
fn gates(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (i, gate) in items(spec, &["readinessGates"]).iter().enumerate() {
        let kind = text(gate, &["conditionType"]);
        errors.invalid_each(&at.child("readinessGates").index(i).child("conditionType"), kind, names::qualified_name(kind));
    }
    let mut gates = HashSet::new();
    for (i, gate) in items(spec, &["schedulingGates"]).iter().enumerate() {
        let at = at.child("schedulingGates").index(i);
        let name = text(gate, &["name"]);
        errors.invalid_each(&at, name, names::qualified_name(name));
        if !gates.insert(name) {
            errors.duplicate(at, name);
        }
    }
}

/// What does not go with a user namespace of one's own.
fn own_users(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const WHY: &str = "when `hostUsers` is false";
    if get(spec, &["hostUsers"]) != Some(&Value::Bool(false)) {
        return;
    }
    // Two of the paths are spelled as upstream spells them.
    for (field, told) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, &[field]) {
            errors.forbidden(at.child(told), WHY);
        }
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in items(spec, &[list]).iter().enumerate() {
            if !items(container, &["volumeDevices"]).is_empty() {
                errors.forbidden(at.child(list).index(i).child("volumeDevices"), WHY);
            }
        }
    }
}

fn claims(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, claim) in list.iter().enumerate() {
        let at = at.index(i);
        let name = text(claim, &["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.duplicate(at.child("name"), name);
        } else {
            check::required_name(errors, claim, &at, &["name"], names::dns_label);
        }
        let given = |field: &str| get(claim, &[field]).is_some();
        let told = |errors: &mut ErrorList, why: &str| {
            let fields = [
                ("Name", "name", "\"\""),
                ("ResourceClaimName", "resourceClaimName", "null"),
                ("ResourceClaimTemplateName", "resourceClaimTemplateName", "null"),
            ];
            check::wrong_go(errors, at.clone(), Wrong::Invalid, &check::go(claim, &fields), why);
        };
        match (given("resourceClaimName"), given("resourceClaimTemplateName")) {
            (false, false) => told(errors, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            (true, true) => {
                told(errors, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
            }
            _ => {}
        }
        check::name(errors, claim, &at, &["resourceClaimName"], names::dns_subdomain);
        check::name(errors, claim, &at, &["resourceClaimTemplateName"], names::dns_subdomain);
    }
}
