//! Ages as people read them.

/// How long ago an RFC 3339 time was; `<unknown>` if there is none.
pub fn since(time: &str, now_s: i64) -> String {
    match crate::scalar::seconds(time) {
        Some(at) => human_duration(now_s.saturating_sub(at)),
        None => "<unknown>".into(),
    }
}

/// A duration in two units at most, coarser the longer it is: `37s`, `5m3s`, `25h`, `3d4h`, `2y10d`.
pub fn human_duration(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(hours / 24, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{}d", hours / 24),
        63_072_000..252_288_000 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}
