//! Scalars with rules of their own: times, Go durations, numbers-or-strings, resource versions.
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::status::{Status, quoted};

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROSECONDS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Reads RFC 3339 as metav1.Time does; errors in the words of Go.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    read_time(text, SECONDS)
}

/// Reads RFC 3339 with exactly six places after the point, as metav1.MicroTime does.
pub fn parse_micro_time(text: &str) -> Result<Timestamp, String> {
    read_time(text, MICROSECONDS)
}

/// RFC 3339 in UTC and whole seconds.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 3339 in UTC with six places.
pub fn format_micro_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn read_time(text: &str, layout: &str) -> Result<Timestamp, String> {
    let wrong = |why: String| format!("parsing time {} as {}: {why}", quoted(text), quoted(layout));
    let cannot = |rest: &str, part: &str| wrong(format!("cannot parse {} as {}", quoted(rest), quoted(part)));
    let range = |part: &str| format!("parsing time {}: {part} out of range", quoted(text));
    let mut rest = text;
    let mut number = |before: &str, part: &str, width: usize| -> Result<u32, String> {
        rest = rest.strip_prefix(before).ok_or_else(|| cannot(rest, before))?;
        let digits = rest.get(..width).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
        let digits = digits.ok_or_else(|| cannot(rest, part))?;
        rest = &rest[width..];
        digits.parse().map_err(|_| cannot(rest, part))
    };
    let (year, month, day) = (number("", "2006", 4)?, number("-", "01", 2)?, number("-", "02", 2)?);
    let (hour, minute, second) = (number("T", "15", 2)?, number(":", "04", 2)?, number(":", "05", 2)?);
    let places = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if layout == MICROSECONDS && places != 6 {
        return Err(cannot(rest, ".000000"));
    }
    let fraction = if places > 0 { rest[1..=places].get(..9.min(places)).unwrap_or("") } else { "" };
    let nanos: i32 = format!("{fraction:0<9}").parse().unwrap_or(0);
    rest = &rest[if places > 0 { places + 1 } else { 0 }..];
    let offset = match rest.as_bytes() {
        [b'Z'] => 0,
        [b'Z', ..] => return Err(format!("parsing time {}: extra text: {}", quoted(text), quoted(&rest[1..]))),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) => {
            let two = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            if two(h1, h2) > 24 || two(m1, m2) > 60 {
                return Err(range("time zone offset hour"));
            }
            (two(h1, h2) * 3600 + two(m1, m2) * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return Err(cannot(rest, "Z07:00")),
    };
    let narrow = |value: u32| i8::try_from(value).unwrap_or(i8::MAX);
    for (value, least, most, part) in
        [(month, 1, 12, "month"), (hour, 0, 23, "hour"), (minute, 0, 59, "minute"), (second, 0, 59, "second")]
    {
        if !(least..=most).contains(&value) {
            return Err(range(part));
        }
    }
    let year = i16::try_from(year).map_err(|_| range("year"))?;
    let civil = jiff::civil::DateTime::new(year, narrow(month), narrow(day), narrow(hour), narrow(minute), narrow(second), nanos)
        .map_err(|_| range("day"))?;
    let zone = jiff::tz::Offset::from_seconds(i32::try_from(offset).unwrap_or(0)).map_err(|_| range("time zone offset hour"))?;
    zone.to_timestamp(civil).map_err(|_| range("year"))
}

/// A Go duration in nanoseconds: `1h5m`, `300ms`, `-1.5s`, `0`.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let (negative, mut rest) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 {
            return Err(invalid());
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let nanos: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("time: missing unit in duration {}", quoted(text))),
            unit => return Err(format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text))),
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let fraction = &fraction[..fraction.len().min(18)];
        let part = if fraction.is_empty() {
            0
        } else {
            fraction.parse::<i128>().map_err(|_| invalid())? * nanos / 10i128.pow(fraction.len() as u32)
        };
        total += whole * nanos + part;
        if total > i128::from(i64::MAX) + 1 {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// As Go prints it: `1h5m0s`, `1.5s`, `300ms`, `0s`.
pub fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let decimal = |value: u64, unit: u64| {
        let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() || unit == 1 { String::new() } else { format!(".{fraction}") };
        format!("{}{point}", value / unit)
    };
    match nanos {
        0..1_000 => format!("{sign}{nanos}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// A number or a string: ports by name, `25%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrString {
    Int(i32),
    String(String),
}

impl IntOrString {
    /// `None` for other JSON and for numbers beyond 32 bits.
    pub fn from_value(of: &Value) -> Option<IntOrString> {
        match of {
            Value::String(text) => Some(IntOrString::String(text.clone())),
            other => i32::try_from(other.as_i64()?).ok().map(IntOrString::Int),
        }
    }

    /// The number itself, or that percentage of `total`.
    pub fn scaled(&self, total: i64, round_up: bool) -> Result<i64, String> {
        match self {
            IntOrString::Int(value) => Ok(i64::from(*value)),
            IntOrString::String(text) => {
                let percent: Option<i64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
                let percent = percent.ok_or("invalid value for IntOrString: invalid type: string is not a percentage")?;
                let parts = percent.saturating_mul(total);
                let up = i64::from(round_up && parts > 0 && parts % 100 != 0);
                let down = i64::from(!round_up && parts < 0 && parts % 100 != 0);
                Ok(parts / 100 + up - down)
            }
        }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrString::Int(value) => write!(f, "{value}"),
            IntOrString::String(text) => f.write_str(text),
        }
    }
}

/// A resourceVersion from a query or an object; empty is `None`.
pub fn parse_resource_version(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    let why = match text.parse() {
        Ok(version) if digits => return Ok(Some(version)),
        _ if digits => "value out of range",
        _ => "invalid syntax",
    };
    let given = quoted(text);
    Err(Status::unknown(format!("resourceVersion: Invalid value: {given}: strconv.ParseUint: parsing {given}: {why}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_in_any_zone_and_printed_in_utc() {
        let print = |text: &str| parse_time(text).map(format_time).unwrap();
        assert_eq!(print("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
        assert_eq!(print("2026-01-01T01:00:00.999+01:00"), "2026-01-01T00:00:00Z");
        assert_eq!(print("1969-12-31T23:00:00-01:30"), "1970-01-01T00:30:00Z");
        assert_eq!(print("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z");
        let micro = |text: &str| parse_micro_time(text).map(format_micro_time).unwrap();
        assert_eq!(micro("2026-01-01T00:00:00.000001Z"), "2026-01-01T00:00:00.000001Z");
    }

    #[test]
    fn wrong_times_are_refused_in_the_words_of_go() {
        for (text, why) in [
            ("abc", "parsing time \"abc\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"abc\" as \"2006\""),
            ("2026-01", "parsing time \"2026-01\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"-\""),
            ("2026-13-01T00:00:00Z", "parsing time \"2026-13-01T00:00:00Z\": month out of range"),
            ("2026-02-30T00:00:00Z", "parsing time \"2026-02-30T00:00:00Z\": day out of range"),
            (
                "2026-01-01T00:00:00",
                "parsing time \"2026-01-01T00:00:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\"",
            ),
            ("2026-01-01T00:00:00Zx", "parsing time \"2026-01-01T00:00:00Zx\": extra text: \"x\""),
        ] {
            assert_eq!(parse_time(text).unwrap_err(), why);
        }
        assert_eq!(
            parse_micro_time("2026-01-01T00:00:00Z").unwrap_err(),
            "parsing time \"2026-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\""
        );
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, nanos, printed) in [
            ("0", 0, "0s"),
            ("1h5m", 3_900_000_000_000, "1h5m0s"),
            ("300ms", 300_000_000, "300ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
            ("1us", 1_000, "1µs"),
            ("1500ns", 1_500, "1.5µs"),
            ("7ns", 7, "7ns"),
            ("1m0.001s", 60_001_000_000, "1m0.001s"),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos));
            assert_eq!(format_duration(nanos), printed);
        }
        for (text, why) in [
            ("", "time: invalid duration \"\""),
            ("1", "time: missing unit in duration \"1\""),
            ("1x", "time: unknown unit \"x\" in duration \"1x\""),
            ("10000000h", "time: invalid duration \"10000000h\""),
            (".s", "time: invalid duration \".s\""),
        ] {
            assert_eq!(parse_duration(text).unwrap_err(), why);
        }
    }

    #[test]
    fn percentages_are_taken_of_the_total() {
        let of = |value: Value, round_up| IntOrString::from_value(&value).unwrap().scaled(10, round_up);
        assert_eq!(of(json!("25%"), true), Ok(3));
        assert_eq!(of(json!("25%"), false), Ok(2));
        assert_eq!(of(json!(4), false), Ok(4));
        assert!(of(json!("http"), false).is_err());
        assert_eq!(IntOrString::from_value(&json!(1.5)), None);
    }

    #[test]
    fn a_resource_version_is_a_number_or_nothing() {
        assert_eq!(parse_resource_version(""), Ok(None));
        assert_eq!(parse_resource_version("12"), Ok(Some(12)));
        assert_eq!(
            parse_resource_version("nan").unwrap_err().message,
            "resourceVersion: Invalid value: \"nan\": strconv.ParseUint: parsing \"nan\": invalid syntax"
        );
        assert!(parse_resource_version("+1").is_err());
        assert!(parse_resource_version("99999999999999999999").is_err());
    }

    proptest! {
        #[test]
        fn every_duration_is_read_as_it_is_printed(nanos in any::<i64>()) {
            prop_assert_eq!(parse_duration(&format_duration(nanos)), Ok(nanos));
        }

        #[test]
        fn every_time_is_read_as_it_is_printed(seconds in -62_000_000_000i64..250_000_000_000, micros in 0i32..1_000_000) {
            let time = Timestamp::new(seconds, micros * 1000).unwrap();
            prop_assert_eq!(parse_micro_time(&format_micro_time(time)), Ok(time));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,40}") {
            let _ = parse_time(&text);
            let _ = parse_micro_time(&text);
            let _ = parse_duration(&text);
        }
    }
}
