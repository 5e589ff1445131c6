//! Power cuts and kills under 16 writers: nothing acknowledged is lost, no revision comes twice, watches resume without gap.
use irori_store::{
    sim::{
        SimDisk,
        campaign::{Control, End, run},
    },
    *,
};

use crate::words::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_power_cuts_under_16_writers_lose_no_acknowledged_write() {
    let report = run(200, End::PowerCut, None, 0).await;
    assert_eq!((report.crashes, report.breaches), (200, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_under_16_writers_lose_no_acknowledged_write() {
    let report = run(100, End::Kill, None, 0).await;
    assert_eq!((report.crashes, report.breaches), (100, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_and_power_cuts_in_any_order_lose_no_acknowledged_write() {
    let report = run(100, End::Either, None, 0).await;
    assert_eq!((report.crashes, report.breaches), (100, Vec::new()));
}

/// A kill between the making of a segment and the sync of its name leaves a name that the next life has to make durable before it promises
/// anything that stands below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_after_a_kill_at_any_call_loses_no_acknowledged_write() {
    for calls in 1..60 {
        for seed in 0..4 {
            let mut disk = SimDisk::new();
            let mut acknowledged = Vec::new();
            for life in 0..2 {
                disk.set_faults(|faults| faults.power_fails_after = (life == 0).then_some(calls));
                // Only the first life begins segments, which syncs names.
                let segment_bytes = if life == 0 { 150 } else { 1 << 20 };
                if let Ok(store) = open_with(Settings { segment_bytes, ..settings(&disk) }) {
                    for n in 0..10 {
                        let key = format!("k/{life}/{n}");
                        if store.commit(vec![create(&key, "v")], Durability::Synced).await.is_ok() {
                            acknowledged.push(key);
                        }
                    }
                }
                disk = if life == 0 { disk.kill() } else { disk.power_cut(seed) };
            }
            let store = open_with(settings(&disk)).unwrap_or_else(|refused| panic!("{calls} calls, seed {seed}: {refused}"));
            for key in &acknowledged {
                assert_eq!(value(&*store, key).await.as_deref(), Some("v"), "{calls} calls, seed {seed}: {key}");
            }
        }
    }
}

/// The negative controls: syncs that do nothing, acknowledgements before the sync, events left out. The same test has to notice each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_negative_control_is_reported() {
    for control in Control::ALL {
        for seed in 0..3 {
            let report = run(20, End::PowerCut, Some(control), seed).await;
            assert!(!report.breaches.is_empty(), "{control:?} with seed {seed}: {report}");
        }
    }
}

/// The power goes at each single call to the disk, from the first start on, and again while the store recovers from that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_call_of_a_start_leaves_a_store_that_opens() {
    for calls in 1..40 {
        for seed in 0..6 {
            let mut disk = SimDisk::new();
            let mut acknowledged = Vec::new();
            for life in 0..3 {
                disk.set_faults(|faults| faults.power_fails_after = Some(calls));
                match open_with(Settings { segment_bytes: 150, snapshot_bytes_min: 400, ..settings(&disk) }) {
                    Ok(store) => {
                        for n in 0..10 {
                            let key = format!("k/{life}/{n}");
                            if store.commit(vec![create(&key, "v")], Durability::Synced).await.is_ok() {
                                acknowledged.push(key);
                            }
                        }
                    }
                    Err(OpenError::Io { .. }) => assert!(disk.is_off()),
                    Err(other) => panic!("{calls} calls, seed {seed}, life {life}: {other}"),
                }
                disk = disk.power_cut(seed * 3 + life);
            }
            let store = open_with(settings(&disk)).unwrap_or_else(|refused| panic!("{calls} calls, seed {seed}: {refused}"));
            for key in &acknowledged {
                assert_eq!(value(&*store, key).await.as_deref(), Some("v"), "{calls} calls, seed {seed}: {key}");
            }
        }
    }
}
