//! Runs mistakes in a child process, because they may end the process.
//!
//! The child is the test program itself, started with one test only. That test reads its [`cell`], the name of
//! one case of a misuse matrix, and makes the mistake. The [`Ending`] has the text that the child printed and
//! its exit status. A child that does not end in time is killed, and its test fails.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The variable with the cell of a child.
const CELL: &str = "SLAB_CELL";
/// The variable with the emulator that runs programs of another machine, and its arguments. Cargo's runner starts
/// the parent only.
const RUNNER: &str = "SLAB_RUNNER";
/// The variable that is set where programs run slowly, under a sanitizer, so that children may take longer.
const SLOW: &str = "SLAB_SLOW";
/// The lines that a child prints before and after its mistake.
const BEFORE: &str = "the mistake begins";
const AFTER: &str = "the mistake passed";
/// The time a child may take to reach its mistake. Emulated programs start slowly.
const START_MAX: Duration = Duration::from_secs(60);
/// The default time a child may take after the mistake has begun.
const LIMIT: Duration = Duration::from_secs(2);
/// The interval at which a running child is polled.
const POLL: Duration = Duration::from_millis(5);

/// Returns the cell of this process, if it is a child. A panic then prints its message only.
pub fn cell() -> Option<String> {
    let cell = cell_unhooked()?;
    // The default hook prints a backtrace, which takes most of a second.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    Some(cell)
}

/// Returns the cell of this process, if it is a child. A panic is reported as in any program, with a backtrace
/// if `RUST_BACKTRACE` is set. A backtrace allocates.
pub fn cell_unhooked() -> Option<String> {
    env::var(CELL).ok()
}

/// Makes a mistake. A child prints a line before and after it, so that the parent knows whether the child
/// reached the mistake and continued after it.
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

/// Runs one test of this program for `cell` in a [`Child`] with the default time limit and the environment of
/// this process.
///
/// # Panics
///
/// If the child cannot be run, does not reach its mistake, or does not end in time.
pub fn run_child(test: &str, cell: &str) -> Ending {
    Child::new(test, cell).run()
}

/// A process that runs one test of this program.
#[derive(Debug)]
pub struct Child {
    command: Command,
    cell: String,
    limit: Duration,
}

impl Child {
    /// Prepares a process that runs the test named `test` for `cell`.
    ///
    /// # Panics
    ///
    /// If the path of this program is unknown.
    pub fn new(test: &str, cell: &str) -> Self {
        let program = env::current_exe().expect("a test has a program");
        let runner = env::var(RUNNER).unwrap_or_default();
        let mut words = runner.split_whitespace().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command
            .args(words)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CELL, cell)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let is_slow = !runner.is_empty() || env::var_os(SLOW).is_some();
        let limit = if is_slow { LIMIT * 10 } else { LIMIT };
        Self { command, cell: cell.to_owned(), limit }
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets how long the child may run after its [`mistake`] has begun. The default is 2 seconds, and 20 in an
    /// emulator or with `SLAB_SLOW` set.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the child to its end.
    ///
    /// # Panics
    ///
    /// If the child cannot be run, does not reach its [`mistake`], or does not end in time; it is then killed.
    /// The message has the text that the child printed.
    pub fn run(mut self) -> Ending {
        let mut process = self.command.spawn().expect("a program can run itself");
        let said = Said::default();
        let mut pipe = process.stderr.take().expect("it is a pipe");
        let reader = thread::spawn({
            let said = said.clone();
            move || said.read_to_end(&mut pipe)
        });
        let cell = &self.cell;
        let status = match self.wait(&mut process, &said) {
            Ok(status) => status,
            Err(late) => {
                process.kill().and_then(|()| process.wait()).expect("a child can be killed");
                panic!("{cell}: the child {late}: {}", said.text());
            }
        };
        reader.join().expect("reading a pipe does not panic");
        let said = said.text();
        assert!(said.contains(BEFORE), "{cell}: the child never came to its mistake: {said}");
        Ending { cell: self.cell, status, said }
    }

    /// Waits for the end of the child, or returns which time limit it exceeded.
    fn wait(&self, process: &mut process::Child, said: &Said) -> Result<ExitStatus, String> {
        let started = Instant::now();
        let mut begun = None;
        loop {
            if let Some(status) = process.try_wait().expect("the process is a child") {
                return Ok(status);
            }
            if begun.is_none() && said.text().contains(BEFORE) {
                begun = Some(Instant::now());
            }
            match begun {
                Some(begun) if begun.elapsed() > self.limit => {
                    return Err(format!("did not end within {:?} of its mistake", self.limit));
                }
                None if started.elapsed() > START_MAX => {
                    return Err(format!("did not come to its mistake within {START_MAX:?}"));
                }
                _ => thread::sleep(POLL),
            }
        }
    }
}

/// The text that a child has written to standard error so far.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn read_to_end(&self, pipe: &mut impl Read) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..count]);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// How a child ended after it reached its mistake.
#[derive(Debug)]
pub struct Ending {
    cell: String,
    status: ExitStatus,
    said: String,
}

impl Ending {
    /// Returns whether the child continued after its mistake.
    pub fn went_on(&self) -> bool {
        self.said.contains(AFTER)
    }

    /// # Panics
    ///
    /// Unless the mistake ended the child and the child printed each of `words`.
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

    /// The test that runs in the child. In the parent it does nothing.
    #[test]
    fn acts() {
        match cell().as_deref() {
            None => {}
            Some("harmless") => mistake(|| {}),
            Some("abort") => mistake(|| std::process::abort()),
            Some("panic") => mistake(|| panic!("seven")),
            Some("hang") => mistake(|| thread::sleep(START_MAX)),
            Some("variable") => mistake(|| panic!("{:?}", env::var("SLAB_TEST"))),
            Some(_) => {}
        }
    }

    #[test]
    fn an_end_and_a_continuation_are_told_apart() {
        let act = |cell| run_child("child::tests::acts", cell);
        assert!(act("harmless").went_on());
        act("abort").assert_ended(&[]);
        act("panic").assert_ended(&["seven"]);
        assert!(catch_unwind(|| act("harmless").assert_ended(&[])).is_err());
        assert!(catch_unwind(|| act("panic").assert_ended(&["eight"])).is_err());
        assert!(catch_unwind(|| act("unknown")).is_err(), "it came to no mistake");
    }

    #[test]
    fn a_child_that_hangs_is_killed_and_its_text_is_reported() {
        let child = Child::new("child::tests::acts", "hang").time_limit(Duration::from_millis(50));
        let started = Instant::now();
        let report = catch_unwind(std::panic::AssertUnwindSafe(|| child.run())).unwrap_err();
        let message = report.downcast::<String>().expect("a message");
        assert!(message.contains("hang: the child did not end within 50ms"), "{message}");
        assert!(message.contains(BEFORE) && !message.contains(AFTER), "{message}");
        assert!(started.elapsed() < START_MAX);
    }

    #[test]
    fn passes_variables_to_the_child() {
        let child = Child::new("child::tests::acts", "variable").env("SLAB_TEST", "eleven");
        child.run().assert_ended(&["eleven"]);
    }
}
