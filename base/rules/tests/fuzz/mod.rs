//! Mutated objects and patches of every kind, and what must be true of them however odd they are.
//!
//! Runs as a test for a few hundred rounds, and as `cargo xtask fuzz` for as many as asked. A round that fails says by which seed it
//! comes again.
mod checks;
mod difference;
pub mod hostile;
mod mutate;

use std::{collections::BTreeMap, io::Read, path::Path};

use irori_api::{
    codec::protobuf::Protobuf,
    row::{Row, Tables},
};
use serde_json::Value;

use mutate::Random;

/// Objects that a stock server accepted, by the path that they were posted to.
fn seeds(tables: &Tables) -> Vec<(&Row, Vec<Value>)> {
    let mut found: BTreeMap<String, (&Row, Vec<Value>)> = BTreeMap::new();
    for group in ["create", "life", "table", "validate"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/{group}.jsonl.gz"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            for step in case["steps"].as_array().unwrap() {
                let (body, path) = (&step["body"], step["path"].as_str().unwrap().split('?').next().unwrap());
                if step["method"] != "POST" || step["want"]["status"] != 201 || !body.is_object() {
                    continue;
                }
                let words: Vec<&str> = path.trim_matches('/').split('/').collect();
                let (group, version) = if words[0] == "api" { ("", words[1]) } else { (words[1], words[2]) };
                let Some(row) = tables.resource(group, version, words[words.len() - 1]) else { continue };
                if row.storage.is_some() {
                    found.entry(row.gvk.api_version() + &row.gvk.kind).or_insert((row, Vec::new())).1.push(body.clone());
                }
            }
        }
    }
    found.into_values().collect()
}

/// What was looked at.
#[derive(Debug, Default)]
pub struct Tally {
    pub kinds: usize,
    pub rounds: u64,
    /// Mutated objects that were still taken as their kind.
    pub taken: u64,
    pub protobuf: u64,
    pub merged: u64,
    pub applied: u64,
}

/// Plays rounds from a seed on. Panics with the seed of the round that failed.
pub fn play(seed: u64, rounds: u64) -> Tally {
    let tables = Tables::builtin();
    let protobuf = Protobuf::compile(&tables.schemas);
    let kinds = seeds(&tables);
    let mut tally = Tally { kinds: kinds.len(), ..Tally::default() };
    for round in 0..rounds {
        let mut random = Random::new(seed.wrapping_add(round));
        let (row, objects) = &kinds[random.below(kinds.len())];
        let pick = |random: &mut Random| objects[random.below(objects.len())].clone();
        let (mut one, mut other) = (pick(&mut random), pick(&mut random));
        mutate::mutate(&mut random, &mut one, &other);
        mutate::mutate(&mut random, &mut other, &one);
        let checked = std::panic::catch_unwind(|| checks::check(&tables, &protobuf, row, &one, &other));
        match checked {
            Ok(Ok(seen)) => seen.count(&mut tally),
            Ok(Err(why)) => panic!("seed {}: {}: {why}\none: {one}\nother: {other}", seed.wrapping_add(round), row.gvk.kind),
            Err(_) => panic!("seed {}: {} panicked\none: {one}\nother: {other}", seed.wrapping_add(round), row.gvk.kind),
        }
        tally.rounds += 1;
    }
    tally
}
