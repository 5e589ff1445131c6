//! Requests for certificates, what is decided of them, and the certificate.
//!
//! Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
//!
//! What it is not: a reader of ASN.1. A request or certificate is PEM; whoever signs or uses it looks into it.
use base64::{Engine, engine::general_purpose::STANDARD};
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use crate::{
    prepare::Part,
    tree::{get, int, items, text},
};

#[cfg(test)]
mod tests;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// A new request; it never changes after that.
pub fn request(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let pem = decoded(object, &["spec", "request"]);
    if Pem::first(&pem).is_none_or(|(block, _)| block.kind != "CERTIFICATE REQUEST") {
        let shown = get(object, &["spec", "request"]).filter(|given| *given != "").cloned().unwrap_or(Value::Null);
        errors.invalid(at.child("request"), shown, "PEM block type must be CERTIFICATE REQUEST");
    }
    let usages = items(object, &["spec", "usages"]);
    if usages.is_empty() {
        errors.required(at.child("usages"), "");
    }
    let usages = || usages.iter().filter_map(Value::as_str).enumerate();
    for (i, usage) in usages().filter(|(_, usage)| !USAGES.contains(usage)) {
        errors.not_supported(at.child("usages").index(i), usage, USAGES);
    }
    let mut seen = HashSet::new();
    for (i, usage) in usages().filter(|(_, usage)| !seen.insert(*usage)) {
        errors.duplicate(at.child("usages").index(i), usage);
    }
    signer(text(object, &["spec", "signerName"]), &at.child("signerName"), errors);
    if let Some(seconds) = int(object, &["spec", "expirationSeconds"]).filter(|s| *s < 600) {
        errors.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

fn signer(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    const FORM: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    if name.is_empty() {
        errors.required(at.clone(), "");
        return;
    }
    if name == "kubernetes.io/legacy-unknown" {
        errors.invalid(at.clone(), name, "the legacy signerName is not allowed via this API version");
        return;
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        errors.invalid(at.clone(), name, FORM);
        return;
    };
    if !names::dns_subdomain(domain).is_empty() || !domain.contains('.') {
        for why in names::dns_subdomain(domain) {
            errors.invalid(at.clone(), domain, format!("validating label {domain:?}: {why}"));
        }
        if !domain.contains('.') {
            errors.invalid(at.clone(), domain, "should be a domain with at least two segments separated by dots");
        }
    }
    for why in names::dns_subdomain(path) {
        errors.invalid(at.clone(), path, format!("validating label {path:?}: {why}"));
    }
    if name.len() > 571 {
        errors.too_long(at.clone(), 571);
    }
}

/// A change of what was decided (`approval`) or signed (`status`).
pub fn change(new: &Value, old: &Value, part: Part<'_>, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    conditions(new, old, &at.child("conditions"), errors);
    let is = text(new, &["status", "certificate"]);
    let was = text(old, &["status", "certificate"]);
    if is != was {
        let fault = |of: &Value| certificate_fault(&decoded(of, &["status", "certificate"]));
        if let Some(why) = fault(new).filter(|_| fault(old).is_none()) {
            errors.invalid(at.child("certificate"), "<certificate data>", why);
        }
    }
    let count = |of: &Value, kind: &str| of_type(of, kind).len();
    for kind in ["Approved", "Denied", "Failed"].into_iter().filter(|kind| count(new, kind) < count(old, kind)) {
        errors.forbidden(at.child("conditions"), format!("updates may not remove a condition of type {kind:?}"));
    }
    if part == Part::Status {
        for kind in ["Approved", "Denied"].into_iter().filter(|kind| count(new, kind) > count(old, kind)) {
            errors.forbidden(at.child("conditions"), format!("updates may not add a condition of type {kind:?}"));
        }
    }
    if is != was && !was.is_empty() {
        errors.forbidden(at.child("certificate"), "updates may not modify existing certificate content");
    }
}

fn of_type<'a>(of: &'a Value, kind: &str) -> Vec<&'a Value> {
    items(of, &["status", "conditions"]).iter().filter(|condition| text(condition, &["type"]) == kind).collect()
}

/// Faults that a stored request has already are not held against it.
fn conditions(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const DECIDED: [&str; 3] = ["Approved", "Denied", "Failed"];
    let before = items(old, &["status", "conditions"]);
    let types: HashSet<&str> = before.iter().map(|condition| text(condition, &["type"])).collect();
    let (had_empty, had_twice) = (types.contains(""), types.len() < before.len());
    let had_both = types.contains("Approved") && types.contains("Denied");
    let mut seen = HashSet::new();
    for (i, condition) in items(new, &["status", "conditions"]).iter().enumerate() {
        let (kind, status) = (text(condition, &["type"]), text(condition, &["status"]));
        let one = at.index(i);
        if kind.is_empty() && !had_empty {
            errors.required(one.child("type"), "");
        }
        let known: &[&str] = if DECIDED.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            errors.required(one.child("status"), "");
        } else if !known.contains(&status) {
            errors.not_supported(one.child("status"), status, known);
        }
        let against = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "none",
        };
        if seen.contains(against) && !had_both {
            errors.invalid(at.clone(), kind, "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind) && !had_twice {
            errors.duplicate(one.child("type"), kind);
        }
    }
}

fn certificate_fault(pem: &str) -> Option<String> {
    let (mut rest, mut blocks) = (pem, 0);
    while let Some((block, after)) = Pem::first(rest) {
        if block.kind != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.kind));
        }
        if block.headers {
            return Some("no PEM block headers are permitted".into());
        }
        (rest, blocks) = (after, blocks + 1);
    }
    (blocks == 0 && !pem.is_empty()).then(|| "must contain at least one CERTIFICATE PEM block".into())
}

/// The text that stands in base64 at a path.
fn decoded(of: &Value, path: &[&str]) -> String {
    String::from_utf8_lossy(&STANDARD.decode(text(of, path)).unwrap_or_default()).into_owned()
}

/// A block of PEM (RFC 7468).
struct Pem<'a> {
    kind: &'a str,
    headers: bool,
}

impl<'a> Pem<'a> {
    /// The first block that can be read, and what stands behind it.
    fn first(text: &'a str) -> Option<(Pem<'a>, &'a str)> {
        let mut rest = text;
        loop {
            let begin = rest.find("-----BEGIN ")?;
            let at_line_start = begin == 0 || rest.as_bytes()[begin - 1] == b'\n';
            rest = &rest[begin + "-----BEGIN ".len()..];
            let (line, body) = rest.split_once('\n')?;
            let Some(kind) = line.trim_end().strip_suffix("-----").filter(|_| at_line_start) else { continue };
            // The end is looked for up to the next beginning, so that many beginnings without an end stay cheap.
            let reach = &body[..body.find("-----BEGIN ").unwrap_or(body.len())];
            let Some((inside, after)) = reach.split_once("-----END ") else { continue };
            let Some(after) = after.strip_prefix(kind).filter(|after| after.starts_with("-----")) else { continue };
            let headers = inside.contains(':');
            let encoded = inside.rsplit_once("\n\n").filter(|_| headers).map_or(inside, |(_, encoded)| encoded);
            let encoded: String = encoded.split_ascii_whitespace().collect();
            if STANDARD.decode(encoded).is_ok() {
                let behind = body.len() - reach.len() + after.len() - "-----".len();
                return Some((Pem { kind, headers }, &body[body.len() - behind..]));
            }
        }
    }
}
