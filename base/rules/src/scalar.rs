//! Scalars that have a spelling of their own: times, bytes, quantities.
use base64::{Engine, engine::general_purpose::STANDARD};
use irori_api::{quantity::Quantity, scalar};
use std::cmp::Ordering;

/// Normalises an RFC 3339 time to UTC: seconds, or microseconds with all six digits.
pub fn time(text: &str, micro: bool) -> Result<String, String> {
    if micro {
        scalar::parse_micro_time(text).map(scalar::format_micro_time)
    } else {
        scalar::parse_time(text).map(scalar::format_time)
    }
}

/// Seconds since 1970 of an RFC 3339 time, with or without a fraction.
pub fn seconds(text: &str) -> Option<i64> {
    scalar::parse_time(text).ok().map(jiff::Timestamp::as_second)
}

/// Checks and normalises base64; the error names the byte that Go's decoder names.
pub fn base64(text: &str) -> Result<String, String> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    // Go does not look at the bits behind the last byte.
    let lax = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    match lax.decode(&clean) {
        Ok(bytes) => Ok(STANDARD.encode(bytes)),
        Err(_) => Err(format!("illegal base64 data at input byte {}", base64_fault(text.as_bytes()))),
    }
}

fn base64_fault(text: &[u8]) -> usize {
    let (mut in_quantum, mut at) = (0, 0);
    while at < text.len() {
        let byte = text[at];
        at += 1;
        match byte {
            b'\r' | b'\n' => continue,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => in_quantum = (in_quantum + 1) % 4,
            b'=' if in_quantum == 2 => {
                let next = text[at..].iter().position(|b| !matches!(b, b'\r' | b'\n')).map(|n| at + n);
                return match next {
                    None => text.len(),
                    Some(n) if text[n] != b'=' => n,
                    Some(n) => n + 1,
                };
            }
            b'=' if in_quantum == 3 => return at,
            _ => return at - 1,
        }
    }
    at - in_quantum.min(at)
}

/// Checks a quantity and gives its canonical form.
pub fn quantity(text: &str) -> Result<String, String> {
    text.trim().parse::<Quantity>().map(|q| q.to_string()).map_err(|error| error.to_string())
}

/// Whether a quantity is nothing.
pub fn quantity_is_zero(text: &str) -> bool {
    text.parse::<Quantity>().is_ok_and(|q| q.is_zero())
}

/// Which of two quantities is more; what cannot be read counts as equal.
pub fn quantity_compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<Quantity>(), b.parse::<Quantity>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => Ordering::Equal,
    }
}
