//! Where, when and how a report was made.

use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use crate::html::Provenance;
use crate::replay::Measures;
use crate::words;

/// Gathers what this machine says about itself. What it does not say is left out.
pub(super) fn gather(measures: Measures, mut left_out: Vec<String>) -> Provenance {
    if cfg!(debug_assertions) {
        left_out.push(
            "Optimisation: the lab was built without, so the times mean nothing; use \
             `cargo run --release`."
                .to_owned(),
        );
    }
    if !measures.arena {
        left_out.push("The smallest regions: they were not looked for.".to_owned());
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Provenance {
        command: command(env::args_os().map(|argument| argument.to_string_lossy().into_owned())),
        date: date(seconds),
        machine: machine(),
        lab: format!(
            "slab-lab {}, {} build, {}",
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) { "debug" } else { "release" },
            env!("SLAB_LAB_RUSTC"),
        ),
        rounds: measures.rounds,
        recording: None,
        left_out,
    }
}

/// Writes a command line so that a shell would read it the same way.
pub(super) fn command(arguments: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@%".contains(c);
    let quoted = arguments.enumerate().map(|(index, argument)| {
        let argument = match (index, argument.rsplit(['/', '\\']).next()) {
            // Where the program lies is nobody's business.
            (0, Some(name)) => name.to_owned(),
            _ => argument,
        };
        // What drives a terminal is no text.
        let argument = argument.replace(char::is_control, "?");
        match !argument.is_empty() && argument.chars().all(plain) {
            true => argument,
            false => format!("'{}'", argument.replace('\'', r"'\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Writes seconds since 1970 as a date and a time in UTC.
fn date(seconds: u64) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut day) = (1970, seconds / DAY);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let minute = seconds % DAY / 60;
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", day + 1, minute / 60, minute % 60)
}

/// Describes the machine; on Linux with what it says under `/proc`.
fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let after = |text: &str, key: &str, mark: char| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        let (_, value) = line.split_once(mark)?;
        Some(value.trim().trim_matches('"').to_owned())
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let processor = after(&read("/proc/cpuinfo"), "model name", ':');
    let memory = after(&read("/proc/meminfo"), "MemTotal", ':').and_then(|kib| {
        let kib: f64 = kib.strip_suffix(" kB")?.parse().ok()?;
        Some(format!("{:.0} GiB of memory", kib / f64::from(1 << 20)))
    });
    let system = after(&read("/etc/os-release"), "PRETTY_NAME", '=');
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = Some(kernel.trim()).filter(|kernel| !kernel.is_empty());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().filter(|load| !load.is_empty()).map(|load| {
        let busy = load.parse().is_ok_and(|load: f64| load > cores as f64);
        let doubt = if busy { ", more than it has cores, so the times are doubtful" } else { "" };
        format!("load at the start {load}{doubt}")
    });
    let parts = [
        processor,
        Some(words::counted(cores, "core")),
        memory,
        Some(system.unwrap_or_else(|| env::consts::OS.to_owned())),
        kernel.map(|kernel| format!("kernel {kernel}")),
        Some(env::consts::ARCH.to_owned()),
        load,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(951_868_800), "2000-03-01 00:00 UTC");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00 UTC");
    }

    #[test]
    fn commands_can_be_pasted() {
        let arguments = ["/home/me/slab-lab", "report", "my file.raw", "", "it's", "\u{1b}[m"];
        let command = command(arguments.into_iter().map(str::to_owned));
        assert_eq!(command, r"slab-lab report 'my file.raw' '' 'it'\''s' '?[m'");
    }
}
