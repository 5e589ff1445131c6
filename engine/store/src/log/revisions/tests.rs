use super::*;
use crate::sim::SimDisk;

fn written(disk: &SimDisk, reservations: &[Reservation]) -> RevisionsFile {
    let mut file = RevisionsFile::create(disk).expect("no faults");
    disk.sync_dir().expect("no faults");
    for reservation in reservations {
        file.write(reservation).expect("no faults");
    }
    file
}

fn reserved(reserved: u64) -> Reservation {
    Reservation { store: 5, reserved, ..Reservation::default() }
}

#[test]
fn the_newest_slot_counts() {
    let disk = SimDisk::new();
    let last = Reservation { clean: true, logged: 9, oldest: 2, gaps: vec![(3, 7), (10, 99)], ..reserved(30) };
    for n in 1..5 {
        let mut all: Vec<_> = (1..n).map(reserved).collect();
        all.push(last.clone());
        written(&disk, &all);
        assert_eq!(RevisionsFile::open(&disk).expect("whole").1, Some((FORMAT, last.clone())), "after {n} writes");
    }
}

#[test]
fn a_torn_slot_goes_on_above_what_it_may_have_said() {
    for seed in 0..50 {
        let disk = SimDisk::new();
        let mut file = written(&disk, &[reserved(BLOCK), reserved(2 * BLOCK)]);
        disk.set_faults(|f| f.sync_does_nothing = true);
        file.write(&reserved(3 * BLOCK)).expect("a lying disk says yes");
        let (_, found) = RevisionsFile::open(&disk.power_cut(seed)).expect("one slot is whole");
        let (_, found) = found.expect("one slot is whole");
        // Never used or used: 2 blocks are enough in the first case, 3 in the second.
        assert!(found.reserved >= 2 * BLOCK, "seed {seed}: {}", found.reserved);
    }
}

#[test]
fn a_damaged_newest_slot_never_takes_the_revision_back() {
    let disk = SimDisk::new();
    written(&disk, &[reserved(BLOCK), reserved(2 * BLOCK), reserved(3 * BLOCK)]);
    let mut bytes = disk.read(REVISIONS).expect("is there");
    bytes[slot_offset(3) as usize + 40] ^= 1;
    disk.put(REVISIONS, bytes);
    let (_, found) = RevisionsFile::open(&disk).expect("one slot is whole");
    assert!(found.expect("one slot is whole").1.reserved >= 3 * BLOCK);
}

#[test]
fn too_many_gaps_move_the_start_of_history() {
    let mut reservation = Reservation::default();
    for n in 0..GAPS_MAX as u64 + 3 {
        reservation.add_gap(n * 10 + 1, n * 10 + 9);
    }
    assert_eq!((reservation.gaps.len(), reservation.oldest, reservation.gaps[0]), (GAPS_MAX, 29, (31, 39)));
}
