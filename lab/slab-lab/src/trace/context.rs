//! Threads, times and call stacks of the requests of a trace.

use super::Fault;

/// The most threads of a trace.
pub const THREADS_MAX: usize = 1 << 12;

/// The most bytes of the names of all functions.
const NAMES_BYTES_MAX: usize = 64 << 20;

/// The most frames of all stacks.
const FRAMES_MAX: usize = 1 << 22;

/// The most frames of one stack.
pub(super) const STACK_FRAMES_MAX: usize = 256;

/// Facts about single requests, as far as the recording has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The thread of each request, numbered from 0; empty if all are of one thread.
    pub(super) threads: Vec<u16>,
    /// Requests, by index, and the microseconds from the start until then, in order.
    pub(super) times: Vec<(usize, u64)>,
    /// For each request the stack of an allocation or resize, counted from 1, or 0; empty without stacks.
    pub(super) sites: Vec<u32>,
    /// The stacks.
    pub(super) stacks: Stacks,
}

impl Context {
    /// Returns the thread of a request.
    pub fn thread(&self, request: usize) -> u16 {
        self.threads.get(request).copied().unwrap_or(0)
    }

    /// Returns the number of threads, at least one.
    pub fn thread_count(&self) -> usize {
        self.threads.iter().max().map_or(1, |&last| usize::from(last) + 1)
    }

    /// Returns the call stack of an allocation or resize, as a position in
    /// [`stacks`](Self::stacks).
    pub fn site(&self, request: usize) -> Option<usize> {
        let number = self.sites.get(request).copied().unwrap_or(0);
        (number as usize).checked_sub(1)
    }

    /// Returns the call stacks; empty if the recording has none.
    pub fn stacks(&self) -> &Stacks {
        &self.stacks
    }

    /// Returns the call stacks, to name their functions.
    pub fn stacks_mut(&mut self) -> &mut Stacks {
        &mut self.stacks
    }

    /// Returns the microseconds from the start to a request; `None` if the recording has no times.
    pub fn microseconds(&self, request: usize) -> Option<u64> {
        let later = self.times.partition_point(|&(index, _)| index <= request);
        self.times.get(later.checked_sub(1)?).map(|&(_, time)| time)
    }

    /// Returns the times: requests, by index, and the microseconds from the start until then.
    pub fn times(&self) -> &[(usize, u64)] {
        &self.times
    }
}

/// Call stacks, each a list of frames, the innermost first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stacks {
    names: Vec<String>,
    stacks: Vec<Vec<u32>>,
    names_bytes: usize,
    frames: usize,
}

impl Stacks {
    /// Returns the number of stacks.
    pub fn len(&self) -> usize {
        self.stacks.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Returns the frames of a stack, the innermost first; none if there is no such stack.
    pub fn frames(&self, stack: usize) -> impl DoubleEndedIterator<Item = &str> {
        let frames = self.stacks.get(stack).map_or(&[][..], |frames| frames);
        frames.iter().map(|&frame| self.names[frame as usize].as_str())
    }

    /// Replaces each name by others: a frame is divided into the functions that were inlined there.
    pub fn rename(&mut self, mut names_of: impl FnMut(&str) -> Vec<String>) {
        let old = std::mem::take(self);
        let new: Vec<Vec<String>> = old.names.iter().map(|name| names_of(name)).collect();
        let mut numbers = std::collections::HashMap::new();
        for stack in &old.stacks {
            let mut frames = Vec::new();
            for name in stack.iter().flat_map(|&frame| &new[frame as usize]) {
                let number = match numbers.get(name.as_str()) {
                    Some(&number) => Ok(number),
                    None => self.add_name(name.clone()),
                };
                // Names beyond the limit are left out.
                let Ok(number) = number else { continue };
                numbers.insert(name.as_str(), number);
                frames.push(number.into());
            }
            frames.truncate(STACK_FRAMES_MAX);
            // An empty stack keeps the numbers of the others.
            if self.add(&frames).is_err() {
                self.stacks.push(Vec::new());
            }
        }
    }

    /// Adds a name and returns its number.
    pub(super) fn add_name(&mut self, name: String) -> Result<u32, Fault> {
        self.names_bytes += name.len() + size_of::<String>();
        if self.names_bytes > NAMES_BYTES_MAX {
            return Err(Fault::Stacks);
        }
        self.names.push(name);
        Ok(self.names.len() as u32 - 1)
    }

    /// Adds a stack of names.
    pub(super) fn add(&mut self, frames: &[u64]) -> Result<(), Fault> {
        self.frames += frames.len() + 1;
        if self.frames > FRAMES_MAX || frames.len() > STACK_FRAMES_MAX {
            return Err(Fault::Stacks);
        }
        let known =
            |&frame: &u64| u32::try_from(frame).ok().filter(|&f| (f as usize) < self.names.len());
        let frames: Option<Vec<u32>> = frames.iter().map(known).collect();
        self.stacks.push(frames.ok_or(Fault::Stacks)?);
        Ok(())
    }

    /// Returns the names, by number.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the stacks as numbers of names.
    pub(super) fn numbers(&self) -> &[Vec<u32>] {
        &self.stacks
    }
}
