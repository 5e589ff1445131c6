//! The one retry policy: doubling waits between a floor and a ceiling.
use std::time::Duration;

/// Waits that double from `first` to `max`. Pure; the caller sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The wait before retry number `attempt` (0 is the first retry).
    pub fn wait(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(attempt.min(31))).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let b = Backoff { first: Duration::from_secs(10), max: Duration::from_secs(300) };
        let waits: Vec<u64> = (0..7).map(|n| b.wait(n).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(b.wait(u32::MAX).as_secs(), 300);
    }
}
