//! Mistakes acted out in a child process, because they may end the program.
//!
//! The child is the test program itself, told to run one test alone; that test asks for its [`cell`]
//! and acts it out. What the child says and how it ended is the [`Ending`].

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, ExitStatus};

/// Names the cell that a child is to act out.
const CELL: &str = "SLAB_CELL";
/// What runs a program of another machine, with its arguments; cargo's runner, which starts the parent, does not start
/// its children.
const RUNNER: &str = "SLAB_RUNNER";
/// What a child says before and after its mistake.
const BEFORE: &str = "the mistake begins";
const AFTER: &str = "the mistake passed";

/// Returns what this process is to act out, if it is a child.
pub fn cell() -> Option<String> {
    let cell = env::var(CELL).ok()?;
    // The default one looks up names for a backtrace, which takes most of a second.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    Some(cell)
}

/// Makes a mistake, so that whoever looks at the child knows that it came to it and whether it went
/// on afterwards. In a process that is no child it is just made.
pub fn mistake<T>(action: impl FnOnce() -> T) -> T {
    let tells = env::var_os(CELL).is_some();
    if tells {
        eprintln!("{BEFORE}");
    }
    let value = action();
    if tells {
        eprintln!("{AFTER}");
    }
    value
}

/// Runs one test of this program in a process of its own, which is to act out `cell`.
///
/// # Panics
///
/// If the program cannot be run, or never came to its [`mistake`].
pub fn run_child(test: &str, cell: &str) -> Ending {
    let program = env::current_exe().expect("a test has a program");
    let runner = env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([program.as_os_str()]);
    let output = Command::new(words.next().expect("the program at least"))
        .args(words)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CELL, cell)
        .output()
        .expect("a program can run itself");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(BEFORE), "{cell}: the child never came to its mistake: {said}");
    Ending { cell: cell.to_owned(), status: output.status, said }
}

/// How a child ended that came to its mistake.
#[derive(Debug)]
pub struct Ending {
    cell: String,
    status: ExitStatus,
    said: String,
}

impl Ending {
    /// Returns whether the child went on after its mistake.
    pub fn went_on(&self) -> bool {
        self.said.contains(AFTER)
    }

    /// # Panics
    ///
    /// Unless the mistake ended the child, which said each of `words`.
    #[track_caller]
    pub fn assert_ended(&self, words: &[&str]) {
        assert!(!self.went_on() && !self.status.success(), "{self}");
        assert!(words.iter().all(|word| self.said.contains(word)), "{self}");
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended with {}: {}", self.cell, self.status, self.said)
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// The child's part; on its own it does nothing.
    #[test]
    fn acts() {
        match cell().as_deref() {
            None => {}
            Some("harmless") => mistake(|| {}),
            Some("abort") => mistake(|| std::process::abort()),
            Some("panic") => mistake(|| panic!("seven")),
            Some(_) => {}
        }
    }

    #[test]
    fn tells_an_end_from_going_on() {
        let act = |cell| run_child("child::tests::acts", cell);
        assert!(act("harmless").went_on());
        act("abort").assert_ended(&[]);
        act("panic").assert_ended(&["seven"]);
        assert!(catch_unwind(|| act("harmless").assert_ended(&[])).is_err());
        assert!(catch_unwind(|| act("panic").assert_ended(&["eight"])).is_err());
        assert!(catch_unwind(|| act("unknown")).is_err(), "it came to no mistake");
    }
}
