//! The free runs in order of (length, first page): an AVL tree whose nodes are the runs' own lines, so
//! that it never asks for memory.
//!
//! The heights of two siblings differ by at most one, so that a tree of *n* runs is no higher than
//! 1.45 · log₂(*n* + 2). Every operation goes down once, and up as far as heights change.

use super::{Kind, Line, Lines};

/// No run: page 0 is an edge.
pub const NONE: u32 = 0;

/// More than the height of a tree of 2³² runs.
const HEIGHT_MAX: usize = 48;

/// Counts the lines that are read and written on behalf of one tree.
pub struct Visit<'a, L> {
    pub lines: &'a mut L,
    pub steps: u64,
}

/// The runs passed on the path down.
struct Path {
    runs: [u32; HEIGHT_MAX],
    len: usize,
}

impl Path {
    fn new() -> Self {
        Self { runs: [NONE; HEIGHT_MAX], len: 0 }
    }

    fn push(&mut self, run: u32) {
        self.runs[self.len] = run;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        Some(self.runs[self.len])
    }
}

/// Which child: that of smaller or that of larger runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    /// Returns on which side of a run a key belongs.
    fn of((len, run): (u32, u32), line: &Line, at: u32) -> Self {
        if (len, run) < (line.len, at) { Self::Left } else { Self::Right }
    }

    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl Line {
    fn child(&self, side: Side) -> u32 {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    fn with_child(self, side: Side, child: u32) -> Self {
        match side {
            Side::Left => Self { left: child, ..self },
            Side::Right => Self { right: child, ..self },
        }
    }
}

impl<L: Lines> Visit<'_, L> {
    pub fn line(&mut self, page: u32) -> Line {
        self.steps += 1;
        self.lines.line(page)
    }

    pub fn set_line(&mut self, page: u32, line: Line) {
        self.steps += 1;
        self.lines.set_line(page, line);
    }

    /// Returns the shortest run of at least `len` pages, the lowest of several, with its length and
    /// its parent.
    pub fn best_fit(&mut self, root: u32, len: u32) -> Option<Fit> {
        let (mut at, mut above, mut best) = (root, NONE, None);
        while at != NONE {
            let line = self.line(at);
            let next = if line.len >= len {
                best = Some(Fit { first: at, len: line.len, above });
                line.left
            } else {
                line.right
            };
            (above, at) = (at, next);
        }
        best
    }

    /// Makes a run a node of the tree, writes its first line, and returns the new root.
    pub fn insert(&mut self, root: u32, run: u32, len: u32) -> u32 {
        let (mut path, mut at) = (Path::new(), root);
        while at != NONE {
            let line = self.line(at);
            path.push(at);
            at = line.child(Side::of((len, run), &line, at));
        }
        let (left, right) = (NONE, NONE);
        self.set_line(run, Line { len, left, right, height: 1, kind: Kind::Free });
        self.rebalance_up(root, path, (len, run), run)
    }

    /// Takes a run out and returns the new root. A run that is not there leaves the tree as it was.
    pub fn remove(&mut self, root: u32, run: u32, len: u32) -> u32 {
        let (mut path, mut at) = (Path::new(), root);
        while at != run {
            if at == NONE {
                return root;
            }
            let line = self.line(at);
            path.push(at);
            at = line.child(Side::of((len, run), &line, at));
        }
        let line = self.line(run);
        if line.left == NONE || line.right == NONE {
            return self.rebalance_up(root, path, (len, run), line.left.max(line.right));
        }
        // The next run in order takes its place.
        let above = path.len.checked_sub(1).map_or(NONE, |last| path.runs[last]);
        let place = path.len;
        path.push(run);
        let mut successor = line.right;
        let mut successor_line = self.line(successor);
        while successor_line.left != NONE {
            path.push(successor);
            successor = successor_line.left;
            successor_line = self.line(successor);
        }
        path.runs[place] = successor;
        let Line { left, right, height, .. } = line;
        self.set_line(successor, Line { left, right, height, ..successor_line });
        let root = self.relink(root, above, run, successor);
        self.rebalance_up(root, path, (successor_line.len, successor), successor_line.right)
    }

    /// Puts a run in the place of another, between whose neighbours in order it is, and returns the new
    /// root.
    pub fn replace(&mut self, root: u32, old: Fit, run: u32, len: u32) -> u32 {
        let line = self.line(old.first);
        self.set_line(run, Line { len, ..line });
        self.relink(root, old.above, old.first, run)
    }

    /// Makes a run the child of another's parent in its place, and returns the new root.
    fn relink(&mut self, root: u32, above: u32, old: u32, new: u32) -> u32 {
        if above == NONE {
            return new;
        }
        let line = self.line(above);
        let side = if line.left == old { Side::Left } else { Side::Right };
        self.set_line(above, line.with_child(side, new));
        root
    }

    /// Makes a subtree the child of the last run on a path, on the side of a key, restores the balance
    /// of all runs above whose height changes, and returns the new root.
    fn rebalance_up(&mut self, root: u32, mut path: Path, key: (u32, u32), mut child: u32) -> u32 {
        while let Some(at) = path.pop() {
            let line = self.line(at);
            let changed = line.with_child(Side::of(key, &line, at), child);
            let (top, height) = self.rebalance(at, changed);
            if (top, height) == (at, line.height) {
                return root;
            }
            child = top;
        }
        child
    }

    /// Writes a run's line with its height, after a rotation if a child is too high. Returns the top of
    /// the subtree and its height.
    fn rebalance(&mut self, at: u32, line: Line) -> (u32, u8) {
        let (left, right) = (self.height(line.left), self.height(line.right));
        let high = match (left, right) {
            _ if left > right + 1 => Side::Left,
            _ if right > left + 1 => Side::Right,
            _ => {
                let height = 1 + left.max(right);
                self.set_line(at, Line { height, ..line });
                return (at, height);
            }
        };
        let child = line.child(high);
        let child_line = self.line(child);
        let outer = self.height(child_line.child(high));
        if self.height(child_line.child(high.other())) <= outer {
            return self.rotate(at, line, high);
        }
        let (inner, _) = self.rotate(child, child_line, high.other());
        self.rotate(at, line.with_child(high, inner), high)
    }

    /// Makes the child on one side the parent. Returns it and its height.
    fn rotate(&mut self, at: u32, line: Line, side: Side) -> (u32, u8) {
        let top = line.child(side);
        let top_line = self.line(top);
        let (inner, outer) = (top_line.child(side.other()), top_line.child(side));
        let line = line.with_child(side, inner);
        let height = 1 + self.height(line.left).max(self.height(line.right));
        self.set_line(at, Line { height, ..line });
        let height = 1 + height.max(self.height(outer));
        self.set_line(top, Line { height, ..top_line.with_child(side.other(), at) });
        (top, height)
    }

    fn height(&mut self, run: u32) -> u8 {
        if run == NONE { 0 } else { self.line(run).height }
    }
}

/// A run that serves a request.
#[derive(Clone, Copy)]
pub struct Fit {
    pub first: u32,
    pub len: u32,
    /// Its parent in the tree; [`NONE`] for the root.
    pub above: u32,
}
