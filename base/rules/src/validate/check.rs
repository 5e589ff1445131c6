//! Checks that many kinds share. Paths are below `at`; absent values pass unless said otherwise.
use irori_api::field::{ErrorList, FieldError, FieldPath, Wrong};
use serde_json::Value;

use super::{address, definition::shown};
use crate::tree::{get, int, text};

/// A struct as a stock server shows it in its messages: the name there, the name here, and what stands for a field that is not given.
pub fn go(value: &Value, fields: &[(&str, &str, &str)]) -> String {
    format!("{{{}}}", go_fields(value, fields))
}

/// Some fields of such a struct.
pub fn go_fields(value: &Value, fields: &[(&str, &str, &str)]) -> String {
    let one = |(name, here, none): &(&str, &str, &str)| {
        let value = get(value, &[here]).map_or_else(|| (*none).to_owned(), shown::json);
        format!("{name:?}:{value}")
    };
    fields.iter().map(one).collect::<Vec<_>>().join(",")
}

/// An error that shows a struct.
pub fn wrong_go(errors: &mut ErrorList, at: FieldPath, wrong: Wrong, shown: &str, why: &str) {
    let colon = if why.is_empty() { "" } else { ": " };
    errors.push(FieldError::without_value(at, wrong, format!("{shown}{colon}{why}")));
}

/// The path of a field below another.
pub fn below(at: &FieldPath, path: &[&str]) -> FieldPath {
    path.iter().fold(at.clone(), |at, name| at.child(name))
}

/// A text that has to be there.
pub fn required(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str]) -> bool {
    let missing = text(object, path).is_empty();
    if missing {
        errors.required(below(at, path), "");
    }
    !missing
}

/// A number that may not be negative.
pub fn not_negative(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str]) {
    if let Some(n) = int(object, path).filter(|n| *n < 0) {
        errors.invalid(below(at, path), n, "must be greater than or equal to 0");
    }
}

/// A number within limits.
pub fn between(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str], least: i64, most: i64) {
    if let Some(n) = int(object, path).filter(|n| !(least..=most).contains(n)) {
        errors.invalid(below(at, path), n, format!("must be between {least} and {most}, inclusive"));
    }
}

/// A text out of a set, told in the given order.
pub fn one_of(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str], known: &[&str]) {
    let Some(value) = get(object, path).filter(|v| !v.is_null()) else { return };
    let given = value.as_str().unwrap_or("");
    if !known.contains(&given) {
        errors.not_supported(below(at, path), value.clone(), known);
    }
}

/// The same, where an absent or empty text is missing.
pub fn required_one_of(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str], known: &[&str]) {
    if required(errors, object, at, path) {
        one_of(errors, object, at, path, known);
    }
}

/// A text held to a validator of `irori_api::names`, if it is set (canonical objects keep an empty text only where that means set).
pub fn name(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str], rule: fn(&str) -> Vec<String>) {
    if let Some(given) = get(object, path).and_then(Value::as_str) {
        let wrong = rule(given);
        if !wrong.is_empty() {
            errors.invalid_each(&below(at, path), given, wrong);
        }
    }
}

/// A text that has to be there and is held to a validator.
pub fn required_name(errors: &mut ErrorList, object: &Value, at: &FieldPath, path: &[&str], rule: fn(&str) -> Vec<String>) {
    if required(errors, object, at, path) {
        name(errors, object, at, path, rule);
    }
}

/// A field that may not be changed.
pub fn immutable(errors: &mut ErrorList, new: &Value, old: &Value, at: &FieldPath, path: &[&str]) {
    let (was, is) = (get(old, path), get(new, path));
    if !crate::tree::same(was, is) {
        errors.push(irori_api::field::FieldError::new(
            below(at, path),
            Wrong::Invalid,
            is.cloned().unwrap_or(Value::Null),
            "field is immutable",
        ));
    }
}

/// A port: a number within range or a name with a letter in it.
pub fn port(errors: &mut ErrorList, value: Option<&Value>, at: &FieldPath) {
    match value {
        Some(Value::String(name)) => errors.invalid_each(at, name.as_str(), irori_api::names::port_name(name)),
        Some(Value::Number(n)) => {
            let n = n.as_i64().unwrap_or(0);
            errors.invalid_each(at, n, irori_api::names::port_number(n));
        }
        _ => errors.invalid_each(at, 0, irori_api::names::port_number(0)),
    }
}

/// An address of either family, of a pod: one of IPv4 written as one of IPv6 passes. Others are held to [`address::ip`].
pub fn ip(errors: &mut ErrorList, given: &str, at: FieldPath) {
    if let (Some(why), Err(_)) = (address::ip_fault(given), given.parse::<std::net::IpAddr>()) {
        errors.invalid(at, given, why);
    }
}

/// A domain and a path (`acme.io/foo`), told by its parts; a text that is not empty.
pub fn domain_path(errors: &mut ErrorList, given: &str, at: &FieldPath) {
    let Some((domain, path)) = given.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty()) else {
        errors.invalid(at.clone(), given, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    errors.invalid_each(at, domain, irori_api::names::dns_subdomain(domain));
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        errors.invalid(at.clone(), path, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
    }
}

/// `5` or `30%`, not negative.
pub fn amount_or_percent(errors: &mut ErrorList, value: Option<&Value>, at: &FieldPath) {
    match value {
        Some(Value::String(text)) => {
            let digits = text.strip_suffix('%').unwrap_or("");
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                errors.invalid(
                    at.clone(),
                    text.as_str(),
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                );
            }
        }
        Some(Value::Number(n)) if n.as_i64().unwrap_or(0) < 0 => {
            errors.invalid(at.clone(), n.as_i64().unwrap_or(0), "must be greater than or equal to 0");
        }
        _ => {}
    }
}

/// The percentage of a value such as `30%`; one beyond all numbers is the largest.
pub fn percent(value: Option<&Value>) -> Option<i64> {
    let digits = value?.as_str()?.strip_suffix('%')?;
    let given = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    given.then(|| digits.parse().unwrap_or(i64::MAX))
}
