//! API services: groups of the API that another server answers.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/api-service-v1/.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, hooks};
use crate::tree::{flag, get, int, items, text};

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1_000;

/// The only name that an API service may have; none if this is it.
pub fn name_faults(object: &Value, name: &str) -> Vec<String> {
    let wrong = names::path_segment(name);
    let wanted = format!("{}.{}", text(object, &["spec", "version"]), text(object, &["spec", "group"]));
    if wrong.is_empty() && name != wanted {
        return vec![format!("must be `spec.version+\".\"+spec.group`: {wanted:?}")];
    }
    wrong
}

pub fn content(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let (group, version) = (text(spec, &["group"]), text(spec, &["version"]));
    if !group.is_empty() {
        errors.invalid_each(&at.child("group"), group, names::dns_subdomain(group));
    } else if version != "v1" {
        errors.required(at.child("group"), "only v1 may have an empty group and it better be legacy kube");
    }
    errors.invalid_each(&at.child("version"), version, names::dns_1035_label(version));
    for (field, most) in [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)] {
        let n = int(spec, &[field]).unwrap_or(0);
        if !(1..=most).contains(&n) {
            errors.invalid(at.child(field), n, format!("must be positive and less than {most}"));
        }
    }
    let bundle = text(spec, &["caBundle"]);
    let lax = flag(spec, &["insecureSkipTLSVerify"]);
    match get(spec, &["service"]) {
        None => {
            if !bundle.is_empty() {
                let bytes = bundle.len() / 4 * 3;
                errors.invalid(at.child("caBundle"), format!("{bytes} bytes"), "local APIServices may not have a caBundle");
            }
            if lax {
                let why = "local APIServices may not have insecureSkipTLSVerify";
                errors.invalid(at.child("insecureSkipTLSVerify"), true, why);
            }
        }
        Some(service) => {
            let service_at = at.child("service");
            check::required(errors, service, &service_at, &["namespace"]);
            check::required(errors, service, &service_at, &["name"]);
            hooks::port(int(service, &["port"]).unwrap_or(0), &service_at.child("port"), errors);
            if lax && !bundle.is_empty() {
                errors.invalid(at.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
            }
        }
    }
}

pub fn status(object: &Value, errors: &mut ErrorList) {
    const KNOWN: &[&str] = &["True", "False", "Unknown"];
    let list = FieldPath::new("status").child("conditions");
    for (i, condition) in items(object, &["status", "conditions"]).iter().enumerate() {
        let status = text(condition, &["status"]);
        if !KNOWN.contains(&status) {
            errors.not_supported(list.index(i).child("status"), status, KNOWN);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_api_service_is_named_after_its_version_and_group() {
        let object = json!({"spec": {"group": "metrics.example", "version": "v1"}});
        assert_eq!(name_faults(&object, "v1.metrics.example"), [""; 0]);
        assert_eq!(name_faults(&object, "x"), ["must be `spec.version+\".\"+spec.group`: \"v1.metrics.example\""]);
    }

    #[test]
    fn a_condition_is_true_or_false_or_unknown() {
        let mut errors = ErrorList::default();
        status(&json!({"status": {"conditions": [{"status": "True"}, {"status": "X"}]}}), &mut errors);
        let why = "status.conditions[1].status: Unsupported value: \"X\": supported values: \"True\", \"False\", \"Unknown\"";
        assert_eq!(errors.to_string(), why);
    }

    #[test]
    fn priorities_have_a_highest_value() {
        let told = |group: i64, version: i64| {
            let spec = json!({"group": "a.example", "version": "v1", "groupPriorityMinimum": group, "versionPriority": version});
            let mut errors = ErrorList::default();
            content(&json!({ "spec": spec }), &mut errors);
            errors.len()
        };
        assert_eq!((told(20_000, 1_000), told(20_001, 1_001), told(0, 0)), (0, 2, 2));
    }
}
