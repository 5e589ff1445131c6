//! Containers of a pod.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{check, ephemeral, volume};
use crate::tree::{flag, get, int, items, map, text};

/// What a container may refer to.
pub struct Around<'a> {
    /// By their names.
    pub volumes: &'a HashMap<&'a str, &'a Value>,
    /// The pod's hostUsers is false.
    pub own_users: bool,
    /// `grace` of the pod, for probes.
    pub init: bool,
}

/// All containers of a pod; `volumes` are those that are valid themselves.
pub fn containers(spec: &Value, volumes: &[&Value], at: &FieldPath, errors: &mut ErrorList) {
    let own_users = get(spec, &["hostUsers"]) == Some(&Value::Bool(false));
    let list = items(spec, &["containers"]);
    if list.is_empty() {
        errors.required(at.child("containers"), "");
    }
    let mut by_name = HashMap::with_capacity(volumes.len());
    for volume in volumes.iter().copied() {
        by_name.entry(text(volume, &["name"])).or_insert(volume);
    }
    let volumes = &by_name;
    let mut names = HashSet::new();
    for (field, init) in [("containers", false), ("initContainers", true)] {
        for (i, one) in items(spec, &[field]).iter().enumerate() {
            let at = at.child(field).index(i);
            let name = text(one, &["name"]);
            container(one, &at, &Around { volumes, own_users, init }, errors);
            if !names.insert(name) && !name.is_empty() {
                errors.duplicate(at.child("name"), name);
            }
        }
    }
    let targets = names.clone();
    for (i, one) in items(spec, &["ephemeralContainers"]).iter().enumerate() {
        let at = at.child("ephemeralContainers").index(i);
        ephemeral::container(one, &at, &mut names, &targets, volumes, errors);
    }
    let mut ports = HashSet::new();
    for (i, one) in list.iter().enumerate() {
        for (j, port) in items(one, &["ports"]).iter().enumerate() {
            let host = int(port, &["hostPort"]).unwrap_or(0);
            let key = format!("{}/{}/{host}", text(port, &["protocol"]), text(port, &["hostIP"]));
            if host != 0 && !ports.insert(key.clone()) {
                errors.duplicate(at.child("containers").index(i).child("ports").index(j).child("hostPort"), key);
            }
        }
    }
}

pub fn container(one: &Value, at: &FieldPath, around: &Around<'_>, errors: &mut ErrorList) {
    check::required_name(errors, one, at, &["name"], names::dns_label);
    let image = text(one, &["image"]);
    if image.is_empty() {
        errors.required(at.child("image"), "");
    } else if image.trim() != image {
        errors.invalid(at.child("image"), image, "must not have leading or trailing whitespace");
    }
    check::required_one_of(errors, one, at, &["terminationMessagePolicy"], &["File", "FallbackToLogsOnError"]);
    check::required_one_of(errors, one, at, &["imagePullPolicy"], &["Always", "IfNotPresent", "Never"]);
    ports(items(one, &["ports"]), &at.child("ports"), errors);
    env(one, at, errors);
    volume::mounts(one, around.volumes, at, errors);
    resources(get(one, &["resources"]), &at.child("resources"), errors);
    for policy in items(one, &["resizePolicy"]) {
        // Both fields are told by the path of the list.
        let at = at.child("resizePolicy");
        for (field, known) in [("resourceName", &["cpu", "memory"]), ("restartPolicy", &["NotRequired", "RestartContainer"])] {
            match text(policy, &[field]) {
                "" => errors.required(at.clone(), ""),
                given if !known.contains(&given) => errors.not_supported(at.clone(), given, known),
                _ => {}
            }
        }
    }
    restart_rules(one, at, errors);
    let restart = text(one, &["restartPolicy"]);
    if !restart.is_empty() && !matches!(restart, "Always" | "Never" | "OnFailure") {
        errors.not_supported(at.child("restartPolicy"), restart, &["Always", "Never", "OnFailure"]);
    }
    let sidecar = !around.init || restart == "Always";
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(given) = get(one, &[probe]) else { continue };
        if !sidecar {
            errors.forbidden(at.child(probe), "may not be set for init containers without restartPolicy=Always");
            continue;
        }
        self::probe(given, probe, &at.child(probe), errors);
    }
    if let Some(lifecycle) = get(one, &["lifecycle"]) {
        if !sidecar {
            errors.forbidden(at.child("lifecycle"), "may not be set for init containers without restartPolicy=Always");
        }
        for hook in ["postStart", "preStop"] {
            if let Some(given) = get(lifecycle, &[hook]) {
                handler(given, &["exec", "httpGet", "tcpSocket", "sleep"], &at.child("lifecycle").child(hook), errors);
            }
        }
    }
    if let Some(context) = get(one, &["securityContext"]) {
        security(context, around.own_users, &at.child("securityContext"), errors);
    }
}

fn restart_rules(one: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let rules = items(one, &["restartPolicyRules"]);
    if !rules.is_empty() && text(one, &["restartPolicy"]).is_empty() {
        errors.required(at.child("restartPolicy"), "must specify restartPolicy when restart rules are used");
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.child("restartPolicyRules").index(i);
        check::required_one_of(errors, rule, &at, &["action"], &["Restart", "RestartAllContainers"]);
        match get(rule, &["exitCodes"]) {
            None => errors.required(at.child("exitCodes"), "must be specified"),
            Some(codes) => check::required_one_of(errors, codes, &at.child("exitCodes"), &["operator"], &["In", "NotIn"]),
        }
    }
}

fn ports(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut names = HashSet::new();
    for (i, port) in list.iter().enumerate() {
        let at = at.index(i);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if !names.insert(name) && wrong.is_empty() {
                errors.duplicate(at.child("name"), name);
            }
            errors.invalid_each(&at.child("name"), name, wrong);
        }
        match int(port, &["containerPort"]).unwrap_or(0) {
            0 => errors.required(at.child("containerPort"), ""),
            n => errors.invalid_each(&at.child("containerPort"), n, names::port_number(n)),
        }
        if let Some(n) = int(port, &["hostPort"]).filter(|n| *n != 0) {
            errors.invalid_each(&at.child("hostPort"), n, names::port_number(n));
        }
        check::required_one_of(errors, port, &at, &["protocol"], &["SCTP", "TCP", "UDP"]);
    }
}

/// Names of environment variables: printable ASCII but `=`.
fn env_name(name: &str) -> Vec<String> {
    if name.is_empty() || name.bytes().any(|b| !(0x20..=0x7e).contains(&b) || b == b'=') {
        return vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()];
    }
    Vec::new()
}

fn env(one: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (i, variable) in items(one, &["env"]).iter().enumerate() {
        let at = at.child("env").index(i);
        if text(variable, &["name"]).is_empty() {
            errors.required(at.child("name"), "");
        } else {
            check::name(errors, variable, &at, &["name"], env_name);
        }
        let Some(source) = map(variable, &["valueFrom"]) else { continue };
        let from = at.child("valueFrom");
        let source_value = get(variable, &["valueFrom"]).unwrap_or(&Value::Null);
        match source.len() {
            0 => errors.invalid(
                from.clone(),
                "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ),
            _ if !text(variable, &["value"]).is_empty() => {
                errors.invalid(from.clone(), "", "may not be specified when `value` is not empty")
            }
            1 => {}
            _ => errors.invalid(from.clone(), "", "may not have more than one field specified at a time"),
        }
        if let Some(field) = get(source_value, &["fieldRef"]) {
            field_ref(field, &from.child("fieldRef"), errors);
        }
        if let Some(field) = get(source_value, &["resourceFieldRef"]) {
            let at = from.child("resourceFieldRef");
            if check::required(errors, field, &at, &["resource"]) {
                resource_field(text(field, &["resource"]), &at.child("resource"), errors);
            }
        }
        for key in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(reference) = get(source_value, &[key]) {
                let at = from.child(key);
                check::required(errors, reference, &at, &["name"]);
                let name = text(reference, &["key"]);
                if name.is_empty() {
                    errors.required(at.child("key"), "");
                } else {
                    errors.invalid_each(&at.child("key"), name, names::config_key(name));
                }
            }
        }
    }
    for (i, source) in items(one, &["envFrom"]).iter().enumerate() {
        let list = at.child("envFrom");
        let at = list.index(i);
        if !text(source, &["prefix"]).is_empty() {
            check::name(errors, source, &at, &["prefix"], env_name);
        }
        let given: Vec<&str> = ["configMapRef", "secretRef"].into_iter().filter(|r| get(source, &[r]).is_some()).collect();
        for reference in &given {
            check::required_name(errors, source, &at, &[reference, "name"], names::dns_subdomain);
        }
        match given.len() {
            0 => errors.invalid(list.clone(), "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid(at.clone(), "", "may not have more than one field specified at a time"),
        }
    }
}

/// A field of the pod, as environment variables and volumes may name it.
pub fn field_ref(field: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const KNOWN: &[&str] = &[
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.hostname",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    if !check::required(errors, field, at, &["apiVersion"]) {
        return;
    }
    let path = text(field, &["fieldPath"]);
    if path.is_empty() {
        errors.required(at.child("fieldPath"), "");
        return;
    }
    if text(field, &["apiVersion"]) != "v1" {
        errors.invalid(
            at.child("fieldPath"),
            path,
            format!("error converting fieldPath: unsupported pod version: {}", text(field, &["apiVersion"])),
        );
        return;
    }
    if let Some((of, key)) = path.strip_suffix(']').and_then(|p| p.split_once('[')) {
        let key = key.trim_matches('\'');
        match of {
            "metadata.annotations" => errors.invalid_each(at, key, names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => errors.invalid_each(at, key, names::qualified_name(key)),
            _ => errors.invalid(at.clone(), path, "does not support subscript"),
        }
        return;
    }
    match path {
        p if KNOWN.contains(&p) => {}
        "metadata.annotations" | "metadata.labels" => errors.not_supported(at.child("fieldPath"), path, KNOWN),
        other => errors.invalid(
            at.child("fieldPath"),
            other,
            format!("error converting fieldPath: field label not supported: {other}"),
        ),
    }
}

pub fn resource_field(resource: &str, at: &FieldPath, errors: &mut ErrorList) {
    let known = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    if !known.contains(&resource) && !resource.starts_with("requests.hugepages-") && !resource.starts_with("limits.hugepages-") {
        errors.not_supported(at.clone(), resource, &known);
    }
}

/// What a container asks for and may use at most.
pub fn resources(given: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    let Some(given) = given else { return };
    let (limits, requests) = (map(given, &["limits"]), map(given, &["requests"]));
    for (side, list) in [("limits", limits), ("requests", requests)] {
        for (name, amount) in list.into_iter().flatten() {
            let at = at.child(side).key(name);
            resource_name(name, &at, errors);
            let amount = amount.as_str().unwrap_or("0");
            quantity_not_negative(amount, &at, errors);
            let extended = name.contains('/') && !name.starts_with("kubernetes.io/");
            if (extended || name.starts_with("hugepages-")) && !whole(amount) {
                errors.invalid(at, amount, "must be an integer");
            }
        }
    }
    for (name, asked) in requests.into_iter().flatten() {
        let Some(limit) = limits.and_then(|l| l.get(name)).and_then(Value::as_str) else {
            if name.starts_with("hugepages-") || (name.contains('/') && !name.starts_with("kubernetes.io/")) {
                errors.required(at.child("limits"), "Limit must be set for non overcommitable resources");
            }
            continue;
        };
        let asked = asked.as_str().unwrap_or("0");
        if crate::scalar::quantity_compare(asked, limit).is_gt() {
            errors.invalid(at.child("requests"), asked, format!("must be less than or equal to {name} limit of {limit}"));
        }
    }
}

pub fn whole(amount: &str) -> bool {
    amount.parse::<irori_api::quantity::Quantity>().is_ok_and(|q| q.is_whole())
}

pub fn quantity_not_negative(amount: &str, at: &FieldPath, errors: &mut ErrorList) {
    if amount.starts_with('-') {
        errors.invalid(at.clone(), amount, "must be greater than or equal to 0");
    }
}

/// Names of resources of containers: cpu, memory, ephemeral-storage, hugepages-…, or a name with a domain.
pub fn resource_name(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    let wrong = names::qualified_name(name);
    errors.invalid_each(at, name, wrong);
    if !name.contains('/') && !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        errors.invalid(at.clone(), name, "must be a standard resource for containers");
    }
}

fn probe(given: &Value, which: &str, at: &FieldPath, errors: &mut ErrorList) {
    handler(given, &["exec", "httpGet", "tcpSocket", "grpc"], at, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        check::not_negative(errors, given, at, &[field]);
    }
    let grace = int(given, &["terminationGracePeriodSeconds"]);
    if let Some(seconds) = grace.filter(|s| *s <= 0) {
        errors.invalid(at.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
    if which == "readinessProbe" {
        if let Some(seconds) = grace {
            errors.invalid(at.child("terminationGracePeriodSeconds"), seconds, "must not be set for readinessProbes");
        }
    } else if let Some(n) = int(given, &["successThreshold"]).filter(|n| *n != 1) {
        errors.invalid(at.child("successThreshold"), n, "must be 1");
    }
}

/// One handler of a probe or hook.
fn handler(given: &Value, kinds: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    let mut found = 0;
    for kind in kinds {
        let Some(one) = get(given, &[kind]) else { continue };
        found += 1;
        let at = at.child(kind);
        if found > 1 {
            errors.forbidden(at, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if items(one, &["command"]).is_empty() => errors.required(at.child("command"), ""),
            "httpGet" => {
                check::required(errors, one, &at, &["path"]);
                check::port(errors, get(one, &["port"]), &at.child("port"));
                let scheme = text(one, &["scheme"]);
                if !matches!(scheme, "HTTP" | "HTTPS") {
                    errors.not_supported(at.child("scheme"), scheme, &["HTTP", "HTTPS"]);
                }
                for (i, header) in items(one, &["httpHeaders"]).iter().enumerate() {
                    let name = text(header, &["name"]);
                    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                        errors.invalid(
                            at.child("httpHeaders").index(i).child("name"),
                            name,
                            "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
                        );
                    }
                }
            }
            "tcpSocket" => check::port(errors, get(one, &["port"]), &at.child("port")),
            "grpc" => check::port(errors, get(one, &["port"]), &at.child("port")),
            "sleep" => check::not_negative(errors, one, &at, &["seconds"]),
            _ => {}
        }
    }
    if found == 0 {
        errors.required(at.clone(), "must specify a handler type");
    }
}

/// Ids of several groups.
pub fn ids(errors: &mut ErrorList, context: &Value, at: &FieldPath, field: &str) {
    for (i, id) in items(context, &[field]).iter().filter_map(Value::as_i64).enumerate() {
        if !(0..=i64::from(i32::MAX)).contains(&id) {
            errors.invalid(at.child(field).index(i), id, format!("must be between 0 and {}, inclusive", i32::MAX));
        }
    }
}

/// Ids of users and groups.
pub fn id(errors: &mut ErrorList, context: &Value, at: &FieldPath, field: &str) {
    check::between(errors, context, at, &[field], 0, i64::from(i32::MAX));
}

fn security(context: &Value, own_users: bool, at: &FieldPath, errors: &mut ErrorList) {
    id(errors, context, at, "runAsUser");
    id(errors, context, at, "runAsGroup");
    if let Some(kind) = get(context, &["procMount"]).and_then(Value::as_str) {
        if !matches!(kind, "Default" | "Unmasked") {
            errors.not_supported(at.child("procMount"), kind, &["Default", "Unmasked"]);
        } else if kind == "Unmasked" && !own_users {
            errors.invalid(at.child("procMount"), kind, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    profiles(context, at, errors);
    if get(context, &["allowPrivilegeEscalation"]) == Some(&Value::Bool(false)) {
        if flag(context, &["privileged"]) {
            errors.invalid(
                at.clone(),
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        if items(context, &["capabilities", "add"]).iter().any(|c| c == "CAP_SYS_ADMIN") {
            errors.invalid(
                at.clone(),
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
}

/// Seccomp and AppArmor profiles, of a container or a pod.
pub fn profiles(context: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(profile) = get(context, &["seccompProfile"]) {
        let at = at.child("seccompProfile");
        let local = get(profile, &["localhostProfile"]).and_then(Value::as_str);
        match text(profile, &["type"]) {
            "" => errors.required(at.child("type"), "type is required when seccompProfile is set"),
            "Localhost" => match local {
                None | Some("") => errors.required(at.child("localhostProfile"), "must be set when seccomp type is Localhost"),
                Some(path) => volume::local_path(errors, path, &at.child("localhostProfile")),
            },
            kind => {
                if local.is_some() {
                    let shown = check::go(profile, &[("Type", "type", "\"\""), ("LocalhostProfile", "localhostProfile", "null")]);
                    let why = "can only be set when seccomp type is Localhost";
                    check::wrong_go(errors, at.child("localhostProfile"), Wrong::Invalid, &shown, why);
                }
                if !matches!(kind, "RuntimeDefault" | "Unconfined") {
                    errors.not_supported(at.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
                }
            }
        }
    }
    if let Some(profile) = get(context, &["appArmorProfile"]) {
        let at = at.child("appArmorProfile");
        let local = get(profile, &["localhostProfile"]).and_then(Value::as_str);
        match text(profile, &["type"]) {
            "" => errors.required(at.child("type"), "type is required when appArmorProfile is set"),
            "Localhost" if local.is_none_or(|p| p.trim().is_empty()) => {
                errors.required(at.child("localhostProfile"), "must be set when AppArmor type is Localhost");
            }
            "Localhost" => {}
            kind => {
                if let Some(path) = local {
                    errors.invalid(at.child("localhostProfile"), path, "can only be set when AppArmor type is Localhost");
                }
                if !matches!(kind, "RuntimeDefault" | "Unconfined") {
                    errors.not_supported(at.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
                }
            }
        }
    }
}
