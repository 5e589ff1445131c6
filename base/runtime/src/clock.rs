//! Wall time with a floor: a machine whose clock says 1970 must still accept its own certificates.
//!
//! Invariant: `now` never goes below the floor, and above the floor time moves even while the system clock stands below it.
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};

/// The one source of wall time. Cheap to clone; all clones share the floor.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    source: Source,
    /// What `now` may not go below, and when that was learnt.
    floor: Mutex<(Timestamp, Instant)>,
}

enum Source {
    System { offset: SignedDuration },
    Manual(Arc<Mutex<Timestamp>>),
}

/// The hand that moves a manual clock, for tests.
#[derive(Clone)]
pub struct ManualTime(Arc<Mutex<Timestamp>>);

impl ManualTime {
    /// Moves time by `by`, which may be negative.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().expect("no holder of this lock panics");
        *now = now.checked_add(by).expect("a test stays within representable time");
    }

    /// Sets the time.
    pub fn set(&self, to: Timestamp) {
        *self.0.lock().expect("no holder of this lock panics") = to;
    }
}

impl Clock {
    /// The system clock shifted by `offset` (zero outside tests), never below `floor`.
    pub fn system(floor: Timestamp, offset: SignedDuration) -> Self {
        Self(Arc::new(Inner { source: Source::System { offset }, floor: Mutex::new((floor, Instant::now())) }))
    }

    /// A clock that stands still until it is moved, and the hand that moves it.
    pub fn manual(start: Timestamp) -> (Self, ManualTime) {
        let hand = Arc::new(Mutex::new(start));
        let floor = Mutex::new((Timestamp::MIN, Instant::now()));
        (Self(Arc::new(Inner { source: Source::Manual(hand.clone()), floor })), ManualTime(hand))
    }

    /// The present, at or above the floor.
    pub fn now(&self) -> Timestamp {
        let (floor, since) = *self.0.floor.lock().expect("no holder of this lock panics");
        match &self.0.source {
            Source::Manual(now) => (*now.lock().expect("no holder of this lock panics")).max(floor),
            Source::System { offset } => {
                let system = Timestamp::now().checked_add(*offset).unwrap_or(Timestamp::MAX);
                if system >= floor {
                    return system;
                }
                let elapsed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::ZERO);
                floor.checked_add(elapsed).unwrap_or(floor)
            }
        }
    }

    /// Learns that it is at least `seen` (the newest time found in a store, say). Lower values change nothing.
    pub fn raise_floor(&self, seen: Timestamp) {
        let mut floor = self.0.floor.lock().expect("no holder of this lock panics");
        let elapsed = SignedDuration::try_from(floor.1.elapsed()).unwrap_or(SignedDuration::ZERO);
        let risen = floor.0.checked_add(elapsed).unwrap_or(floor.0);
        if seen > risen {
            *floor = (seen, Instant::now());
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    #[test]
    fn a_clock_below_its_floor_still_moves_forward_from_the_floor() {
        let far = Timestamp::now() + SignedDuration::from_hours(24 * 365);
        let clock = Clock::system(far, SignedDuration::ZERO);
        let first = clock.now();
        assert!(first >= far);
        while clock.now() == first {
            std::hint::spin_loop();
        }
        assert!(clock.now() > first);
    }

    #[test]
    fn an_offset_shifts_the_system_clock() {
        let clock = Clock::system(at(0), SignedDuration::from_hours(24 * 400));
        assert!(clock.now() > Timestamp::now() + SignedDuration::from_hours(24 * 399));
    }

    #[test]
    fn a_floor_is_raised_but_never_lowered() {
        let (clock, hand) = Clock::manual(at(100));
        clock.raise_floor(at(500));
        clock.raise_floor(at(200));
        assert_eq!(clock.now(), at(500));
        hand.set(at(900));
        assert_eq!(clock.now(), at(900));
    }
}
