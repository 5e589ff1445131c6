//! Which etcd is safe to stand on.

/// 3.5.0 to 3.5.2 may lose committed writes on a member that is killed (etcd issue 13766), 3.5.5 may apply a request twice after a
/// restart (3.5.6), and before 3.5.13 an answer to "how far is this watch?" could name a revision whose events had not been sent
/// (issues 15220 and 17507), which would be a gap.
pub const LEAST: (u64, u64, u64) = (3, 5, 13);

/// Whether a version such as `3.5.16` is at least `LEAST`. What cannot be read is not.
pub fn is_safe(version: &str) -> bool {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Option<Vec<u64>> = release.split('.').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some([major, minor, patch]) => (*major, *minor, *patch) >= LEAST && !version.contains('-'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_known_losses_are_not_safe() {
        for unsafe_one in ["3.4.34", "3.5.0", "3.5.2", "3.5.5", "3.5.12", "3.6.0-rc.1", "", "3.5", "three"] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
        for safe in ["3.5.13", "3.5.16", "3.6.0", "3.5.21+debian", "4.0.0"] {
            assert!(is_safe(safe), "{safe}");
        }
    }
}
