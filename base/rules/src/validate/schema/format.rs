//! Formats of values: which are known, and which texts have them.
//!
//! Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation, "format".
//! ISBN and credit card numbers, and what a URI may hold, are not looked into.
use irori_api::names;

use crate::validate::address::Network;

/// Formats of texts, without dashes.
const TEXTS: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "quantity",
    "k8sshortname",
    "k8slongname",
];

/// Whether values of a type are checked by a format.
pub fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => TEXTS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a text has a format; those that nobody knows, every text has.
pub fn has(text: &str, format: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && hex(text),
        "uri" => {
            text.starts_with('/') || text.split_once(':').is_some_and(|(scheme, _)| crate::validate::hooks::is_scheme(scheme))
        }
        "email" => text.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains(' ')),
        "hostname" => is_host_name(text),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => Network::parse(text).is_some(),
        "mac" => is_mac(text),
        "uuid" => uuid(text).is_some(),
        "uuid3" => uuid(text).is_some_and(|digits| digits[12] == b'3'),
        "uuid4" | "uuid5" => uuid(text).is_some_and(|digits| {
            digits[12] == format.as_bytes()[format.len() - 1] && matches!(digits[16], b'8' | b'9' | b'a' | b'b' | b'A' | b'B')
        }),
        "ssn" => {
            let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
            digits.len() == 9 && digits.bytes().all(|b| b.is_ascii_digit())
        }
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && hex(digits)
        }
        "rgbcolor" => text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')).is_some_and(|inner| {
            let parts: Vec<_> = inner.split(',').map(|part| part.trim().parse::<u8>()).collect();
            parts.len() == 3 && parts.iter().all(Result::is_ok)
        }),
        "byte" => crate::scalar::base64(text).is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "datetime" => text.len() > 10 && crate::scalar::time(text, false).is_ok(),
        "duration" => is_duration(text),
        "quantity" => text.parse::<irori_api::quantity::Quantity>().is_ok(),
        "k8sshortname" => names::dns_label(text).is_empty(),
        "k8slongname" => names::dns_subdomain(text).is_empty(),
        _ => true,
    }
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 255 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

fn is_mac(text: &str) -> bool {
    let parts = |separator: char, digits: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len())
            && parts.iter().all(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    parts(':', 2, &[6, 8, 20]) || parts('-', 2, &[6, 8, 20]) || parts('.', 4, &[3, 4, 10])
}

/// The digits of a UUID, whose dashes may be missing.
fn uuid(text: &str) -> Option<Vec<u8>> {
    let dashes_fit = text.bytes().enumerate().all(|(i, b)| b != b'-' || (8..=23).contains(&i));
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    (dashes_fit && digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)).then_some(digits)
}

/// `1h30m`, `-1.5s`, `0` or `22 ns`.
fn is_duration(text: &str) -> bool {
    const UNITS: &[&str] = &["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
    const WORDS: &[&str] = &[
        "ns",
        "nano",
        "nanos",
        "nanosecond",
        "nanoseconds",
        "us",
        "micro",
        "micros",
        "microsecond",
        "microseconds",
        "ms",
        "milli",
        "millis",
        "millisecond",
        "milliseconds",
        "s",
        "second",
        "seconds",
        "m",
        "min",
        "minute",
        "minutes",
        "h",
        "hr",
        "hour",
        "hours",
        "d",
        "day",
        "days",
        "w",
        "week",
        "weeks",
    ];
    let number =
        |text: &str| !text.is_empty() && text.parse::<f64>().is_ok() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if let Some((amount, unit)) = rest.split_once(' ') {
        return number(amount) && WORDS.contains(&unit.trim());
    }
    let mut any = false;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |more| end + more);
        let unit = &rest[end..unit_end];
        if !number(&rest[..end]) || !(UNITS.contains(&unit) || WORDS.contains(&unit)) {
            return false;
        }
        (any, rest) = (true, &rest[unit_end..]);
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_belong_to_types() {
        for (kind, format, known) in [
            ("string", "date-time", true),
            ("", "ipv4", true),
            ("string", "int32", false),
            ("integer", "int32", true),
            ("number", "double", true),
            ("object", "byte", false),
            ("string", "k8s-short-name", true),
            ("string", "abc", false),
        ] {
            assert_eq!(is_known(kind, format), known, "{kind} {format}");
        }
    }

    #[test]
    fn texts_have_their_formats() {
        for (format, good, bad) in [
            ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
            ("date", "2026-01-02", "2026-13-02"),
            ("duration", "1h30m", "1x"),
            ("duration", "22 ns", "ns"),
            ("ipv4", "10.0.0.1", "::1"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("mac", "00:00:5e:00:53:01", "00:00"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
            ("hostname", "a.example", "-a"),
            ("uri", "https://a.example", "a b"),
            ("email", "a@b.example", "a"),
            ("byte", "YQ==", "!"),
            ("hexcolor", "#fff", "#ff"),
            ("rgbcolor", "rgb(1, 2, 3)", "rgb(1,2,300)"),
            ("ssn", "123-45-6789", "12"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "x"),
            ("k8s-long-name", "a.b", "A"),
        ] {
            assert!(has(good, format) && !has(bad, format), "{format}");
        }
        assert!(has("anything", "password") && has("anything", "nobody-knows"));
    }
}
