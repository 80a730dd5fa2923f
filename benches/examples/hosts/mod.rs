//! Shared by the examples `host_*`: arguments, turns in a race, tables, the memory of the process.
//!
//! Each prints tables, and after `--json` the same once more in its last line:
//! `{"host": …, "quick": …, "tables": [{"title": …, "columns": […], "rows": [[name, number…]…]}…]}`.
#![allow(dead_code, reason = "each example uses a part")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slab_testkit::{Contender, Results, race};

/// The heading of the names.
const CONTENDER: &str = "contender";

/// One run of one example.
pub struct Host {
    name: &'static str,
    /// A run of a second or two, which checks contents; its times mean little.
    pub quick: bool,
    json: bool,
    tables: Vec<Value>,
}

impl Host {
    /// Reads the arguments.
    pub fn new(name: &'static str) -> Self {
        let (mut quick, mut json) = (false, false);
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--quick" => quick = true,
                "--json" => json = true,
                _ => {
                    eprintln!("usage: {name} [--quick] [--json]");
                    std::process::exit(2);
                }
            }
        }
        Self { name, quick, json, tables: Vec::new() }
    }

    /// Returns the first in a quick run, else the second.
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Prints a table: names to the left, numbers to the right, and a dash for an unknown number.
    pub fn table(&mut self, title: &str, columns: &[&str], rows: &[(String, Vec<f64>)]) {
        println!("{title}");
        let names = rows.iter().map(|(name, _)| name.as_str()).chain([CONTENDER]);
        let width = names.map(str::len).max().unwrap_or(0);
        print!("{CONTENDER:width$}");
        columns.iter().for_each(|column| print!("  {column:>10}"));
        println!();
        for (name, numbers) in rows {
            print!("{name:width$}");
            for number in numbers {
                if number.is_nan() {
                    print!("  {:>10}", "-");
                    continue;
                }
                let decimals = match number {
                    number if number.fract() == 0.0 || *number >= 1000.0 => 0,
                    number if *number >= 10.0 => 1,
                    _ => 2,
                };
                print!("  {number:>10.decimals$}");
            }
            println!();
        }
        println!();
        let row = |(name, numbers): &(String, Vec<f64>)| {
            let mut row = vec![json!(name)];
            row.extend(numbers.iter().map(|number| json!(number)));
            row
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        self.tables.push(json!({ "title": title, "columns": columns, "rows": rows }));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.json && !std::thread::panicking() {
            let Self { name, quick, tables, .. } = self;
            println!("{}", json!({ "host": name, "quick": quick, "tables": tables }));
        }
    }
}

/// A contender and its turn.
pub struct Turn<'a> {
    name: String,
    work: Box<dyn FnMut() -> Duration + 'a>,
}

impl Contender<()> for Turn<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn round(&mut self, (): &()) -> Duration {
        (self.work)()
    }
}

/// Returns a turn that measures itself.
pub fn turn<'a>(
    name: impl Into<String>,
    work: impl FnMut() -> Duration + 'a,
) -> Box<dyn Contender<()> + 'a> {
    Box::new(Turn { name: name.into(), work: Box::new(work) })
}

/// Returns how long the work took.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Races the turns and makes a row of each: milliseconds, and the ratio to the one named.
pub fn rows(
    mut turns: Vec<Box<dyn Contender<()> + '_>>,
    rounds: usize,
    reference: &str,
) -> Vec<(String, Vec<f64>)> {
    let results: Results = race(&mut turns, &(), rounds).against(reference);
    let row = |name: &str| {
        let milliseconds = results.median(name).as_secs_f64() * 1e3;
        (name.to_owned(), vec![milliseconds, results.ratio(name).unwrap_or(f64::NAN)])
    };
    results.names().map(row).collect()
}

/// Returns mebibytes.
pub fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// Returns the bytes of this process that are in memory now and that were at most; zero where there is no `/proc`.
pub fn resident_bytes() -> (usize, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kibibytes.unwrap_or(0) * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Marsaglia's xorshift: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    /// Returns a number below `limit`, which is far below 2³².
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * limit as u64) >> 32) as usize
    }

    /// Returns a number below `limit`; the lower, the more frequent.
    pub fn skewed(&mut self, limit: usize) -> usize {
        let below = 1 + self.below(limit);
        self.below(below)
    }
}
