//! The tables of the documentation, as Markdown.
//!
//! The content of each block is here; the layout of tables is in `tables`.

use std::fmt::Write as _;

use crate::record::{Record, Records, Section};
use crate::tables::{as_it_is, geometric_mean, over, owned, sentence, table, versus};

/// Returns a block for a page; `None` if the name is unknown.
pub fn block(name: &str, records: &Records) -> Option<String> {
    let of = |source: &str, write: fn(&Record) -> String| {
        let Some(record) = records.get(source) else { return "*Not measured yet.*\n".to_owned() };
        write(record)
    };
    let measured = |source: &str, write: fn(&Record) -> String| {
        let origin = records.get(source).map_or_else(String::new, origin);
        format!("{}\n{origin}", of(source, write))
    };
    let counted =
        |source: &str| measured(source, |record| record.sections.iter().map(as_it_is).collect());
    Some(match name {
        "speed" => measured("replay", |record| speed(record, "docs/figures")),
        "replay" => measured("replay", |record| {
            format!("{}\n{}\n{}", speed(record, "figures"), memory(record), means(record))
        }),
        "heaps" => {
            let origin = records.get("replay").map_or_else(String::new, origin);
            let besides = "; instructions from `benches/count.sh`, code from `benches/code_size.sh`. Left out";
            format!("{}\n{}", heaps(records), origin.replacen(". Left out", besides, 1))
        }
        "bytes" => measured("bytes", |record| {
            versus(&record.sections, &["slab-bytes", "slab-bytes/unchecked", "slab-bytes/hardened"])
        }),
        "bytes-programs" => measured("replay", |record| programs(record, "slab-bytes")),
        "space" => measured("space", |record| {
            let titled = |section: &Section| {
                format!("*{}*\n\n{}", sentence(&section.title), as_it_is(section))
            };
            let mut text = record.sections.iter().map(titled).collect::<Vec<_>>().join("\n");
            text.push('\n');
            for start in [
                "smallest region that is accepted: ",
                "fill with one size, free, ask for another: ",
            ] {
                let end = record.note(start).unwrap_or("?");
                _ = writeln!(text, "- {}{end}.", sentence(start));
            }
            text
        }),
        "host_collections" | "host_axallocator" | "host_http" | "host_json" | "binned_rollback"
        | "shared" => measured(name, |record| {
            let titled = |section: &Section| {
                format!("*{}*\n\n{}", sentence(&section.title), as_it_is(section))
            };
            record.sections.iter().map(titled).collect::<Vec<_>>().join("\n")
        }),
        "slots" => measured("slots", slots),
        "typed" => measured("typed", |record| {
            let others = ["slotmap", "thunderdome", "generational-arena"];
            format!(
                "*Over `slab`*\n\n{}\n*Over the fastest of slotmap, thunderdome and generational-arena, whose keys have \
                 generations too*\n\n{}\n{}\n",
                handles(record, &["slab"]),
                handles(record, &others),
                record.note("bytes per u64: ").map_or_else(String::new, |bytes| format!(
                    "A million `u64` take {bytes} bytes each, directory included."
                )),
            )
        }),
        "handles" => measured("typed", rivals_of_handles),
        "cache" => measured("cache", |record| {
            let is_crowd =
                |section: &&Section| section.title.contains("threads, alloc + drop each");
            let (crowds, others): (Vec<&Section>, Vec<&Section>) =
                record.sections.iter().partition(is_crowd);
            let ours = [
                "slab-cache",
                "slab-cache, unchecked",
                "slab-cache, spin",
                "slab-cache, parking_lot",
                "slab-cache, thread caches",
                "SlabRc",
                "SlabArc, thread caches",
            ];
            let mut text = versus(others, &ours);
            text.push('\n');
            for crowd in crowds {
                text += &scaling(crowd);
            }
            let beyond = record.notes.iter().filter(|note| note.contains("% beyond them"));
            let beyond: Vec<&str> = beyond.map(String::as_str).collect();
            let _ = writeln!(text, "\nMemory asked for: {}.", beyond.join("; "));
            text
        }),
        "pool" => measured("pool", |record| {
            let is_threads = |section: &&Section| section.title.starts_with("threads on their own");
            let others = record.sections.iter().filter(|section| !is_threads(section));
            let ours =
                ["slab-pool, clean", "slab-pool, unzeroed", "slab-pool, for write", "slab-pool"];
            let mut text = versus(others, &ours);
            let has = |note: &&String, words: &[&str]| words.iter().any(|word| note.contains(word));
            let speeds: Vec<_> =
                record.notes.iter().filter(|note| has(note, &["in times of one thread"])).collect();
            text += "\nThreads on their own buffers, in times of what one thread does:\n\n";
            speeds.iter().for_each(|speed| {
                let speed = speed.replace(", in times of one thread", "").replace(" x ", " × ");
                _ = writeln!(text, "- {speed}");
            });
            let held: Vec<&str> = record
                .notes
                .iter()
                .filter(|note| {
                    has(note, &["in a burst", "after it", "after two decays", "after trim"])
                })
                .map(String::as_str)
                .collect();
            let limit = record.note("bytes held, limit ").unwrap_or("?");
            let _ = writeln!(text, "\nBytes held, with a limit of {limit}: {}.", held.join(", "));
            text
        }),
        "binned" => measured("binned", |record| {
            let is_pairs = |section: &&Section| section.title.contains("ratio to cjc-runtime");
            let mut text = pairs(record.sections.iter().filter(is_pairs));
            let growth = record
                .notes
                .iter()
                .filter(|note| note.contains(" to 1") && note.contains("at most"));
            text.push('\n');
            growth.for_each(|note| _ = writeln!(text, "- {note}"));
            text
        }),
        "count" | "count_handles" | "count_cache" | "count_pool" | "worst" | "code_size" => {
            counted(name)
        }
        "count_binned" => measured("count_binned", |record| {
            record.sections.iter().map(|section| as_it_is(section) + "\n").collect()
        }),
        "runs" => runs(records),
        _ => return None,
    })
}

/// Returns the line that says where figures come from.
fn origin(record: &Record) -> String {
    let day = record.date.split(' ').next().unwrap_or_default();
    // The load is shown only if it makes times doubtful; the scripts count instructions.
    let is_timed = record.command.starts_with("cargo ");
    let machine = match record.machine.rsplit_once(", load at") {
        Some((machine, load)) if !is_timed || !load.contains("doubtful") => machine,
        _ => &record.machine,
    };
    let rustc = record.rustc.split(" (").next().unwrap_or_default();
    let versions = record.versions.iter().map(|(name, version)| format!(", {name} {version}"));
    format!(
        "<sub>`{}`, {day}, on {}; {rustc}{}. Left out: {}.</sub>\n",
        record.command,
        machine,
        versions.collect::<String>(),
        record.left_out,
    )
}

/// The contenders of the replay, in its order.
fn contenders(record: &Record) -> Vec<&str> {
    record.sections.first().map_or_else(Vec::new, |section| section.names().collect())
}

fn passed(record: &Record, name: &str) -> usize {
    let is_ok = |section: &&Section| {
        section
            .rows
            .iter()
            .any(|row| row[0] == name && row.last().is_some_and(|status| status == "ok"))
    };
    record.sections.iter().filter(is_ok).count()
}

/// Mean ratios of one contender to another over all programs that both got through.
fn mean_ratio(record: &Record, ours: &str, rival: &str, column: &str) -> Option<f64> {
    geometric_mean(record.sections.iter().filter_map(|section| section.ratio(ours, rival, column)))
}

/// Mean times over all programs: name, nanoseconds a request, programs.
pub fn mean_times(record: &Record) -> Vec<(&str, f64, usize)> {
    let mean = |name: &str| {
        let times = record.sections.iter().filter_map(|section| section.number(name, "ns/op"));
        geometric_mean(times.filter(|&time| time > 0.0))
    };
    let all = contenders(record).into_iter();
    all.filter_map(|name| Some((name, mean(name)?, passed(record, name)))).collect()
}

/// Mean sizes in a column, each over the least that any allocator needs for the same program.
pub fn mean_over_least<'a>(record: &'a Record, column: &str) -> Vec<(&'a str, f64, usize)> {
    let over_least = |section: &Section, name: &str| {
        let all = section.names().filter_map(|other| section.number(other, column));
        Some(section.number(name, column)? / all.min_by(f64::total_cmp)?)
    };
    let mean = |name: &str| {
        geometric_mean(record.sections.iter().filter_map(|section| over_least(section, name)))
    };
    let all = contenders(record).into_iter();
    all.filter_map(|name| Some((name, mean(name)?, passed(record, name)))).collect()
}

/// The chart of speed, in words too.
fn speed(record: &Record, folder: &str) -> String {
    let times = mean_times(record);
    let said: Vec<String> =
        times.iter().map(|(name, time, _)| format!("{name} {time:.1}")).collect();
    format!(
        "![Nanoseconds of a request, geometric mean over {} recorded programs: {}]({folder}/speed.svg)\n",
        record.sections.len(),
        said.join(", ")
    )
}

/// The chart of memory, in words too.
fn memory(record: &Record) -> String {
    let regions = mean_over_least(record, "arena");
    let said: Vec<String> =
        regions.iter().map(|(name, over, _)| format!("{name} {over:.2}")).collect();
    format!(
        "![Smallest region over the least of all, geometric mean over {} recorded programs: {}](figures/memory.svg)\n",
        record.sections.len(),
        said.join(", ")
    )
}

fn means(record: &Record) -> String {
    let rows = contenders(record).into_iter().map(|name| {
        let time = mean_times(record).into_iter().find(|mean| mean.0 == name);
        let column = |column| over(mean_ratio(record, "slab-bytes", name, column));
        vec![
            name.to_owned(),
            time.map_or("–".into(), |(_, time, _)| format!("{time:.1}")),
            column("ns/op"),
            column("footprint"),
            column("arena"),
            format!("{}/{}", passed(record, name), record.sections.len()),
        ]
    });
    table(
        &owned([
            "geometric means over all programs",
            "ns a request",
            "slab-bytes over it: time",
            "footprint",
            "smallest region",
            "got through",
        ]),
        rows,
    )
}

/// A row for each recorded program.
fn programs(record: &Record, ours: &str) -> String {
    let rivals: Vec<&str> =
        contenders(record).into_iter().filter(|name| !name.starts_with("slab-")).collect();
    let rows = record.sections.iter().map(|section| {
        let ratios = rivals.iter().map(|rival| over(section.ratio(ours, rival, "ns/op")));
        [section.title.clone()].into_iter().chain(ratios).collect()
    });
    let means = rivals.iter().map(|rival| over(mean_ratio(record, ours, rival, "ns/op")));
    let means: Vec<String> = ["geometric mean".to_owned()].into_iter().chain(means).collect();
    let head = format!("time of `{ours}` over that of");
    table(&owned([head.as_str()].into_iter().chain(rivals.iter().copied())), rows.chain([means]))
}

/// Ours beside each rival over regions: recorded programs, instructions, code.
fn heaps(records: &Records) -> String {
    let (Some(replay), Some(count), Some(size)) =
        (records.get("replay"), records.get("count"), records.get("code_size"))
    else {
        return String::new();
    };
    let ours = "slab-bytes";
    let rivals = contenders(replay).into_iter().filter(|name| !name.starts_with("slab-"));
    let rows = rivals.map(|rival| {
        let programs = ["ns/op", "footprint", "arena"]
            .map(|column| over(mean_ratio(replay, ours, rival, column)));
        let counts = ["hot 64", "batch 64"]
            .map(|column| over(net_ratio(&count.sections[0], ours, rival, column)));
        let code = size.sections[0]
            .number("slab-bytes/checked", "text")
            .zip(size.sections[0].number(rival, "text"));
        let code = over(code.map(|(ours, rival)| ours / rival));
        [rival.to_owned()].into_iter().chain(programs).chain(counts).chain([code]).collect()
    });
    table(
        &owned([
            "`slab-bytes` over",
            "time, programs",
            "footprint, programs",
            "smallest region, programs",
            "instructions, hot pair of 64 B",
            "instructions, batch of 64 B",
            "code, thumbv7em",
        ]),
        rows,
    )
}

/// A ratio of what is left when the harness is subtracted.
fn net_ratio(section: &Section, ours: &str, rival: &str, column: &str) -> Option<f64> {
    let net = |name| Some(section.number(name, column)? - section.number("harness", column)?);
    Some(net(ours)? / net(rival)?)
}

fn slots(record: &Record) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in record.sections.iter().flat_map(|section| section.names()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let rows = record.sections.iter().map(|section| {
        let times = names.iter().map(|name| {
            section.number(name, "ns/op").map_or("–".to_owned(), |time| format!("{time:.1}"))
        });
        [section.title.replace(", ns per pair", "")].into_iter().chain(times).collect()
    });
    table(&owned(["ns a pair"].into_iter().chain(names.iter().copied())), rows)
}

/// The title of a line of the typed bench: what is done, what is stored, and how much of it.
fn parts(section: &Section) -> Option<(&str, String)> {
    let (rest, count) = section.title.rsplit_once(", n = ")?;
    let (kind, value) = rest.rsplit_once(", ")?;
    Some((kind, format!("{value}, {count}")))
}

/// A row for each kind of work, a column for each type and number of values.
fn handles(record: &Record, rivals: &[&str]) -> String {
    let (mut kinds, mut columns) = (Vec::new(), Vec::new());
    for (kind, column) in record.sections.iter().filter_map(parts) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns.sort_by_key(|column| !column.starts_with("u64"));
    let cell = |kind: &str, column: &str| {
        let section = record.sections.iter().find(|section| {
            parts(section).is_some_and(|(other, at)| other == kind && at == column)
        })?;
        let worst = |ratio: Option<f64>, rival: &&str| {
            section
                .ratio("slab-typed", rival, "ns/op")
                .into_iter()
                .chain(ratio)
                .max_by(f64::total_cmp)
        };
        rivals.iter().fold(None, worst)
    };
    let rows = kinds.iter().map(|kind| {
        let cells = columns.iter().map(|column| over(cell(kind, column)));
        [(*kind).to_owned()].into_iter().chain(cells).collect()
    });
    let head =
        ["time of `slab-typed` over theirs".to_owned()].into_iter().chain(columns.iter().cloned());
    table(&head.collect::<Vec<_>>(), rows)
}

/// A row for each rival, a column for each kind of work: geometric means over types and numbers of values.
fn rivals_of_handles(record: &Record) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    let mut rivals: Vec<&str> = Vec::new();
    for section in &record.sections {
        if let Some((kind, _)) = parts(section)
            && !kinds.contains(&kind)
        {
            kinds.push(kind);
        }
        for name in section.names().filter(|name| *name != "slab-typed") {
            if !rivals.contains(&name) {
                rivals.push(name);
            }
        }
    }
    let rows = rivals.iter().map(|rival| {
        let cells = kinds.iter().map(|kind| {
            let lines = record
                .sections
                .iter()
                .filter(|section| parts(section).is_some_and(|(at, _)| at == *kind));
            over(geometric_mean(
                lines.filter_map(|section| section.ratio("slab-typed", rival, "ns/op")),
            ))
        });
        [(*rival).to_owned()].into_iter().chain(cells).collect()
    });
    table(&owned(["`slab-typed` over"].into_iter().chain(kinds.iter().copied())), rows)
}

/// The cost with several threads as a multiple of the cost with one.
fn scaling(section: &Section) -> String {
    let mut text = format!("{}: ", sentence(section.title.split(" (").next().unwrap_or_default()));
    let alone = section.names().filter_map(|name| name.strip_suffix(", 1"));
    let of = |name: &str| {
        let several = section.names().find(|other| {
            other.strip_prefix(name).is_some_and(|rest| rest.starts_with(", ") && rest != ", 1")
        })?;
        let ratio = section.ratio(several, &format!("{name}, 1"), "ns/op")?;
        Some(format!("with {name} {ratio:.2} × the time of one"))
    };
    text += &alone.filter_map(of).collect::<Vec<_>>().join(", ");
    text + ".\n"
}

/// The binned allocator over its predecessor, and the cost of its journals.
fn pairs<'a>(sections: impl Iterator<Item = &'a Section>) -> String {
    let rows = sections.map(|section| {
        let title = section.title.split(", ns per").next().unwrap_or_default();
        let ratio = |ours: &str, other: &str| section.ratio(ours, other, "ns/op");
        let plain =
            |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        vec![
            title.to_owned(),
            over(ratio("slab-binned", "cjc-runtime")),
            over(ratio("slab-binned/fine", "cjc-runtime")),
            plain(ratio("slab-binned/fingerprint", "slab-binned")),
            plain(ratio("slab-binned/log", "slab-binned")),
        ]
    });
    table(
        &owned([
            "`free` + `alloc_dirty`",
            "over cjc-runtime",
            "`Fine` over cjc-runtime",
            "fingerprint over none",
            "log over none",
        ]),
        rows,
    )
}

/// All sources: name, command, date and duration.
fn runs(records: &Records) -> String {
    let rows = crate::SOURCES.iter().filter_map(|source| {
        let record = records.get(source.name)?;
        Some(vec![
            source.name.to_owned(),
            format!("`{}`", record.command),
            record.date.clone(),
            format!("{} s", record.seconds),
        ])
    });
    table(&owned(["figures", "command", "measured", "took"]), rows)
}
