//! The arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::record::Recorder;
use crate::replay::Measures;

const INSTALLATION: &str = "\
Installing a recorder:
  Debian, Ubuntu   sudo apt install heaptrack       or   sudo apt install valgrind
  Fedora, RHEL     sudo dnf install heaptrack       or   sudo dnf install valgrind
  Arch             sudo pacman -S heaptrack         or   sudo pacman -S valgrind
  openSUSE         sudo zypper install heaptrack    or   sudo zypper install valgrind
  Alpine           sudo apk add heaptrack           or   sudo apk add valgrind
  NixOS            nix-shell -p heaptrack           or   nix-shell -p valgrind
  FreeBSD          pkg install heaptrack            or   pkg install valgrind
  macOS, Windows   record on Linux, in a container, a virtual machine or WSL, and bring the file

Examples:
  slab-lab record -- ./server --port 8080
  slab-lab record --with valgrind --keep run.slabtrace -o run.html -- python3 -S job.py";

/// Replays the allocations of real programs over every allocator and compares them.
#[derive(Debug, Parser)]
#[command(version)]
pub(super) struct Arguments {
    /// List the embedded traces and the allocators, and do nothing else
    #[arg(long, global = true)]
    pub(super) list: bool,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Time the allocators on recordings; without arguments, on all embedded ones
    Replay(ReplayArguments),
    /// Find the smallest region in which each allocator runs each recording, by bisection
    #[command(visible_alias = "space")]
    Arena(ArenaArguments),
    /// Replay recordings on several threads, on thread-safe heaps and on others behind a lock
    Threads(ThreadsArguments),
    /// Show which call sites allocate, keep memory, and leave it behind
    ///
    /// Needs a recording with call stacks: `record --stacks --keep FILE -- PROGRAM`.
    Sites(SitesArguments),
    /// Count the instructions of a request with valgrind's callgrind; noise does not change them
    Count(CountArguments),
    /// Replay recordings and write one HTML page: speed, memory, and what to take or keep
    Report(ReportArguments),
    /// Run a program and record it, then report on its requests
    ///
    /// The program keeps its terminal, its input and its output. Ctrl-C ends the program but not the
    /// recording. If the program fails, nothing is replayed and its exit code is passed on.
    #[command(after_long_help = INSTALLATION)]
    Record(RecordArguments),
    /// Draw the heap over time, one SVG file per trace and allocator
    Plot(PlotArguments),
    /// Turn a recording of heaptrack or valgrind into a small trace file
    Import(ImportArguments),
    /// Show what recordings consist of; without arguments, the embedded ones
    Info(InfoArguments),
    /// Run one contender; started by the other commands
    #[command(hide = true)]
    Worker(WorkerArguments),
}

impl Default for Command {
    fn default() -> Self {
        Self::Replay(ReplayArguments::default())
    }
}

/// The recordings a command works on.
#[derive(Debug, Default, Args)]
pub(super) struct TraceArguments {
    /// Recordings: heaptrack raw, valgrind --trace-malloc, or trace files; .gz and .zst too
    pub(super) files: Vec<PathBuf>,
    /// Use this embedded trace; may be repeated
    #[arg(long = "trace", value_name = "NAME")]
    pub(super) embedded: Vec<String>,
    /// Use only the first requests of each recording, at least one
    #[arg(long, value_name = "REQUESTS", value_parser = at_least_one)]
    pub(super) first: Option<usize>,
}

/// The recordings and the allocators of a replay.
#[derive(Debug, Default, Args)]
pub(super) struct Selection {
    #[command(flatten)]
    pub(super) traces: TraceArguments,
    /// Run only this allocator; may be repeated
    #[arg(long = "allocator", value_name = "NAME")]
    pub(super) allocators: Vec<String>,
}

/// The recordings and allocators of a replay, and the form of its results.
#[derive(Debug, Default, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Default, Args)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    pub(super) run: RunArguments,
    /// Timed rounds [default: 11]
    #[arg(long)]
    pub(super) rounds: Option<u32>,
    /// Three rounds, for a first look
    #[arg(long, conflicts_with = "rounds")]
    pub(super) quick: bool,
    /// Also find the smallest region in which each allocator runs each recording
    #[arg(long)]
    pub(super) arena: bool,
}

impl ReplayArguments {
    pub(super) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 11 })
    }
}

#[derive(Debug, Args)]
pub(super) struct ArenaArguments {
    #[command(flatten)]
    pub(super) run: RunArguments,
    /// Also run each recording with all blocks 8 and 24 bytes larger: a heap should not depend on
    /// the exact sizes
    #[arg(long)]
    pub(super) perturb: bool,
}

#[derive(Debug, Args)]
pub(super) struct SitesArguments {
    /// A recording with call stacks
    pub(super) file: PathBuf,
    /// Compare with this recording: the first one is before, this one after
    #[arg(long, value_name = "FILE")]
    pub(super) after: Option<PathBuf>,
    /// Sort by this
    #[arg(long, default_value = "bytes")]
    pub(super) by: Measure,
    /// Show so many call sites
    #[arg(long, default_value_t = 20)]
    pub(super) top: usize,
    /// Replay on this allocator to see which pages are pinned
    #[arg(long, value_name = "NAME", default_value = "slab-bytes")]
    pub(super) allocator: String,
    /// Also write a flame graph
    #[arg(long, value_name = "FILE")]
    pub(super) flame: Option<PathBuf>,
}

/// The figures of a call site.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Measure {
    /// Bytes of all requests
    Bytes,
    /// Number of requests
    Requests,
    /// Bytes that are freed soon
    Churn,
    /// Bytes that are live at the peak
    Peak,
    /// Empty bytes of pages that its blocks keep in use
    Pinned,
    /// Bytes that are never freed
    Left,
}

#[derive(Debug, Args)]
pub(super) struct ThreadsArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Let each of so many threads make all requests
    /// [default: the threads of the recording; if it has one, 2]
    #[arg(long, value_name = "THREADS", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) copies: Option<u32>,
    /// Timed rounds
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: u32,
}

#[derive(Debug, Args)]
pub(super) struct CountArguments {
    #[command(flatten)]
    pub(super) run: RunArguments,
}

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) options: ReportOptions,
}

/// The options of a report.
#[derive(Debug, Args)]
pub(super) struct ReportOptions {
    /// The HTML file that is written
    #[arg(long, short, value_name = "FILE", default_value = "report.html")]
    pub(super) output: PathBuf,
    /// Timed rounds
    #[arg(long, default_value_t = 11)]
    pub(super) rounds: u32,
    /// Three rounds and no smallest regions, for a first look
    #[arg(long, conflicts_with = "rounds")]
    pub(super) quick: bool,
}

impl ReportOptions {
    pub(super) fn measures(&self) -> Measures {
        match self.quick {
            true => Measures { rounds: 3, arena: false },
            false => Measures { rounds: self.rounds, arena: true },
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    /// Use this recorder: slab-record, a part of this program, is fast and sees the most; heaptrack is
    /// fast, valgrind sees alignments and reallocs
    /// [default: slab-record on 64-bit Linux, else heaptrack if it is installed, else valgrind]
    #[arg(long, value_name = "RECORDER")]
    pub(super) with: Option<With>,
    /// Keep the recording as a trace file too, for `report` and `replay`; also if the program crashes
    #[arg(long, value_name = "FILE")]
    pub(super) keep: Option<PathBuf>,

    /// Record call stacks too, by frame pointers, for `sites`; only with slab-record
    #[arg(long)]
    pub(super) stacks: bool,
    /// Use only the first requests of the recording, at least one
    #[arg(long, value_name = "REQUESTS", value_parser = at_least_one)]
    pub(super) first: Option<usize>,
    /// Run only this allocator; may be repeated
    #[arg(long = "allocator", value_name = "NAME")]
    pub(super) allocators: Vec<String>,
    #[command(flatten)]
    pub(super) options: ReportOptions,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub(super) program: Vec<OsString>,
}

/// The names of the recorders on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum With {
    SlabRecord,
    Heaptrack,
    Valgrind,
}

impl From<With> for Recorder {
    fn from(with: With) -> Self {
        match with {
            With::SlabRecord => Self::SlabRecord,
            With::Heaptrack => Self::Heaptrack,
            With::Valgrind => Self::Valgrind,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct PlotArguments {
    #[command(flatten)]
    pub(super) traces: TraceArguments,
    /// Draw this allocator; may be repeated
    #[arg(long = "allocator", value_name = "NAME", default_value = "slab-bytes")]
    pub(super) allocators: Vec<String>,
    /// The directory for the drawings
    #[arg(long, short, value_name = "DIRECTORY", default_value = ".")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The recording
    pub(super) file: PathBuf,
    /// The trace file [default: the recording's name, .slabtrace]
    #[arg(long, short)]
    pub(super) output: Option<PathBuf>,
    /// The trace's name [default: the recording's, without extensions]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Keep only the first requests, at least one
    #[arg(long, value_name = "REQUESTS", value_parser = at_least_one)]
    pub(super) first: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct InfoArguments {
    #[command(flatten)]
    pub(super) traces: TraceArguments,
}

#[derive(Debug, Args)]
pub(super) struct WorkerArguments {
    pub(super) contender: String,
}

/// Reads a number of requests. None at all would replay nothing.
fn at_least_one(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| format!("{text} is not a number"))?;
    if number > 0 { Ok(number) } else { Err("at least 1 request is needed".to_owned()) }
}
