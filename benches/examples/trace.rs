//! Replays one embedded trace on one allocator, to count or profile its instructions:
//! `valgrind --tool=callgrind target/release/examples/trace slab-bytes git 10`.

use std::process::ExitCode;

use slab_lab::exec::{Heap, Idle, Region};
use slab_lab::{replay, trace};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [name, trace_name, replays] = arguments else {
        return Err("usage: trace ALLOCATOR TRACE REPLAYS".into());
    };
    let replays: u32 = replays.parse().map_err(|_| "the number of replays is no number")?;
    let trace = trace::embedded(trace_name).map_err(|error| error.to_string())?;
    let trace = trace.ok_or_else(|| format!("there is no trace `{trace_name}`"))?;
    let bytes = replay::region_bytes(&trace);
    let mut region = Region::new(bytes).map_err(|error| error.to_string())?;
    let peer = slab_peers::Contender::named(name);
    if peer.is_none() && name != slab_benches::HARNESS {
        return Err(format!("there is no allocator `{name}`"));
    }
    for _ in 0..replays {
        let outcome = match peer {
            Some(peer) => Heap::new(peer, &mut region, bytes).and_then(|heap| heap.run(&trace)),
            None => Heap::idle(&Idle::new(&trace, &mut region)).run(&trace),
        };
        outcome.map_err(|error| error.to_string())?;
    }
    Ok(())
}
