//! Random operations of ten clients on etcd, with members killed and frozen in between, are linearizable; outcomes that nobody knows count as
//! both. `cargo xtask crash` runs the same for longer.
use irori_store::sim::{
    Dice,
    linear::{OnEtcd, Plan, Planted, Report, run_on},
};

use super::{cluster::Etcd, settings};

async fn campaign(mut etcd: Etcd, plan: Plan) -> Report {
    let endpoints = settings(&etcd).endpoints;
    let settings = || irori_store::EtcdSettings::at(endpoints.clone(), "/irori/test", super::clock());
    let mut disturb = |dice: &mut Dice| etcd.disturb(dice.below(1_000));
    run_on(&mut OnEtcd { settings: &settings, disturb: &mut disturb }, plan).await
}

const PLAN: Plan = Plan { clients: 10, operations: 6_000, crashes: 3, seed: 1, planted: None };

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_on_one_member_that_is_killed_are_linearizable() {
    let report = campaign(Etcd::single(), PLAN).await;
    println!("{report}");
    assert_eq!(report.breaches, Vec::<String>::new());
    assert!(report.crashes == 3 && report.commits > 500 && report.operations > 4_000, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn operations_on_three_members_of_which_one_is_killed_are_linearizable() {
    let report = campaign(Etcd::three(), PLAN).await;
    println!("{report}");
    assert_eq!(report.breaches, Vec::<String>::new());
    assert!(report.crashes == 3 && report.commits > 500 && report.operations > 4_000, "{report}");
}

/// The negative control.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_planted_fault_is_found_on_etcd_too() {
    for planted in [Planted::LostCommit, Planted::DroppedEvent] {
        let plan = Plan { operations: 4_000, crashes: 0, planted: Some(planted), ..PLAN };
        let report = campaign(Etcd::single(), plan).await;
        assert!(!report.breaches.is_empty(), "{planted:?}: {report}");
    }
}
