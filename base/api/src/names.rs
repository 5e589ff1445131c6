//! What names may look like. Each validator answers the messages of a stock server, none if the name is good.
//!
//! Source: the rules on the Kubernetes page "Object Names and IDs", texts compared with recorded answers.

pub const DNS_LABEL_BYTES_MAX: usize = 63;
pub const DNS_SUBDOMAIN_BYTES_MAX: usize = 253;
const QUALIFIED_NAME_BYTES_MAX: usize = 63;
const LABEL_VALUE_BYTES_MAX: usize = 63;

const DNS_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// First and last byte satisfy `edge`, all others `inner`; not empty.
fn framed(text: &str, first: fn(u8) -> bool, inner: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [one] => first(*one),
        [head, middle @ .., tail] => first(*head) && last(*tail) && middle.iter().all(|c| inner(*c)),
    }
}

fn is_label(text: &str) -> bool {
    framed(text, lower, |c| lower(c) || c == b'-', lower)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_plain_name(text: &str) -> bool {
    let edge: fn(u8) -> bool = |c| c.is_ascii_alphanumeric();
    framed(text, edge, |c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'), edge)
}

/// The sentence that stock servers make of a regular expression and examples, double blanks included.
fn pattern(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

fn too_many_characters(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn too_many_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// A label of RFC 1123: namespaces, containers, ports of pods.
pub fn dns_label(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > DNS_LABEL_BYTES_MAX {
        wrong.push(too_many_characters(DNS_LABEL_BYTES_MAX));
    }
    if !is_label(name) {
        wrong.push(if is_subdomain(name) {
            "must not contain dots".into()
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                           end with an alphanumeric character";
            pattern(message, DNS_LABEL, &["my-name", "123-abc"])
        });
    }
    wrong
}

fn subdomain_pattern() -> String {
    let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and \
                   end with an alphanumeric character";
    pattern(message, DNS_SUBDOMAIN, &["example.com"])
}

/// A subdomain of RFC 1123: names of most objects.
pub fn dns_subdomain(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > DNS_SUBDOMAIN_BYTES_MAX {
        wrong.push(too_many_characters(DNS_SUBDOMAIN_BYTES_MAX));
    }
    if !is_subdomain(name) {
        wrong.push(subdomain_pattern());
    }
    wrong
}

/// The same where underscores may stand too: paths that are searched for a name.
pub fn dns_subdomain_with_underscore(name: &str) -> Vec<String> {
    const LABEL: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let mut wrong = Vec::new();
    if name.len() > DNS_SUBDOMAIN_BYTES_MAX {
        wrong.push(too_many_characters(DNS_SUBDOMAIN_BYTES_MAX));
    }
    let is_label =
        |label: &str| framed(label.strip_prefix('_').unwrap_or(label), lower, |c| lower(c) || matches!(c, b'-' | b'_'), lower);
    if !name.split('.').all(is_label) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must \
                       start and end with an alphanumeric character";
        wrong.push(pattern(message, &format!(r"{LABEL}(\.{LABEL})*"), &["example.com"]));
    }
    wrong
}

/// `*.example.com`: hosts of an Ingress.
pub fn wildcard_dns_subdomain(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > DNS_SUBDOMAIN_BYTES_MAX {
        wrong.push(too_many_characters(DNS_SUBDOMAIN_BYTES_MAX));
    }
    if !name.strip_prefix("*.").is_some_and(is_subdomain) {
        let message = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of \
                       lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        wrong.push(pattern(message, &format!(r"\*\.{DNS_SUBDOMAIN}"), &["*.example.com"]));
    }
    wrong
}

/// A label of RFC 1035: names of Services.
pub fn dns_1035_label(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > DNS_LABEL_BYTES_MAX {
        wrong.push(too_many_characters(DNS_LABEL_BYTES_MAX));
    }
    if !framed(name, |c| c.is_ascii_lowercase(), |c| lower(c) || c == b'-', lower) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                       character, and end with an alphanumeric character";
        wrong.push(pattern(message, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    wrong
}

/// `name` or `example.com/name`: keys of labels and annotations, finalizers, taints, resources.
pub fn qualified_name(name: &str) -> Vec<String> {
    const REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let message =
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let mut wrong = Vec::new();
    let mut parts = name.split('/');
    let plain = match (parts.next(), parts.next(), parts.next()) {
        (Some(plain), None, None) => plain,
        (Some(prefix), Some(plain), None) => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                if prefix.len() > DNS_SUBDOMAIN_BYTES_MAX {
                    wrong.push(format!("prefix part {}", too_many_bytes(DNS_SUBDOMAIN_BYTES_MAX)));
                }
                if !is_subdomain(prefix) {
                    wrong.push(format!("prefix part {}", subdomain_pattern()));
                }
            }
            plain
        }
        _ => {
            let ending = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {}{ending}", pattern(message, REGEX, &EXAMPLES))];
        }
    };
    if plain.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if plain.len() > QUALIFIED_NAME_BYTES_MAX {
        wrong.push(format!("name part {}", too_many_bytes(QUALIFIED_NAME_BYTES_MAX)));
    }
    if !is_plain_name(plain) {
        wrong.push(format!("name part {}", pattern(message, REGEX, &EXAMPLES)));
    }
    wrong
}

/// The value of a label: like the name part of a qualified name, or empty.
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > LABEL_VALUE_BYTES_MAX {
        wrong.push(too_many_bytes(LABEL_VALUE_BYTES_MAX));
    }
    if !value.is_empty() && !is_plain_name(value) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
                       and end with an alphanumeric character";
        wrong.push(pattern(message, "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", &["MyValue", "my_value", "12345"]));
    }
    wrong
}

/// A name that may be one segment of a path: roles, bindings.
pub fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// The key of a ConfigMap or Secret.
pub fn config_key(key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if key.len() > DNS_SUBDOMAIN_BYTES_MAX {
        wrong.push(too_many_characters(DNS_SUBDOMAIN_BYTES_MAX));
    }
    if key.is_empty() || !key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(pattern(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    if key == "." {
        wrong.push("must not be '.'".into());
    } else if key == ".." {
        wrong.push("must not be '..'".into());
    } else if key.starts_with("..") {
        wrong.push("must not start with '..'".into());
    }
    wrong
}

/// A name as C has it: attributes of devices.
pub fn c_identifier(name: &str) -> Vec<String> {
    let letter: fn(u8) -> bool = |c| c.is_ascii_alphabetic() || c == b'_';
    let inner: fn(u8) -> bool = |c| c.is_ascii_alphanumeric() || c == b'_';
    if framed(name, letter, inner, inner) {
        return Vec::new();
    }
    let message = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters \
                   or '_'";
    vec![pattern(message, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// The name of a port of a Service or container (IANA_SVC_NAME of RFC 6335).
pub fn port_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 15 {
        wrong.push(too_many_characters(15));
    }
    if !name.bytes().all(|c| lower(c) || c == b'-') || name.is_empty() {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !name.bytes().any(|c| c.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".into());
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens".into());
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".into());
    }
    wrong
}

pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".into()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for good in ["a", "my-name", "123-abc", &"x".repeat(63)] {
            assert_eq!(dns_label(good), [""; 0]);
        }
        for good in ["a", "example.com", "1.2.3"] {
            assert_eq!(dns_subdomain(good), [""; 0]);
        }
        for good in ["MyName", "a/b", "example.com/My_Name.x", "kubernetes.io/metadata.name"] {
            assert_eq!(qualified_name(good), [""; 0]);
        }
        for good in ["", "A", "a_b.c-d"] {
            assert_eq!(label_value(good), [""; 0]);
        }
        assert_eq!(port_name("http-alt"), [""; 0]);
        assert_eq!(config_key("ca.crt"), [""; 0]);
        assert_eq!(dns_1035_label("abc-123"), [""; 0]);
        assert_eq!(wildcard_dns_subdomain("*.example.com"), [""; 0]);
        assert_eq!(path_segment("system:node"), [""; 0]);
        for good in ["a", "_a1", "MY_NAME"] {
            assert_eq!(c_identifier(good), [""; 0]);
        }
    }

    #[test]
    fn bad_names_are_answered_in_stock_words() {
        assert_eq!(
            dns_subdomain("Invalid_Name!"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(dns_subdomain(&"x".repeat(254)), ["must be no more than 253 characters"]);
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns_label("-a"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(
            qualified_name("Bad Key!"),
            [
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ]
        );
        assert_eq!(qualified_name(&"x".repeat(64)), ["name part must be no more than 63 bytes"]);
        assert_eq!(label_value(&"x".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/")[0], "name part must be non-empty");
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert_eq!(path_segment("a/b"), ["may not contain '/'"]);
        for bad in ["", "1a", "a-b", "Bad Key!"] {
            assert_eq!(c_identifier(bad).len(), 1, "{bad}");
        }
        assert_eq!(
            port_name(""),
            ["must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)", "must contain at least one letter (a-z)"]
        );
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
    }
}
