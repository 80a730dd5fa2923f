//! The lab's end of a worker.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::protocol::{Answer, Request};

/// A running worker; killed when dropped.
#[derive(Debug)]
pub struct Session {
    worker: Child,
    /// `None` once it is closed.
    requests: Option<ChildStdin>,
    answers: Receiver<io::Result<String>>,
}

impl Session {
    /// Starts a worker, this same program, and sends it the trace.
    ///
    /// # Errors
    ///
    /// If the process cannot be started. If it dies while it receives the trace, the next
    /// [`ask`](Self::ask) says why.
    pub fn start(contender: &str, trace: &[u8]) -> io::Result<Self> {
        Self::spawn(Command::new(std::env::current_exe()?), contender, trace)
    }

    /// As [`start`](Self::start), but `command` starts the worker: the path of this program is added to
    /// its arguments.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_under(mut command: Command, contender: &str, trace: &[u8]) -> io::Result<Self> {
        command.arg(std::env::current_exe()?);
        Self::spawn(command, contender, trace)
    }

    fn spawn(mut command: Command, contender: &str, trace: &[u8]) -> io::Result<Self> {
        let mut worker = command
            .args(["worker", contender])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = (worker.stdin.take(), worker.stdout.take());
        let (Some(mut requests), Some(output)) = pipes else {
            return Err(io::Error::other("a worker without pipes"));
        };
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let _dead = requests
            .write_all(&(trace.len() as u64).to_le_bytes())
            .and_then(|()| requests.write_all(trace));
        Ok(Self { worker, requests: Some(requests), answers })
    }

    /// Lets the worker end by itself and waits until it has.
    pub fn finish(mut self) {
        self.requests = None;
        let _ended = self.worker.wait();
    }

    /// Asks the worker and waits for its answer. Every failure is an [`Answer::Failed`]; a worker
    /// that has not answered after `patience` is killed.
    pub fn ask(&mut self, request: Request, patience: Duration) -> Answer {
        let sent =
            serde_json::to_string(&request).map_err(io::Error::from).and_then(
                |line| match &mut self.requests {
                    Some(requests) => writeln!(requests, "{line}"),
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                },
            );
        let answer = match sent {
            Ok(()) => self.answers.recv_timeout(patience),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        let reason = match answer {
            Ok(line) => {
                let parsed = line.and_then(|line| Ok(serde_json::from_str(&line)?));
                match parsed {
                    Ok(answer) => return answer,
                    Err(error) => format!("unreadable answer: {error}"),
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let _gone = self.worker.kill();
                format!("too slow: no answer within {:.1} s", patience.as_secs_f64())
            }
            Err(RecvTimeoutError::Disconnected) => match self.worker.wait() {
                Ok(status) => format!("crashed: {status}"),
                Err(error) => format!("cannot be waited for: {error}"),
            },
        };
        Answer::Failed { reason }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A worker that has already ended needs neither.
        let _gone = self.worker.kill();
        let _reaped = self.worker.wait();
    }
}
