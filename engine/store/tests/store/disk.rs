//! The simulated disk must forget what a real one may forget, or the crash tests prove nothing.
use irori_store::{disk::Disk, sim::SimDisk};

#[test]
fn a_power_cut_keeps_what_was_synced_and_may_lose_or_tear_the_rest() {
    let disk = SimDisk::new();
    let file = disk.create("f").expect("no faults");
    disk.sync_dir().expect("no faults");
    file.write_at(0, &[1; 4_096]).expect("no faults");
    file.sync_data().expect("no faults");
    file.write_at(0, &[2; 4_096]).expect("no faults");
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let bytes = disk.after_power_cut(seed).read("f").expect("its name was synced");
        assert_eq!(bytes.len(), 4_096);
        for sector in bytes.chunks(512) {
            assert!(sector == [1; 512] || sector == [2; 512], "a sector is written whole or not at all");
        }
        match bytes.iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            4_096 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(lost > 10 && kept > 10 && torn > 10, "{lost} lost, {kept} kept, {torn} torn");
}

#[test]
fn a_name_that_was_not_synced_may_be_lost() {
    let disk = SimDisk::new();
    disk.create("f").expect("no faults");
    let there = (0..50).filter(|seed| disk.after_power_cut(*seed).read("f").is_some()).count();
    assert!((1..50).contains(&there), "{there}");
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    let disk = SimDisk::new();
    disk.create("f").expect("no faults").write_at(0, b"written").expect("no faults");
    let after = disk.kill();
    assert_eq!(after.read("f").as_deref(), Some(&b"written"[..]));
    assert!(disk.open("f").is_err(), "the process is gone");
}
