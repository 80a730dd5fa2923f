//! The commands that measure the figures.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use slab_lab::machine;

use crate::record::{Printed, Record, Section, sections_of};
use crate::{Outcome, root};

/// A command that measures something, and the facts that belong to its figures.
pub struct Source {
    pub name: &'static str,
    /// As typed in the root of the repository.
    pub command: &'static str,
    /// Rival crates, whose versions are shown.
    rivals: &'static [&'static str],
    left_out: &'static str,
    /// Reads the sections of the output.
    read: fn(&str) -> Outcome<Printed>,
}

const HEAPS: &[&str] =
    &["talc", "rlsf", "buddy_system_allocator", "linked_list_allocator", "dlmalloc", "axallocator"];

pub const SOURCES: &[Source] = &[
    Source {
        name: "replay",
        command: "cargo run --release -- replay --arena --json",
        rivals: HEAPS,
        left_out: "threads (one replays the requests of all), and the program's work between two requests, \
                   so CPU caches are warmer than in a real run",
        read: replayed,
    },
    Source {
        name: "bytes",
        command: "cargo bench -p slab-benches --bench bytes -- patterns",
        rivals: HEAPS,
        left_out: "threads, and programs, which `cargo run --release` replays",
        read: printed,
    },
    Source {
        name: "space",
        command: "cargo bench -p slab-benches --bench space",
        rivals: HEAPS,
        left_out: "time; linked_list_allocator, which takes minutes, and axallocator, which takes whole pages",
        read: printed,
    },
    Source {
        name: "slots",
        command: "cargo bench -p slab-benches --bench slots",
        rivals: &[],
        left_out: "the `RefCell` of the segments, which the system's allocator does not need, is not subtracted",
        read: printed,
    },
    Source {
        name: "typed",
        command: "cargo bench -p slab-benches --bench typed",
        rivals: &["slab", "slotmap", "thunderdome", "generational-arena", "stable-vec"],
        left_out: "threads; nothing is subtracted",
        read: printed,
    },
    Source {
        name: "cache",
        command: "cargo bench -p slab-benches --bench cache",
        rivals: &["attachable-slab-allocator", "mimalloc", "plurality"],
        left_out: "more threads than the machine has cores; time is that of the threads on the processor, and \
                   nothing is subtracted",
        read: printed,
    },
    Source {
        name: "pool",
        command: "cargo bench -p slab-benches --bench pool",
        rivals: &["mimalloc", "zeropool", "object-pool", "lockfree-object-pool", "opool"],
        left_out: "more threads than the machine has cores, and whatever is done with a buffer; the rivals that \
                   pool objects have no size class to find",
        read: printed,
    },
    Source {
        name: "binned",
        command: "cargo bench -p slab-benches --bench binned",
        rivals: &["cjc-runtime"],
        left_out: "snapshots and replays",
        read: printed,
    },
    Source {
        name: "binned_rollback",
        command: "cargo bench -p slab-benches --bench binned_rollback",
        rivals: &[],
        left_out: "the program between a checkpoint and a rollback",
        read: printed,
    },
    Source {
        name: "shared",
        command: "cargo bench -p slab-benches --bench shared",
        rivals: &["sharded-slab"],
        left_out: "more threads than the machine has cores; nothing is subtracted",
        read: printed,
    },
    Source {
        name: "host_collections",
        command: "cargo run --release -p slab-benches --example host_collections",
        rivals: &["hashbrown", "bumpalo", "talc"],
        left_out: "threads",
        read: printed,
    },
    Source {
        name: "host_axallocator",
        command: "cargo run --release -p slab-benches --example host_axallocator",
        rivals: &["axalloc", "axallocator"],
        left_out: "the kernel around its heap, and other processors",
        read: printed,
    },
    Source {
        name: "host_http",
        command: "cargo run --release -p slab-benches --example host_http",
        rivals: &["hyper", "bytes"],
        left_out: "a network, and clients of another machine",
        read: printed,
    },
    Source {
        name: "host_json",
        command: "cargo run --release -p slab-benches --example host_json",
        rivals: &["serde_json", "mimalloc"],
        left_out: "more threads than two, and a process that has been running for a while",
        read: printed,
    },
    Source {
        name: "count",
        command: "benches/count.sh",
        rivals: HEAPS,
        left_out: "time: an instruction may take none or a hundred cycles",
        read: printed,
    },
    Source {
        name: "count_handles",
        command: "benches/count_handles.sh",
        rivals: &["slab"],
        left_out: "the loop around the call",
        read: printed,
    },
    Source {
        name: "count_cache",
        command: "benches/count_cache.sh",
        rivals: &[],
        left_out: "threads, and the loop around the pair",
        read: printed,
    },
    Source {
        name: "count_pool",
        command: "benches/count_pool.sh",
        rivals: &["mimalloc"],
        left_out: "threads, and the loop around the pair",
        read: printed,
    },
    Source {
        name: "count_binned",
        command: "benches/count_binned.sh",
        rivals: &["cjc-runtime"],
        left_out: "other sizes",
        read: printed,
    },
    Source {
        name: "worst",
        command: "benches/worst.sh",
        rivals: HEAPS,
        left_out: "other ways to fragment a heap; cache misses",
        read: printed,
    },
    Source {
        name: "code_size",
        command: "benches/code_size.sh",
        rivals: &["talc", "rlsf"],
        left_out: "adapters and locks, and everything but alloc and dealloc",
        read: printed,
    },
];

/// Builds everything before anything is timed.
pub fn build(sources: &[&Source]) -> Outcome<()> {
    let uses = |what: &str| sources.iter().any(|source| source.command.contains(what));
    let mut builds = Vec::new();
    if uses("cargo run") {
        builds.push("cargo build --release");
    }
    if uses("cargo bench") {
        builds.push("cargo bench -p slab-benches --no-run");
    }
    if uses("benches/") || uses("--example") {
        builds.push("cargo build --release -p slab-benches --examples");
    }
    for build in builds {
        println!("{build}");
        let status = command(build).arg("--quiet").status()?;
        if !status.success() {
            return Err(format!("{build}: {status}").into());
        }
    }
    Ok(())
}

/// Draws the heap over time that the README shows.
pub fn draw() -> Outcome<()> {
    let draw = "cargo run --release --quiet -- plot --trace lua -o docs";
    let output = command(draw).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{draw}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("no command is empty"));
    command.args(words).current_dir(root());
    command
}

impl Source {
    /// Runs the command and reads what it prints.
    pub fn run(&self) -> Outcome<Record> {
        // The kernel is left out to keep the lines short.
        let machine = machine::describe();
        let parts = machine.split(", ").filter(|part| !part.starts_with("kernel "));
        let (machine, date) = (parts.collect::<Vec<_>>().join(", "), machine::now());
        let start = Instant::now();
        let output = command(self.command).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().take(5).collect::<Vec<_>>();
            return Err(format!(
                "{}\n{}",
                output.status,
                last.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
            .into());
        }
        let text = String::from_utf8(output.stdout)?;
        let (sections, notes) = (self.read)(&text)?;
        if sections.is_empty() {
            return Err(format!("there is no table in what it printed: {}", text.trim()).into());
        }
        Ok(Record {
            command: self.command.to_owned(),
            date,
            seconds: start.elapsed().as_secs(),
            machine,
            rustc: machine::RUSTC.to_owned(),
            versions: self.versions()?,
            left_out: self.left_out.to_owned(),
            sections,
            notes,
        })
    }

    /// Returns the versions of the rivals in the lock file, the highest if there are several. A package without a
    /// source is a crate of this workspace, even under a rival's name.
    fn versions(&self) -> Outcome<BTreeMap<String, String>> {
        let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
        let value = |package: &str, key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_matches('"').to_owned())
        };
        let mut versions = BTreeMap::new();
        for package in lock.split("\n\n") {
            if let (Some(name), Some(version), Some(_)) = (
                value(package, "name = "),
                value(package, "version = "),
                value(package, "source = "),
            ) && self.rivals.contains(&&*name)
            {
                versions.insert(name, version);
            }
        }
        match self.rivals.iter().find(|rival| !versions.contains_key(**rival)) {
            Some(rival) => Err(format!("Cargo.lock has no {rival}").into()),
            None => Ok(versions),
        }
    }
}

fn printed(text: &str) -> Outcome<Printed> {
    Ok(sections_of(text))
}

/// The JSON of `slab-lab replay`: a section for each trace.
fn replayed(text: &str) -> Outcome<Printed> {
    let report: serde_json::Value = serde_json::from_str(text)?;
    let number = |value: &serde_json::Value| {
        value.as_f64().map_or("-".into(), |number| format!("{number:.3}"))
    };
    let size =
        |value: &serde_json::Value| value.as_u64().map_or("-".into(), |bytes| bytes.to_string());
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let sections = list(&report["traces"]).into_iter().map(|trace| {
        let head =
            ["contender", "ns/op", "footprint", "arena", "status"].map(str::to_owned).to_vec();
        let rows = list(&trace["results"]).into_iter().map(|result| {
            vec![
                result["allocator"].as_str().unwrap_or_default().to_owned(),
                number(&result["ns_per_op"]),
                size(&result["footprint_bytes"]),
                size(&result["smallest_arena_bytes"]),
                result["status"].as_str().unwrap_or_default().to_owned(),
            ]
        });
        Section {
            title: trace["trace"].as_str().unwrap_or_default().to_owned(),
            rows: [head].into_iter().chain(rows).collect(),
        }
    });
    Ok((sections.collect(), Vec::new()))
}
