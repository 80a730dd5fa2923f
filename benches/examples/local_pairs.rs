//! Runs one pattern on one heap for many threads, to count its instructions: `benches/count_local.sh`.
//!
//! `local_pairs HEAP pair|batch|churn PAIRS`

#[path = "../local_work/mod.rs"]
mod local_work;

use local_work::{Work, with_heap};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, work, pairs] = &arguments[..] else { panic!("local_pairs HEAP WORK PAIRS") };
    let work = Work::named(work).expect("pair, batch or churn");
    let pairs: usize = pairs.parse().expect("a number of pairs");
    local_work::start();
    with_heap!(name.as_str(), heap => work.run(heap, pairs, 42));
}
