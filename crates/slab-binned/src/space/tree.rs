//! The free runs in order of (length, first page): an AA tree whose nodes are the runs' own lines,
//! so that it never asks for memory. Every operation visits *O*(log runs) lines.
//!
//! Andersson's invariants: a leaf has level 1; a left child's level is one below its parent's; a
//! right child's is the same or one below, and a right grandchild's is below.

use super::{Kind, Line, Lines};

/// No run: page 0 is an edge.
pub const NONE: u32 = 0;

/// Counts the lines that are read and written on behalf of one tree.
pub struct Visit<'a, L> {
    pub lines: &'a mut L,
    pub steps: u64,
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

    /// Makes a run a leaf of the tree and returns the new root.
    pub fn insert(&mut self, root: u32, run: u32) -> u32 {
        if root == NONE {
            let line = self.line(run);
            self.set_line(run, Line { left: NONE, right: NONE, level: 1, ..line });
            return run;
        }
        let (mut line, new) = (self.line(root), self.line(run));
        if (new.len, run) < (line.len, root) {
            line.left = self.insert(line.left, run);
        } else {
            line.right = self.insert(line.right, run);
        }
        self.set_line(root, line);
        let root = self.skew(root);
        self.split(root)
    }

    /// Takes a run out and returns the new root. A run that is not there leaves the tree as it was.
    pub fn remove(&mut self, root: u32, run: u32) -> u32 {
        if root == NONE {
            return NONE;
        }
        let mut line = self.line(root);
        if root != run {
            let gone = self.line(run);
            if (gone.len, run) < (line.len, root) {
                line.left = self.remove(line.left, run);
            } else {
                line.right = self.remove(line.right, run);
            }
            self.set_line(root, line);
            return self.rebalance(root);
        }
        // The run's neighbour in order takes its place.
        let heir = match (line.left, line.right) {
            (NONE, NONE) => return NONE,
            (NONE, right) => {
                let heir = self.outermost(right, |line| line.left);
                line.right = self.remove(right, heir);
                heir
            }
            (left, _) => {
                let heir = self.outermost(left, |line| line.right);
                line.left = self.remove(left, heir);
                heir
            }
        };
        let len = self.line(heir).len;
        self.set_line(heir, Line { len, kind: Kind::Free, ..line });
        self.rebalance(heir)
    }

    /// Returns the shortest run of at least `len` pages, the lowest of several.
    pub fn best_fit(&mut self, root: u32, len: u32) -> Option<u32> {
        let (mut at, mut best) = (root, None);
        while at != NONE {
            let line = self.line(at);
            if line.len >= len {
                best = Some(at);
                at = line.left;
            } else {
                at = line.right;
            }
        }
        best
    }

    fn outermost(&mut self, mut at: u32, child: impl Fn(Line) -> u32) -> u32 {
        loop {
            match child(self.line(at)) {
                NONE => return at,
                next => at = next,
            }
        }
    }

    fn level(&mut self, run: u32) -> u8 {
        if run == NONE { 0 } else { self.line(run).level }
    }

    /// Turns a left child of the same level into the parent.
    fn skew(&mut self, root: u32) -> u32 {
        if root == NONE {
            return NONE;
        }
        let mut line = self.line(root);
        let left = line.left;
        if left == NONE || self.level(left) != line.level {
            return root;
        }
        let mut above = self.line(left);
        line.left = above.right;
        above.right = root;
        self.set_line(root, line);
        self.set_line(left, above);
        left
    }

    /// Lifts the middle of three runs of the same level.
    fn split(&mut self, root: u32) -> u32 {
        if root == NONE {
            return NONE;
        }
        let mut line = self.line(root);
        let right = line.right;
        if right == NONE {
            return root;
        }
        let mut above = self.line(right);
        if self.level(above.right) != line.level {
            return root;
        }
        line.right = above.left;
        above.left = root;
        above.level += 1;
        self.set_line(root, line);
        self.set_line(right, above);
        right
    }

    /// Restores the levels above a place where a run was taken out.
    fn rebalance(&mut self, root: u32) -> u32 {
        let mut line = self.line(root);
        let (left, right) = (self.level(line.left), self.level(line.right));
        let level = left.min(right) + 1;
        if level < line.level {
            line.level = level;
            self.set_line(root, line);
            if right > level {
                let mut lower = self.line(line.right);
                lower.level = level;
                self.set_line(line.right, lower);
            }
        }
        let root = self.skew(root);
        self.on_right(root, |tree, right| {
            let right = tree.skew(right);
            tree.on_right(right, |tree, right| tree.skew(right));
            right
        });
        let root = self.split(root);
        self.on_right(root, |tree, right| tree.split(right));
        root
    }

    fn on_right(&mut self, root: u32, change: impl FnOnce(&mut Self, u32) -> u32) {
        let right = self.line(root).right;
        if right != NONE {
            let changed = change(self, right);
            let line = self.line(root);
            self.set_line(root, Line { right: changed, ..line });
        }
    }
}
