//! Random operations of ten clients with crashes in between are linearizable; `cargo xtask crash` runs the same for longer.
use irori_store::sim::linear::{Plan, Planted, run};

const PLAN: Plan = Plan { clients: 10, operations: 60_000, crashes: 30, seed: 1, planted: None };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_ten_clients_with_crashes_in_between_are_linearizable() {
    let report = run(PLAN).await;
    assert_eq!(report.breaches, Vec::<String>::new());
    assert_eq!(report.crashes, 30);
    assert!(report.operations > 40_000 && report.commits > 6_000 && report.conflicts > 1_000, "{report}");
    assert!(report.unanswered > 0, "no crash hit a commit: {report}");
}

/// The negative controls: each planted fault has to be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_fault_is_found() {
    for planted in Planted::ALL {
        let report = run(Plan { operations: 20_000, crashes: 5, planted: Some(planted), ..PLAN }).await;
        assert!(!report.breaches.is_empty(), "{planted:?}: {report}");
    }
}
