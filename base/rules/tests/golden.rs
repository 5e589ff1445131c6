//! What is pure in the rules, checked against recorded answers of a stock server (see `tests/golden` of the project) and with mutated objects.
// Helpers of tests unwrap as tests do.
#![allow(clippy::unwrap_used)]

#[path = "golden/change.rs"]
mod change;
#[path = "golden/create.rs"]
mod create;
#[path = "golden/definitions.rs"]
mod definitions;
mod fuzz;
#[path = "golden/managed.rs"]
mod managed;
#[path = "golden/recording.rs"]
mod recording;
#[path = "golden/refuse.rs"]
mod refuse;
#[path = "golden/table.rs"]
mod table;
#[path = "golden/validate.rs"]
mod validate;

/// A few thousand rounds; `cargo xtask fuzz` plays as many as asked, and weighs hostile input.
#[test]
fn mutated_objects_keep_what_is_promised_of_every_object() {
    let tally = fuzz::play(20_261_128, 3_000);
    assert!(tally.kinds > 50 && tally.taken > 1_500 && tally.merged > 300 && tally.applied > 150, "{tally:?}");
}

#[test]
fn hostile_input_of_every_kind_is_answered() {
    let tables = irori_api::row::Tables::builtin();
    for hostile in fuzz::hostile::all() {
        println!("{}", hostile.name);
        let input = hostile.of_size(1 << 16);
        for request in fuzz::hostile::REQUESTS {
            let stored = hostile.stored(&tables, request, &input);
            hostile.answer(&tables, request, &stored, &input);
        }
    }
}
