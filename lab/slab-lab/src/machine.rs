//! The machine and the time of a measurement.

use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use crate::words;

/// The version of the compiler that built this.
pub const RUSTC: &str = env!("SLAB_LAB_RUSTC");

/// Describes the machine as it is now, on Linux from `/proc`. Unknown facts are left out.
pub fn describe() -> String {
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

/// Returns date and time in UTC.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds)
}

/// Writes seconds since 1970 as date and time in UTC.
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
}
