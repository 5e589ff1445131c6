//! `cargo xtask fuzz`: rounds of mutated objects, and what hostile input costs. Ends with 1 if anything is not as it must be.
#![allow(clippy::unwrap_used)]

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

use std::process::ExitCode;

/// CPU of 1 MB of hostile input, in seconds.
const CPU_S_MAX: f64 = 0.25;
/// What twice the input may cost, of that.
const TWICE_MAX: f64 = 2.5;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("arguments: ROUNDS SEED"));
    let (rounds, seed) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(1));
    let tally = fuzz::play(seed, rounds);
    println!(
        "{} rounds of {} kinds from seed {seed}: {} objects taken, {} of them by protobuf; {} pairs merged, {} applied: nothing wrong",
        tally.rounds, tally.kinds, tally.taken, tally.protobuf, tally.merged, tally.applied
    );
    let tables = irori_api::row::Tables::builtin();
    let mut dear = 0;
    for hostile in fuzz::hostile::all() {
        // The least of three: the first of its size also pays for memory.
        let cost = |bytes: usize| {
            let input = hostile.of_size(bytes);
            let once = |_| {
                let before = cpu_s();
                hostile.through(&tables, &input);
                cpu_s() - before
            };
            (0..3).map(once).fold(f64::MAX, f64::min)
        };
        let (one, two) = (cost(1 << 20), cost(2 << 20));
        let ratio = two / one.max(1e-9);
        // Below a millisecond a ratio says nothing.
        let wrong = one > CPU_S_MAX || (one > 0.001 && ratio > TWICE_MAX);
        dear += usize::from(wrong);
        println!(
            "{:32} {:7.1} ms {:7.1} ms  x {ratio:.2}{}",
            hostile.name,
            one * 1e3,
            two * 1e3,
            if wrong { "  TOO DEAR" } else { "" }
        );
    }
    if dear == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// CPU that this thread has used, in seconds.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
