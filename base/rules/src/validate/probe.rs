//! Probes and lifecycle hooks of a container.
//!
//! Source: https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ and
//! https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/.
use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::check;
use crate::tree::{get, int, items, text};

pub const PROBES: &[&str] = &["livenessProbe", "readinessProbe", "startupProbe"];

/// What a container that stays does at its start and end, and how it is asked whether it is well. `grace`: seconds in which the pod ends.
pub fn all(container: &Value, grace: Option<i64>, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(lifecycle) = get(container, &["lifecycle"]) {
        for hook in ["postStart", "preStop"] {
            if let Some(given) = get(lifecycle, &[hook]) {
                handler(given, &["exec", "httpGet", "tcpSocket", "sleep"], grace, &at.child("lifecycle").child(hook), errors);
            }
        }
    }
    for which in PROBES {
        if let Some(given) = get(container, &[which]) {
            probe(given, which, &at.child(which), errors);
        }
    }
}

fn probe(given: &Value, which: &str, at: &FieldPath, errors: &mut ErrorList) {
    handler(given, &["exec", "httpGet", "tcpSocket", "grpc"], None, at, errors);
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
fn handler(given: &Value, kinds: &[&str], grace: Option<i64>, at: &FieldPath, errors: &mut ErrorList) {
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
            "httpGet" => http_get(one, &at, errors),
            "tcpSocket" | "grpc" => check::port(errors, get(one, &["port"]), &at.child("port")),
            "sleep" => sleep(one, grace, at, errors),
            _ => {}
        }
    }
    if found == 0 {
        errors.required(at.clone(), "must specify a handler type");
    }
}

fn http_get(one: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required(errors, one, at, &["path"]);
    check::port(errors, get(one, &["port"]), &at.child("port"));
    let scheme = text(one, &["scheme"]);
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.not_supported(at.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in items(one, &["httpHeaders"]) {
        let name = text(header, &["name"]);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            errors.invalid(
                at.child("httpHeaders"),
                name,
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
            );
        }
    }
}

fn sleep(one: &Value, grace: Option<i64>, at: FieldPath, errors: &mut ErrorList) {
    let seconds = int(one, &["seconds"]).unwrap_or(0);
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(at, seconds, why);
    }
}
