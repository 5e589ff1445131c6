//! What a scalar is: the types of YAML 1.1 as Kubernetes reads them, `yes` and octal `0644` among them.
//!
//! Source: yaml.org/type (bool, int, float, null, timestamp, binary), as far as Go's reader of Kubernetes follows it.
use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use granit_parser::Tag;
use serde_json::{Number, Value};

/// A scalar without quotes and without a tag.
pub fn plain(text: Cow<'_, str>) -> Result<Value, String> {
    match typed(&text) {
        Some(value) => value,
        None => Ok(text.into_owned().into()),
    }
}

/// A scalar whose tag says what it is; one with a tag that is not YAML's own stays text.
pub fn tagged(text: Cow<'_, str>, tag: &Tag) -> Result<Value, String> {
    let wanted = format!("{}{}", tag.handle(), tag.suffix());
    let wanted = wanted.strip_prefix("tag:yaml.org,2002:").unwrap_or("");
    let value = match wanted {
        "bool" | "int" | "float" | "null" => typed(&text).transpose()?,
        "binary" => {
            let bytes = STANDARD.decode(text.split_ascii_whitespace().collect::<String>());
            let bytes = bytes.map_err(|source| format!("!!binary value contains invalid base64 data: {source}"))?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned().into());
        }
        _ => return Ok(text.into_owned().into()),
    };
    let fits = match (&value, wanted) {
        (Some(Value::Bool(_)), "bool") | (Some(Value::Null), "null") | (Some(Value::Number(_)), "float") => true,
        (Some(Value::Number(_)), "int") => whole(&text.replace('_', "")).is_some(),
        _ => false,
    };
    match value {
        Some(value) if fits => Ok(value),
        _ => Err(format!("cannot decode `{text}` as a !!{wanted}")),
    }
}

/// The text of a key.
pub fn key(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(key.to_string()),
        _ => Err("a key must be text, a number or a boolean".to_owned()),
    }
}

/// What a text is if it is not just text. The first byte says most.
fn typed(text: &str) -> Option<Result<Value, String>> {
    let first = match text.as_bytes().first() {
        None => return Some(Ok(Value::Null)),
        Some(first) => *first,
    };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text).map(Ok),
        _ => None,
    }
}

fn word(text: &str) -> Option<Value> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        "~" | "null" | "Null" | "NULL" => Value::Null,
        _ => return None,
    })
}

fn number(text: &str) -> Option<Result<Value, String>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(format!("`{text}` is no number of JSON")));
    }
    if is_date(text) {
        return None;
    }
    let spaced;
    let digits = match text.contains('_') && !text.starts_with('.') {
        true => {
            spaced = text.replace('_', "");
            spaced.as_str()
        }
        false => text,
    };
    let decimal = || digits.parse().ok().filter(|value: &f64| is_decimal(digits) && value.is_finite()).map(fraction);
    whole(digits).or_else(decimal).map(Ok)
}

/// `0x`, `0o`, `0b` and a leading `0` name the base.
fn whole(text: &str) -> Option<Value> {
    let sign = text.bytes().next().filter(|byte| matches!(byte, b'+' | b'-'));
    let digits = if sign.is_some() { &text[1..] } else { text };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.as_bytes().first()?.is_ascii_alphanumeric() {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    match sign {
        None => Some(size.into()),
        Some(b'-') => 0_i64.checked_sub_unsigned(size).map(Value::from),
        Some(_) => i64::try_from(size).ok().map(Value::from),
    }
}

/// `[-+]? ( .digits | digits .digits? ) ( e [-+]? digits )?`
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(text[at + 1..].strip_prefix(['+', '-']).unwrap_or(&text[at + 1..]))),
        None => (text, None),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(before)
        && all_digits(after)
        && !(before.is_empty() && after.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

/// As JSON writes it: without a fraction where there is none.
fn fraction(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e18 {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// A date, with or without a time, stays text.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 5 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}
