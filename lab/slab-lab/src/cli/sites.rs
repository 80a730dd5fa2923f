//! `sites`: which call sites allocate, keep memory, and leave it behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use inferno::flamegraph;

use super::LabError;
use super::args::{Measure, SitesArguments};
use super::output::print;
use super::table::{Cells, table};
use super::traces::named_contenders;
use crate::replay::pinned_bytes;
use crate::trace::{self, MOMENTS, OPERATIONS_MAX, SiteUse, Trace, call_site, site_uses};
use crate::words::{self, bytes};

/// The figures of all call stacks of one call site.
#[derive(Default, Clone)]
struct Site {
    uses: SiteUse,
    pinned_bytes: usize,
}

impl Site {
    fn add(&mut self, other: &SiteUse, pinned_bytes: usize) {
        let uses = &mut self.uses;
        uses.requests += other.requests;
        uses.bytes = uses.bytes.saturating_add(other.bytes);
        uses.churn_bytes = uses.churn_bytes.saturating_add(other.churn_bytes);
        uses.peak_bytes += other.peak_bytes;
        uses.left_blocks += other.left_blocks;
        uses.left_bytes += other.left_bytes;
        uses.live_bytes.resize(MOMENTS, 0);
        uses.live_bytes.iter_mut().zip(&other.live_bytes).for_each(|(sum, live)| *sum += live);
        self.pinned_bytes += pinned_bytes;
    }

    fn measure(&self, by: Measure) -> usize {
        match by {
            Measure::Bytes => self.uses.bytes,
            Measure::Requests => self.uses.requests,
            Measure::Churn => self.uses.churn_bytes,
            Measure::Peak => self.uses.peak_bytes,
            Measure::Pinned => self.pinned_bytes,
            Measure::Left => self.uses.left_bytes,
        }
    }
}

/// A recording with the figures of its call stacks, in their order, and of its call sites.
struct Analysis {
    trace: Trace,
    stacks: Vec<Site>,
    sites: BTreeMap<String, Site>,
    /// Why no pages are known to be pinned.
    failure: Option<String>,
}

pub(super) fn run(arguments: &SitesArguments) -> Result<ExitCode, LabError> {
    let before = Analysis::of(&arguments.file, &arguments.allocator)?;
    if let Some(file) = &arguments.flame {
        before.draw(arguments.by, file)?;
    }
    print(&match &arguments.after {
        None => before.text(arguments.by, arguments.top, &arguments.allocator),
        Some(after) => {
            let after = Analysis::of(after, &arguments.allocator)?;
            comparison(&before, &after, arguments.by, arguments.top)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Analysis {
    fn of(file: &Path, allocator: &str) -> Result<Self, LabError> {
        let trace = trace::open(file, OPERATIONS_MAX + 1)?;
        if trace.context().stacks().is_empty() {
            return Err(LabError::NoStacks { trace: trace.name().to_owned() });
        }
        let mut failure = None;
        let mut pinned = Vec::new();
        for contender in named_contenders(&[allocator.to_owned()])? {
            match pinned_bytes(&trace, contender)? {
                Ok(bytes) => pinned = bytes,
                Err(reason) => failure = Some(format!("{allocator} failed: {reason}")),
            }
        }
        let (mut stacks, mut sites) = (Vec::new(), BTreeMap::<String, Site>::new());
        for (stack, uses) in site_uses(&trace).into_iter().enumerate() {
            let pinned_bytes = pinned.get(stack).map_or(0, |&bytes| bytes as usize);
            let site = call_site(&trace, stack);
            sites.entry(site).or_default().add(&uses, pinned_bytes);
            stacks.push(Site { uses, pinned_bytes });
        }
        Ok(Self { trace, stacks, sites, failure })
    }

    fn text(&self, by: Measure, top: usize, allocator: &str) -> String {
        let mut sites: Vec<(&String, &Site)> = self.sites.iter().collect();
        sites.retain(|(_, site)| site.uses.requests > 0);
        sites.sort_by_key(|(_, site)| usize::MAX - site.measure(by));
        let head = [
            "call site",
            "requests",
            "bytes",
            "churn",
            "at the peak",
            "live over time",
            "pinned",
            "never freed",
        ];
        let rows = sites.iter().take(top).map(|(name, site)| {
            let uses = &site.uses;
            let left = match uses.left_blocks {
                0 => String::new(),
                blocks => {
                    format!("{} in {}", bytes(uses.left_bytes), words::counted(blocks, "block"))
                }
            };
            vec![
                name.to_string(),
                words::count(uses.requests),
                bytes(uses.bytes),
                bytes(uses.churn_bytes),
                bytes(uses.peak_bytes),
                curve(&uses.live_bytes),
                bytes(site.pinned_bytes),
                left,
            ]
        });
        let rows: Vec<Cells> = rows.collect();
        let more = match sites.len() - rows.len() {
            0 => String::new(),
            more => format!("{} not shown; see --top.\n", words::counted(more, "call site")),
        };
        let failure = self.failure.iter().map(|failure| format!("Pinned: {failure}.\n"));
        format!(
            "{}: {}, at most {} live\n{}\n{more}{}Churn: freed within 1,000 requests. Pinned: the empty \
             bytes of pages in use on {allocator}, on average, divided among the blocks on each page.\n",
            self.trace.name(),
            words::counted(self.trace.ops().len(), "request"),
            bytes(self.trace.peak_live_bytes()),
            table(&head, rows),
            failure.collect::<String>(),
        )
    }

    /// Writes a flame graph of one measure.
    fn draw(&self, by: Measure, file: &Path) -> Result<(), LabError> {
        let stacks = self.trace.context().stacks();
        let lines = self.stacks.iter().enumerate().filter(|(_, site)| site.measure(by) > 0);
        let lines: Vec<String> = lines
            .map(|(stack, site)| {
                let frames: Vec<String> =
                    stacks.frames(stack).rev().map(|frame| frame.replace(';', ":")).collect();
                let frames =
                    if frames.is_empty() { "(unknown)".to_owned() } else { frames.join(";") };
                format!("{frames} {}", site.measure(by))
            })
            .collect();
        let mut options = flamegraph::Options::default();
        options.title = format!("{}: {by:?} by call stack", self.trace.name());
        options.count_name = match by {
            Measure::Requests => "requests".to_owned(),
            _ => "bytes".to_owned(),
        };
        let write = |error| LabError::Write { file: file.to_owned(), error };
        let to = File::create(file).map_err(write)?;
        let drawn = flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), to);
        drawn.map_err(|error| write(std::io::Error::other(error)))
    }
}

/// Lays out the differences between two recordings, the largest first.
fn comparison(before: &Analysis, after: &Analysis, by: Measure, top: usize) -> String {
    let mut names: Vec<&String> = before.sites.keys().chain(after.sites.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let measure = |analysis: &Analysis, name: &str| {
        analysis.sites.get(name).map_or(0, |site| site.measure(by))
    };
    let pairs = names.iter().map(|name| (*name, measure(before, name), measure(after, name)));
    let mut pairs: Vec<_> = pairs.filter(|(_, before, after)| before != after).collect();
    pairs.sort_by_key(|(_, before, after)| usize::MAX - before.abs_diff(*after));
    let shown = |count: usize| match by {
        Measure::Requests => words::count(count),
        _ => bytes(count),
    };
    let rows = pairs.iter().take(top).map(|&(name, before, after)| {
        let sign = if after > before { "+" } else { "-" };
        let change = format!("{sign}{}", shown(before.abs_diff(after)));
        vec![name.clone(), shown(before), shown(after), change]
    });
    let head = ["call site", "before", "after", "change"];
    let sum = |analysis: &Analysis| analysis.sites.values().map(|site| site.measure(by)).sum();
    let (all_before, all_after): (usize, usize) = (sum(before), sum(after));
    format!(
        "{by:?}: {} before, {} after\n{}\n",
        shown(all_before),
        shown(all_after),
        table(&head, rows.collect())
    )
}

/// Draws numbers as a line of characters, the largest as a full block.
fn curve(values: &[usize]) -> String {
    const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    values.iter().map(|&value| LEVELS[(value * 8).div_ceil(most)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_reaches_from_empty_to_full() {
        assert_eq!(curve(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(curve(&[0, 0]), "  ");
    }
}
