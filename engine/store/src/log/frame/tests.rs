use proptest::prelude::*;

use super::*;
use crate::{disk::Disk, sim::SimDisk};

const PLACE: Place = Place { store: 7, revision: 42 };

fn sealed(payload: &[u8], offset: u64) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    frame.extend_from_slice(payload);
    PLACE.seal(&mut frame, FrameKind::Commits, offset);
    frame
}

proptest! {
    #[test]
    fn a_row_of_frames_reads_back_as_written(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..40)) {
        let file = SimDisk::new().create("f").expect("no faults");
        let mut offset = 64;
        for payload in &payloads {
            let frame = sealed(payload, offset);
            file.write_at(offset, &frame).expect("no faults");
            offset += frame.len() as u64;
        }
        let mut frames = Frames::new(&*file, PLACE, FrameKind::Commits, 64, offset);
        let mut back = Vec::new();
        while let Some((_, payload)) = frames.next().expect("all frames are good") {
            back.push(payload.to_vec());
        }
        prop_assert_eq!(frames.offset(), offset);
        prop_assert_eq!(back, payloads);
    }

    #[test]
    fn any_flipped_bit_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut frame = sealed(&payload, 64);
        let at = place.index(frame.len());
        frame[at] ^= 1_u8 << bit;
        prop_assert!(PLACE.open(&frame, FrameKind::Commits, 64).is_err());
    }

    #[test]
    fn a_cut_frame_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>()) {
        let frame = sealed(&payload, 64);
        prop_assert!(PLACE.open(&frame[..place.index(frame.len())], FrameKind::Commits, 64).is_err());
    }

    #[test]
    fn garbage_is_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(PLACE.open(&bytes, FrameKind::Commits, 64).is_err());
    }
}

#[test]
fn a_frame_in_the_wrong_place_is_noticed() {
    let frame = sealed(b"here", 64);
    assert!(PLACE.open(&frame, FrameKind::Commits, 64).is_ok());
    assert!(PLACE.open(&frame, FrameKind::Commits, 80).is_err());
    assert!(PLACE.open(&frame, FrameKind::Entries, 64).is_err());
    assert!(Place { revision: 43, ..PLACE }.open(&frame, FrameKind::Commits, 64).is_err());
    assert!(Place { store: 8, ..PLACE }.open(&frame, FrameKind::Commits, 64).is_err());
}

#[test]
fn a_good_frame_behind_a_broken_one_is_found() {
    let file = SimDisk::new().create("f").expect("no faults");
    let second = sealed(b"second", 100);
    file.write_at(100, &second).expect("no faults");
    let end = 100 + second.len() as u64;
    assert_eq!(any_frame_after(&*file, PLACE, FrameKind::Commits, 64, end).expect("no faults"), Some(100));
    assert_eq!(any_frame_after(&*file, PLACE, FrameKind::Commits, 101, end).expect("no faults"), None);
}
