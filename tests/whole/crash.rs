//! kill -9 of the API under writers over https. `cargo xtask crash` runs the same for longer.
use std::path::Path;

use irori_testkit::{
    binary,
    kills::{self, Plan},
};

fn plan(scratch: &Path) -> Plan<'_> {
    Plan { cycles: 25, writers: 16, seed: 3, plant_loss: false, scratch, words: &[] }
}

/// After each restart every acknowledged write is there as it was acknowledged, nothing is half there, and no revision went back.
#[test]
fn an_api_killed_under_16_writers_keeps_every_acknowledged_write() {
    let report = kills::run(&binary(), plan(&std::env::temp_dir()), &|said| println!("{said}"));
    println!("{report}");
    assert_eq!(report.breaches, Vec::<String>::new());
    assert!(report.acknowledged > 200, "{report}");
    assert!(report.unanswered > 0, "no kill hit a write: {report}");
    assert!(report.kills_at_start > 0, "no kill hit a start: {report}");
}

/// The negative control: a store that is put back by one life has lost writes, and the same check says so.
#[test]
fn a_planted_loss_is_noticed() {
    let report = kills::run(&binary(), Plan { cycles: 3, plant_loss: true, ..plan(&std::env::temp_dir()) }, &|_| {});
    assert!(report.breaches.iter().any(|breach| breach.contains("promised")), "{:?}", report.breaches);
    assert!(report.breaches.iter().any(|breach| breach.contains("resourceVersion went back")), "{:?}", report.breaches);
}
