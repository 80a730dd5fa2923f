//! Mistakes acted out in a child process, because they may end the program.
//!
//! The child is the test program itself, told to run one test alone; that test asks for its [`cell`]
//! and acts it out. What the child says and how it ended is the [`Ending`]. A child that does not end in
//! time is killed, and its test fails.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Names the cell that a child is to act out.
const CELL: &str = "SLAB_CELL";
/// What runs a program of another machine, with its arguments; cargo's runner, which starts the parent, does not start
/// its children.
const RUNNER: &str = "SLAB_RUNNER";
/// What a child says before and after its mistake.
const BEFORE: &str = "the mistake begins";
const AFTER: &str = "the mistake passed";
/// How long a child may take to come to its mistake: programs of other machines start slowly.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take afterwards, unless a test says otherwise.
const LIMIT: Duration = Duration::from_secs(2);
/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Returns what this process is to act out, if it is a child. A panic there prints its message alone.
pub fn cell() -> Option<String> {
    let cell = cell_unhooked()?;
    // The default one looks up names for a backtrace, which takes most of a second.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    Some(cell)
}

/// As [`cell`], but a panic is reported as in any program, with the backtrace that `RUST_BACKTRACE` asks
/// for. A backtrace allocates.
pub fn cell_unhooked() -> Option<String> {
    env::var(CELL).ok()
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

/// Runs one test of this program in a process of its own, which is to act out `cell`: a [`Child`] with
/// the default time limit and the environment of this process.
///
/// # Panics
///
/// As [`Child::run`].
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
    /// Prepares a process that runs the test named `test`, which is to act out `cell`.
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
        let limit = if runner.is_empty() { LIMIT } else { LIMIT * 10 };
        Self { command, cell: cell.to_owned(), limit }
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets how long the child may run once its [`mistake`] has begun. The default is two seconds, and
    /// twenty in an emulator.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the child to its end.
    ///
    /// # Panics
    ///
    /// If the program cannot be run, never comes to its [`mistake`], or does not end in time; it is
    /// killed then. The message has what the child said until then.
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

    /// Waits for the end of the child, or returns what it took too long for.
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

/// What a child has written to its standard error so far.
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
            Some("hang") => mistake(|| thread::sleep(START_MAX)),
            Some("variable") => mistake(|| panic!("{:?}", env::var("SLAB_TEST"))),
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

    #[test]
    fn kills_a_child_that_hangs_and_passes_on_what_it_said() {
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
