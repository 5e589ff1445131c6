//! Numbers that may be percentages.
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a share of a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    Up,
    Down,
}

/// `value` out of `total`. What is not a number or percentage (the API refuses it) counts as nothing.
pub fn resolve(value: Option<&IntOrString>, total: i32, rounding: Rounding) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => (*number).max(0),
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or(0);
            let hundredths = i64::from(total.max(0)).saturating_mul(percent.max(0));
            let whole = match rounding {
                Rounding::Up => hundredths.saturating_add(99) / 100,
                Rounding::Down => hundredths / 100,
            };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let quarter = IntOrString::String("25%".to_owned());
        assert_eq!(resolve(Some(&quarter), 10, Rounding::Up), 3);
        assert_eq!(resolve(Some(&quarter), 10, Rounding::Down), 2);
        assert_eq!(resolve(Some(&IntOrString::Int(4)), 10, Rounding::Down), 4);
        assert_eq!(resolve(Some(&IntOrString::String("four".to_owned())), 10, Rounding::Up), 0);
        assert_eq!(resolve(None, 10, Rounding::Up), 0);
    }
}
