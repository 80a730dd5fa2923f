//! Runs of pages: best fit, ties to the lowest page, cut and merged.

#[cfg(feature = "alloc")]
extern crate alloc;

use super::tree::{NONE, Visit};
use super::{Kind, Line, Lines};

/// All free runs.
///
/// # Invariants
///
/// - **R1 (listed)**: exactly the free runs are in the tree.
/// - **R2 (merged)**: no two free runs touch.
/// - **R3 (counted)**: `free_pages` and `run_count` are theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    root: u32,
    free_pages: u32,
    run_count: u32,
    /// Lines read and written since this was last reset.
    steps: u64,
}

impl Runs {
    pub const fn new() -> Self {
        Self { root: NONE, free_pages: 0, run_count: 0, steps: 0 }
    }

    /// Returns the numbers that a digest of the free runs is made of.
    #[cfg(feature = "alloc")]
    pub fn words(&self) -> [u32; 3] {
        [self.root, self.free_pages, self.run_count]
    }

    /// Returns the pages of all free runs.
    pub fn free_pages(&self) -> u32 {
        self.free_pages
    }

    /// Returns the number of free runs.
    pub fn run_count(&self) -> u32 {
        self.run_count
    }

    /// Returns how many lines were read and written since the last call.
    pub fn take_steps(&mut self) -> u64 {
        core::mem::take(&mut self.steps)
    }

    /// Returns pages to the free runs: those of a run that was taken, or of a fresh segment.
    pub fn release(&mut self, lines: &mut impl Lines, first: u32, len: u32) {
        debug_assert!(len > 0);
        let (mut start, mut end) = (first, first + len);
        let before = self.visit(lines, |visit| visit.line(first - 1));
        if before.kind == Kind::Free {
            start -= before.len;
            self.remove(lines, start, before.len);
        }
        let behind = self.visit(lines, |visit| visit.line(first + len));
        if behind.kind == Kind::Free {
            self.remove(lines, end, behind.len);
            end += behind.len;
        }
        self.insert(lines, start, end - start);
    }

    /// Takes the shortest run that holds `len` pages, the lowest of several, and leaves what it has
    /// more. Returns its first page.
    pub fn take(&mut self, lines: &mut impl Lines, len: u32) -> Option<u32> {
        let root = self.root;
        let fit = self.visit(lines, |visit| visit.best_fit(root, len))?;
        let (first, rest) = (fit.first, fit.len - len);
        if rest >= len {
            // All runs before this one are too short for the request, and so shorter than the rest of
            // it, which therefore has the same neighbours in order.
            self.root = self.visit(lines, |visit| visit.replace(root, fit, first + len, rest));
            self.mark_end(lines, first + len, rest, Kind::Free);
            self.free_pages -= len;
        } else {
            self.remove(lines, first, fit.len);
            if rest > 0 {
                self.insert(lines, first + len, rest);
            }
        }
        self.mark(lines, first, len, Kind::Taken);
        Some(first)
    }

    /// Writes what the ends of a run say.
    pub fn mark(&mut self, lines: &mut impl Lines, first: u32, len: u32, kind: Kind) {
        self.mark_end(lines, first, len, kind);
        self.visit(lines, |visit| visit.set_line(first, Line { len, kind, ..Line::default() }));
    }

    /// Writes what the last line of a run says, if that is not its first too.
    fn mark_end(&mut self, lines: &mut impl Lines, first: u32, len: u32, kind: Kind) {
        if len > 1 {
            let line = Line { len, kind, ..Line::default() };
            self.visit(lines, |visit| visit.set_line(first + len - 1, line));
        }
    }

    /// Inserts a run that touches no free one.
    pub fn insert(&mut self, lines: &mut impl Lines, first: u32, len: u32) {
        self.mark_end(lines, first, len, Kind::Free);
        let root = self.root;
        self.root = self.visit(lines, |visit| visit.insert(root, first, len));
        self.free_pages += len;
        self.run_count += 1;
    }

    fn remove(&mut self, lines: &mut impl Lines, first: u32, len: u32) {
        let root = self.root;
        self.root = self.visit(lines, |visit| visit.remove(root, first, len));
        self.free_pages -= len;
        self.run_count -= 1;
    }

    fn visit<L: Lines, T>(&mut self, lines: &mut L, act: impl FnOnce(&mut Visit<L>) -> T) -> T {
        let mut visit = Visit { lines, steps: 0 };
        let outcome = act(&mut visit);
        self.steps += visit.steps;
        outcome
    }

    /// Takes a free run out of the tree as a whole, for a segment that is given back.
    pub fn withdraw(&mut self, lines: &mut impl Lines, first: u32, len: u32) {
        self.remove(lines, first, len);
        self.mark(lines, first, len, Kind::Edge);
    }

    /// Returns the first page of each run, the root of the tree first, then its children, then theirs.
    ///
    /// # Errors
    ///
    /// The number of runs, if there is no memory for as many numbers.
    #[cfg(feature = "alloc")]
    pub fn in_levels(&self, lines: &impl Lines) -> Result<alloc::vec::Vec<u32>, u32> {
        let mut runs = alloc::vec::Vec::new();
        runs.try_reserve_exact(self.run_count as usize).map_err(|_| self.run_count)?;
        runs.extend(Some(self.root).filter(|&root| root != NONE));
        let mut next = 0;
        while let Some(&run) = runs.get(next) {
            let line = lines.line(run);
            runs.extend([line.left, line.right].into_iter().filter(|&child| child != NONE));
            next += 1;
        }
        Ok(runs)
    }

    /// Walks the tree: order, heights, ends and counts.
    ///
    /// # Errors
    ///
    /// The violated invariant, and the page.
    pub fn validate(&self, lines: &impl Lines) -> Result<(), (&'static str, u32)> {
        let mut sum = (0, 0);
        let mut last = (0, 0);
        walk(lines, self.root, &mut |page, line| {
            if (line.len, page) <= last {
                return Err(("the tree of free runs is in order", page));
            }
            last = (line.len, page);
            sum = (sum.0 + line.len, sum.1 + 1);
            let end = lines.line(page + line.len - 1);
            if (end.kind, end.len) != (Kind::Free, line.len) {
                return Err(("both ends of a free run say so", page));
            }
            let around = [lines.line(page - 1), lines.line(page + line.len)];
            if around.iter().any(|line| line.kind == Kind::Free) {
                return Err(("free runs do not touch", page));
            }
            Ok(())
        })?;
        if sum == (self.free_pages, self.run_count) {
            Ok(())
        } else {
            Err(("free runs are counted", sum.0))
        }
    }
}

type Check<'a> = dyn FnMut(u32, Line) -> Result<(), (&'static str, u32)> + 'a;

/// Visits a subtree in order and returns its height.
fn walk(lines: &impl Lines, root: u32, check: &mut Check<'_>) -> Result<u8, (&'static str, u32)> {
    if root == NONE {
        return Ok(0);
    }
    let line = lines.line(root);
    if line.kind != Kind::Free {
        return Err(("the tree holds free runs", root));
    }
    let left = walk(lines, line.left, check)?;
    check(root, line)?;
    let right = walk(lines, line.right, check)?;
    let balanced = line.height == 1 + left.max(right) && left.abs_diff(right) <= 1;
    if balanced { Ok(line.height) } else { Err(("the tree of free runs is balanced", root)) }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    impl Lines for Vec<Line> {
        fn line(&self, page: u32) -> Line {
            self.get(page as usize).copied().unwrap_or_default()
        }

        fn set_line(&mut self, page: u32, line: Line) {
            self[page as usize] = line;
        }
    }

    /// The same by a search through all pages.
    struct Model(Vec<bool>);

    impl Model {
        fn runs(&self) -> Vec<(u32, u32)> {
            let mut runs: Vec<(u32, u32)> = Vec::new();
            for (page, &free) in self.0.iter().enumerate() {
                let page = page as u32;
                match runs.last_mut() {
                    Some((len, first)) if free && *first + *len == page => *len += 1,
                    _ if free => runs.push((1, page)),
                    _ => {}
                }
            }
            runs
        }

        fn best(&self, len: u32) -> Option<u32> {
            self.runs().into_iter().filter(|run| run.0 >= len).min().map(|run| run.1)
        }
    }

    #[test]
    fn agrees_with_a_search_through_all_pages() {
        let (pages, rounds) = if cfg!(miri) { (60, 40) } else { (400, 20_000) };
        let mut lines = vec![Line::default(); pages as usize + 2];
        let mut model = Model(vec![false; pages as usize + 2]);
        let mut runs = Runs::new();
        runs.release(&mut lines, 1, pages);
        model.0[1..=pages as usize].fill(true);
        let mut taken: Vec<(u32, u32)> = Vec::new();
        let mut state = 1_u64;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % u64::from(below)) as u32
        };
        for _ in 0..rounds {
            let len = 1 + random(9) * random(3);
            match random(8) {
                0..=4 => {
                    let first = runs.take(&mut lines, len);
                    assert_eq!(first, model.best(len));
                    if let Some(first) = first {
                        model.0[first as usize..(first + len) as usize].fill(false);
                        taken.push((first, len));
                    }
                }
                _ if !taken.is_empty() => {
                    let which = random(taken.len() as u32) as usize;
                    let (first, len) = taken.swap_remove(which);
                    runs.release(&mut lines, first, len);
                    model.0[first as usize..(first + len) as usize].fill(true);
                }
                _ => {}
            }
            runs.validate(&lines).unwrap();
            let (height, steps) = (u64::from(lines[runs.root as usize].height), runs.take_steps());
            let most = 20 * (height + 2) + u64::from(runs.run_count());
            assert!(steps <= most, "{steps} steps in a tree {height} high");
            assert_eq!(runs.run_count() as usize, model.runs().len());
        }
    }
}
