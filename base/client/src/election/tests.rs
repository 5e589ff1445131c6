use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

const LEASE: Duration = Duration::from_secs(15);

#[test]
fn a_lease_is_free_when_nobody_holds_it_or_it_was_ours_or_it_stood_still_for_its_time() {
    let theirs = ours(None, "other", LEASE, at(100));
    let seconds = Duration::from_secs;
    assert_eq!(free_in(None, "me", seconds(0)), seconds(0));
    assert_eq!(free_in(Some(&theirs), "other", seconds(0)), seconds(0));
    assert_eq!(free_in(Some(&theirs), "me", seconds(0)), seconds(15));
    assert_eq!(free_in(Some(&theirs), "me", seconds(14)), seconds(1));
    assert_eq!(free_in(Some(&theirs), "me", seconds(16)), seconds(0));
    let released = LeaseSpec { holder_identity: None, ..theirs };
    assert_eq!(free_in(Some(&released), "me", seconds(0)), seconds(0));
}

#[test]
fn a_renewal_keeps_since_when_and_a_change_of_hands_is_counted() {
    let first = ours(None, "one", LEASE, at(100));
    assert_eq!((first.lease_transitions, first.lease_duration_seconds), (Some(0), Some(15)));
    let renewed = ours(Some(&first), "one", LEASE, at(110));
    assert_eq!(renewed.acquire_time, first.acquire_time);
    assert_eq!(renewed.renew_time, Some(MicroTime(at(110))));
    assert_eq!(renewed.lease_transitions, Some(0));
    let taken = ours(Some(&renewed), "other", LEASE, at(130));
    assert_eq!((taken.acquire_time, taken.lease_transitions), (Some(MicroTime(at(130))), Some(1)));
}

#[test]
fn a_leader_stops_before_anybody_else_may_start() {
    let Timing { lease, renew_deadline, retry } = Timing::default();
    assert!(renew_deadline + retry < lease && lease < LEASE);
}
