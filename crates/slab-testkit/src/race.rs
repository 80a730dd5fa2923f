//! The measurement harness of the benches and the lab.
//!
//! Contenders take turns round by round, in a rotated order, so that a machine that becomes slower or faster
//! does so for all of them. The result is the median, which a single disturbed round does not change. The
//! cost of the harness is measured as a separate contender, which does everything but the work, and
//! subtracted.

use std::time::Duration;

use crate::Table;

/// An entrant of a race.
pub trait Contender<W: ?Sized> {
    /// Returns its name in the table.
    fn name(&self) -> &str;

    /// Does the work once and returns the time of the part that is measured.
    fn round(&mut self, work: &W) -> Duration;
}

/// Measures contenders in one warm-up round and then `rounds` rounds that count.
///
/// # Panics
///
/// If there is no round or no contender, if two contenders have the same name, or if one panics.
///
/// # Examples
///
/// ```
/// use std::hint::black_box;
/// use std::time::{Duration, Instant};
/// use slab_testkit::{Contender, race};
///
/// struct Times(&'static str, u64);
///
/// impl Contender<[u64]> for Times {
///     fn name(&self) -> &str {
///         self.0
///     }
///
///     fn round(&mut self, work: &[u64]) -> Duration {
///         let start = Instant::now();
///         for _ in 0..self.1 {
///             black_box(work.iter().map(black_box).sum::<u64>());
///         }
///         start.elapsed()
///     }
/// }
///
/// let mut contenders: Vec<Box<dyn Contender<[u64]>>> =
///     vec![Box::new(Times("nothing", 0)), Box::new(Times("once", 1)), Box::new(Times("thrice", 3))];
/// let work: Vec<u64> = (0..1000).collect();
/// let results = race(&mut contenders, &work[..], 9).less("nothing").against("once");
/// println!("{}", results.table(1000));
/// assert_eq!(results.ratio("once"), Some(1.0));
/// ```
pub fn race<W: ?Sized>(
    contenders: &mut [Box<dyn Contender<W> + '_>],
    work: &W,
    rounds: usize,
) -> Results {
    race_reporting(contenders, work, rounds, |_, _| {})
}

/// Does the same as [`race`], and calls `progress(round, name)` before each round of each contender. Round 0 is
/// the warm-up.
///
/// # Panics
///
/// If [`race`] would.
pub fn race_reporting<W: ?Sized>(
    contenders: &mut [Box<dyn Contender<W> + '_>],
    work: &W,
    rounds: usize,
    mut progress: impl FnMut(usize, &str),
) -> Results {
    assert!(rounds > 0, "a race has at least one round");
    let mut results = Results::new(contenders.iter().map(|contender| contender.name().to_owned()));
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            progress(round, contenders[index].name());
            let sample = contenders[index].round(work);
            if round > 0 {
                results.entries[index].samples.push(sample);
            }
        }
    }
    for entry in &mut results.entries {
        entry.samples.sort_unstable();
    }
    results
}

/// The measurements of a race.
#[derive(Debug, Clone)]
pub struct Results {
    /// In the order of the contenders; the samples are sorted, and there is at least one each.
    entries: Vec<Entry>,
    baseline: Option<usize>,
    reference: Option<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    samples: Vec<Duration>,
}

impl Entry {
    /// Returns the sample that `part / parts` of all samples do not exceed.
    fn quantile(&self, part: usize, parts: usize) -> Duration {
        self.samples[(self.samples.len() - 1) * part / parts]
    }

    fn median(&self) -> Duration {
        self.quantile(1, 2)
    }
}

impl Results {
    fn new(names: impl Iterator<Item = String>) -> Self {
        let entries: Vec<_> = names.map(|name| Entry { name, samples: Vec::new() }).collect();
        assert!(!entries.is_empty(), "a race has at least one contender");
        for (index, entry) in entries.iter().enumerate() {
            let twice = entries[..index].iter().any(|other| other.name == entry.name);
            assert!(!twice, "two contenders are called {}", entry.name);
        }
        Self { entries, baseline: None, reference: None }
    }

    /// Subtracts the median of one contender from all others, and leaves it out of the table.
    ///
    /// # Panics
    ///
    /// If no contender has that name.
    #[must_use]
    pub fn less(mut self, name: &str) -> Self {
        self.baseline = Some(self.index(name));
        self
    }

    /// Makes one contender the reference of the ratios.
    ///
    /// # Panics
    ///
    /// If no contender has that name.
    #[must_use]
    pub fn against(mut self, name: &str) -> Self {
        self.reference = Some(self.index(name));
        self
    }

    /// Returns the names in the order of the contenders, without the one that is subtracted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.ranked().map(|(_, entry)| entry.name.as_str())
    }

    /// Returns a contender's median, with nothing subtracted.
    ///
    /// # Panics
    ///
    /// If no contender has that name.
    pub fn median(&self, name: &str) -> Duration {
        self.entries[self.index(name)].median()
    }

    /// Returns a contender's median minus that of the contender named by [`less`](Self::less), at least zero.
    ///
    /// # Panics
    ///
    /// If no contender has that name.
    pub fn net(&self, name: &str) -> Duration {
        self.net_at(self.index(name))
    }

    /// Returns a contender's net time / that of the reference: above 1 the contender is slower. `None` if there is
    /// no reference or its net time is zero.
    ///
    /// # Panics
    ///
    /// If no contender has that name.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.ratio_at(self.index(name))
    }

    /// Returns a table with the net nanoseconds per operation, for rounds of `ops` operations; the ratio to the
    /// reference; and the spread, which is the distance between the quartiles / the median.
    pub fn table(&self, ops: u64) -> Table {
        let mut table = Table::new(["contender", "ns/op", "ratio", "spread"]);
        for (index, entry) in self.ranked() {
            let nanoseconds = self.net_at(index).as_secs_f64() * 1e9 / ops.max(1) as f64;
            let ratio = self.ratio_at(index).map_or("-".to_owned(), digits);
            let quartiles = entry.quantile(3, 4) - entry.quantile(1, 4);
            let spread = quartiles.as_secs_f64() / entry.median().as_secs_f64().max(1e-9);
            let spread = format!("{:.1} %", spread * 100.0);
            table.push([entry.name.clone(), digits(nanoseconds), ratio, spread]);
        }
        table
    }

    fn ranked(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|&(index, _)| Some(index) != self.baseline)
    }

    fn index(&self, name: &str) -> usize {
        let found = self.entries.iter().position(|entry| entry.name == name);
        found.unwrap_or_else(|| panic!("no contender is called {name}"))
    }

    fn net_at(&self, index: usize) -> Duration {
        let cost = self.baseline.map_or(Duration::ZERO, |index| self.entries[index].median());
        self.entries[index].median().saturating_sub(cost)
    }

    fn ratio_at(&self, index: usize) -> Option<f64> {
        let reference = self.net_at(self.reference?).as_nanos();
        (reference != 0).then(|| self.net_at(index).as_nanos() as f64 / reference as f64)
    }
}

/// Formats a number with two decimals, or three if it is below 1.
fn digits(number: f64) -> String {
    if number < 1.0 { format!("{number:.3}") } else { format!("{number:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Returns times from a list, and records its calls.
    struct Scripted<'a> {
        name: &'static str,
        micros: Vec<u64>,
        calls: &'a RefCell<Vec<&'static str>>,
    }

    impl Contender<()> for Scripted<'_> {
        fn name(&self) -> &str {
            self.name
        }

        fn round(&mut self, (): &()) -> Duration {
            self.calls.borrow_mut().push(self.name);
            Duration::from_micros(self.micros.remove(0))
        }
    }

    fn run(scripts: &[(&'static str, &[u64])], rounds: usize) -> (Results, Vec<&'static str>) {
        let calls = RefCell::new(Vec::new());
        let scripted = |&(name, micros): &(&'static str, &[u64])| {
            let contender = Scripted { name, micros: micros.to_vec(), calls: &calls };
            Box::new(contender) as Box<dyn Contender<()> + '_>
        };
        let mut contenders: Vec<_> = scripts.iter().map(scripted).collect();
        let results = race(&mut contenders, &(), rounds);
        drop(contenders);
        (results, calls.into_inner())
    }

    #[test]
    fn rounds_interleave_and_their_order_rotates() {
        let (_, calls) = run(&[("a", &[1; 3]), ("b", &[1; 3]), ("c", &[1; 3])], 2);
        assert_eq!(calls, ["a", "b", "c", "b", "c", "a", "c", "a", "b"]);
    }

    #[test]
    fn the_first_round_and_outliers_do_not_count() {
        let (results, _) = run(&[("a", &[9000, 5, 7, 8000, 6, 1])], 5);
        assert_eq!(results.median("a"), Duration::from_micros(6));
    }

    #[test]
    fn the_baseline_is_subtracted_and_ratios_refer_to_the_reference() {
        let (results, _) = run(&[("empty", &[4; 4]), ("ours", &[6; 4]), ("rival", &[9; 4])], 3);
        assert_eq!(results.ratio("rival"), None);
        let results = results.less("empty").against("ours");
        assert_eq!(results.net("rival"), Duration::from_micros(5));
        assert_eq!(results.ratio("rival"), Some(2.5));
        assert_eq!(results.names().collect::<Vec<_>>(), ["ours", "rival"]);
        assert_eq!(results.clone().against("empty").ratio("ours"), None, "a net time of zero");
    }

    #[test]
    fn the_table_is_aligned() {
        let (results, _) = run(&[("empty", &[4; 4]), ("ours", &[6; 4]), ("rival", &[9; 4])], 3);
        let table = results.less("empty").against("ours").table(100).to_string();
        let expected = "contender  ns/op  ratio  spread\n\
                        ours       20.00   1.00   0.0 %\n\
                        rival      50.00   2.50   0.0 %\n";
        assert_eq!(table, expected);
    }

    #[test]
    #[should_panic(expected = "no contender is called b")]
    fn an_unknown_name_is_a_mistake() {
        let _ = run(&[("a", &[1; 2])], 1).0.less("b");
    }

    #[test]
    #[should_panic(expected = "two contenders are called a")]
    fn two_contenders_of_one_name_are_a_mistake() {
        let _ = run(&[("a", &[1; 2]), ("a", &[1; 2])], 1);
    }
}
