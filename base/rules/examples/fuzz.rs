//! `cargo xtask fuzz`: rounds of mutated objects, and what hostile input costs by kind of request. Ends with 1 if anything is not as it must be.
#![allow(clippy::unwrap_used)]

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

use std::process::ExitCode;

/// As in the binary: docs/adr/0008-allocator.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// CPU of 1 MB of hostile input, in seconds.
const CPU_S_MAX: f64 = 0.25;
/// What twice the input may cost, of that.
const TWICE_MAX: f64 = 2.5;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut number = |otherwise| words.next().map_or(otherwise, |text| text.parse().expect("arguments: ROUNDS SEED [HOSTILE]"));
    let (rounds, seed) = (number(100_000), number(1));
    let only = words.next().unwrap_or_default();
    let tally = fuzz::play(seed, rounds);
    println!(
        "{} rounds of {} kinds from seed {seed}: {} objects taken, {} of them by protobuf; {} pairs merged, {} applied: nothing wrong",
        tally.rounds, tally.kinds, tally.taken, tally.protobuf, tally.merged, tally.applied
    );
    let tables = irori_api::row::Tables::builtin();
    let mut dear = 0;
    for hostile in fuzz::hostile::all().iter().filter(|hostile| hostile.name.starts_with(&only)) {
        for request in fuzz::hostile::REQUESTS {
            // The least of three: the first of its size also pays for memory.
            let cost = |bytes: usize| {
                let (input, bigger) = (hostile.of_size(bytes), hostile.of_size(bytes + bytes / 16));
                let stored = hostile.stored(&tables, request, &bigger);
                let once = |_| {
                    let before = cpu_s();
                    hostile.answer(&tables, request, &stored, &input);
                    cpu_s() - before
                };
                (0..3).map(once).fold(f64::MAX, f64::min)
            };
            let (one, two) = (cost(1 << 20), cost(2 << 20));
            let ratio = two / one.max(1e-9);
            // Of what costs less as a whole than 1 MB may, the ratio says more of caches than of the work.
            let wrong = one > CPU_S_MAX || (two > CPU_S_MAX && ratio > TWICE_MAX);
            dear += usize::from(wrong);
            println!(
                "{:32} {:16} {:7.1} ms {:7.1} ms  x {ratio:.2}{}",
                hostile.name,
                format!("{request:?}"),
                one * 1e3,
                two * 1e3,
                if wrong { "  TOO DEAR" } else { "" }
            );
        }
    }
    if dear == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// CPU that this thread has used, in seconds.
fn cpu_s() -> f64 {
    let used = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    std::time::Duration::from(used).as_secs_f64()
}
