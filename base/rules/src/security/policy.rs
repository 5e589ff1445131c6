//! Levels and versions, and what the labels of a namespace say of them.
use std::fmt;

use serde_json::{Map, Value};

/// What the labels of a namespace begin with that say a level or a version.
pub const LABELS: &str = "pod-security.kubernetes.io/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Level> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }
}

/// A level as of a minor version; the newest is [`Standard::LATEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub minor: u32,
}

impl Standard {
    pub const LATEST: u32 = u32::MAX;
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Privileged => "privileged:",
            Level::Baseline => "baseline:",
            Level::Restricted => "restricted:",
        })?;
        if self.minor == Standard::LATEST { f.write_str("latest") } else { write!(f, "v1.{}", self.minor) }
    }
}

/// What a namespace refuses and what it warns of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub warn: Standard,
}

impl Policy {
    /// From the labels of a namespace. What cannot be read is as strict as can be where it is enforced, and nothing where it is told.
    pub fn of(labels: Option<&Map<String, Value>>) -> Policy {
        let label = |name: &str| labels.and_then(|l| l.get(&format!("{LABELS}{name}"))).and_then(Value::as_str);
        let version = |name: &str| label(name).map(|text| parse_version(text).unwrap_or(Standard::LATEST));
        let latest = Standard { level: Level::Privileged, minor: Standard::LATEST };
        let (mut enforce, mut warn) = (latest, latest);
        if let Some(text) = label("enforce") {
            enforce.level = Level::parse(text).unwrap_or(Level::Restricted);
        }
        enforce.minor = version("enforce-version").unwrap_or(enforce.minor);
        match label("warn") {
            Some(text) => warn.level = Level::parse(text).unwrap_or(Level::Privileged),
            // Who enforces and says nothing of warnings is warned of the same.
            None if label("enforce").and_then(Level::parse).is_some() => warn = enforce,
            None => {}
        }
        warn.minor = version("warn-version").unwrap_or(warn.minor);
        Policy { enforce, warn }
    }
}

/// Labels that cannot be read: label, value, why.
pub fn faults(labels: Option<&Map<String, Value>>) -> Vec<(String, String, &'static str)> {
    let mut faults = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        for (suffix, readable, why) in [
            ("", (|v| Level::parse(v).is_some()) as fn(&str) -> bool, "must be one of privileged, baseline, restricted"),
            ("-version", |v| parse_version(v).is_some(), "must be \"latest\" or \"v1.x\""),
        ] {
            let label = format!("{LABELS}{mode}{suffix}");
            if let Some(value) = labels.and_then(|l| l.get(&label)).and_then(Value::as_str).filter(|v| !readable(v)) {
                faults.push((label, value.to_owned(), why));
            }
        }
    }
    faults
}

fn parse_version(text: &str) -> Option<u32> {
    if text == "latest" {
        return Some(Standard::LATEST);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = minor == "0" || (!minor.starts_with('0') && minor.bytes().all(|b| b.is_ascii_digit()));
    minor.parse().ok().filter(|_| plain)
}
