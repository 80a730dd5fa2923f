//! Byte allocators: `cargo bench -p slab-benches --bench bytes [-- ROUNDS] [patterns | traces]`.
//!
//! Hot pairs and batches on one long-lived heap, then every embedded trace of the lab on a fresh heap
//! a round. All contenders take turns in one process; the ratio is to talc.

use slab_benches::{Entrant, HARNESS, Pattern, Replayer, Work};
use slab_lab::trace::{Trace, embedded, embedded_names};
use slab_testkit::{Contender, race};

const REGION_BYTES: usize = 64 << 20;
/// Rounds are short and many: on a machine with other work, a long round is rarely undisturbed.
const PAIRS: usize = 20_000;
const ROUNDS: usize = 101;
/// Rounds of a trace, which is long.
const TRACE_ROUNDS: usize = 21;

const PATTERNS: [Pattern; 5] = [
    Pattern::HotPair { size: 64 },
    Pattern::Batch { size: 64, count: 1000 },
    Pattern::Batch { size: 400, count: 1000 },
    Pattern::HotPair { size: 10_000 },
    Pattern::Batch { size: 10_000, count: 1000 },
];

/// Left out of the traces: the first takes minutes on some of them, the second is not built for speed.
const NOT_ON_TRACES: [&str; 2] = ["linked_list_allocator", "slab-bytes/hardened"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok());
    let is_alone = |part: &str| arguments.iter().any(|argument| argument == part);
    if !is_alone("traces") {
        patterns(rounds.unwrap_or(ROUNDS));
    }
    if !is_alone("patterns") {
        traces(rounds.unwrap_or(TRACE_ROUNDS));
    }
}

fn patterns(rounds: usize) {
    for pattern in PATTERNS {
        let mut entrants: Vec<Box<dyn Contender<Work>>> = vec![Box::new(Entrant::harness())];
        for peer in slab_peers::contenders() {
            entrants.push(Box::new(Entrant::new(peer, REGION_BYTES)));
        }
        let results = race(&mut entrants, &(pattern, PAIRS), rounds).less(HARNESS).against("talc");
        println!("{}\n{}", pattern.title(), results.table(PAIRS as u64));
    }
}

fn traces(rounds: usize) {
    for name in embedded_names() {
        let trace = embedded(name).expect("embedded traces are whole").expect("it was listed");
        let peers = slab_peers::contenders().iter();
        let on_traces = peers.filter(|peer| !NOT_ON_TRACES.contains(&peer.name())).map(Some);
        let mut replayers: Vec<Box<dyn Contender<Trace>>> = Vec::new();
        for peer in on_traces.chain([None]) {
            replayers.push(Box::new(Replayer::new(peer, &trace)));
        }
        let results = race(&mut replayers, &trace, rounds).less(HARNESS).against("talc");
        println!("trace {name}, ns per operation\n{}", results.table(trace.ops().len() as u64));
    }
}
