//! Runs one pattern on one allocator, to count its instructions:
//! `valgrind --tool=callgrind target/release/examples/pairs slab-bytes hot 64 100000`.
//!
//! Run it with two numbers of pairs; the difference is what the pairs cost.

use std::process::ExitCode;

use slab_benches::{Entrant, Pattern};
use slab_testkit::Contender;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, pattern, pairs)) = parse(&arguments) else {
        eprintln!("usage: pairs ALLOCATOR hot|batch SIZE PAIRS");
        return ExitCode::from(2);
    };
    let mut entrant = match slab_peers::Contender::named(name) {
        Some(peer) => Entrant::new(peer, 64 << 20),
        None if name == slab_benches::HARNESS => Entrant::harness(),
        None => {
            eprintln!("there is no allocator `{name}`");
            return ExitCode::from(2);
        }
    };
    entrant.round(&(pattern, pairs));
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<(&str, Pattern, usize)> {
    let [name, pattern, size, pairs] = arguments else { return None };
    let size = size.parse().ok()?;
    let pattern = match pattern.as_str() {
        "hot" => Pattern::HotPair { size },
        "batch" => Pattern::Batch { size, count: 1000 },
        _ => return None,
    };
    Some((name, pattern, pairs.parse().ok()?))
}
