//! How to install a recorder.

use std::{env, fs};

use thiserror::Error;

use super::Recorder;

/// A recorder is not installed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} installed: {how}")]
pub struct Missing {
    what: String,
    how: String,
}

impl Missing {
    /// Names the requested recorder, or else any, and how to install it.
    pub(super) fn new(asked: Option<Recorder>) -> Self {
        let what = match asked {
            Some(recorder) => format!("{} is not", recorder.name()),
            None => "neither heaptrack nor valgrind is".to_owned(),
        };
        let how = match asked {
            Some(Recorder::SlabRecord) => {
                "it is a part of the lab on 64-bit Linux only; use --with valgrind".to_owned()
            }
            _ => installation(asked),
        };
        Self { what, how }
    }
}

/// Package managers: the `ID` or `ID_LIKE` of `/etc/os-release`, and their command.
const PACKAGES: [(&str, &str); 8] = [
    ("debian", "sudo apt install"),
    ("ubuntu", "sudo apt install"),
    ("fedora", "sudo dnf install"),
    ("rhel", "sudo dnf install"),
    ("arch", "sudo pacman -S"),
    ("suse", "sudo zypper install"),
    ("alpine", "sudo apk add"),
    ("nixos", "nix-shell -p"),
];

/// Returns the command that installs the requested recorder, or else any, on this machine.
pub fn installation(asked: Option<Recorder>) -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    advice(env::consts::OS, &release, asked)
}

fn advice(system: &str, release: &str, asked: Option<Recorder>) -> String {
    let name = |recorder: Option<Recorder>| recorder.map_or("heaptrack", Recorder::name);
    match system {
        "linux" => {
            let known = distributions(release);
            let known = known.iter().find_map(|id| PACKAGES.iter().find(|(known, _)| known == id));
            match (known, asked) {
                (Some((_, command)), Some(_)) => format!("{command} {}", name(asked)),
                (Some((_, command)), None) => {
                    format!("{command} heaptrack (fast), or {command} valgrind (keeps alignments)")
                }
                (None, _) => {
                    format!("install {} with your package manager", name(asked))
                }
            }
        }
        "freebsd" if asked == Some(Recorder::Valgrind) => "pkg install valgrind".to_owned(),
        "freebsd" => "pkg install heaptrack".to_owned(),
        "windows" => "run the program and slab-lab under WSL, or record it on Linux and replay \
                      the file here"
            .to_owned(),
        _ => {
            "neither runs here; record the program on Linux, in a container or a virtual machine, \
             and replay the file here"
                .to_owned()
        }
    }
}

/// Returns the distribution and those it derives from, the nearest first.
fn distributions(release: &str) -> Vec<&str> {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').split_whitespace()
    };
    value("ID").chain(value("ID_LIKE")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_distribution() {
        let debian = "PRETTY_NAME=\"Debian\"\nID=debian\n";
        assert_eq!(advice("linux", debian, Some(Recorder::Valgrind)), "sudo apt install valgrind");
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        assert!(advice("linux", mint, None).contains("sudo apt install heaptrack (fast), or sudo"));
        let suse = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n";
        assert_eq!(
            advice("linux", suse, Some(Recorder::Heaptrack)),
            "sudo zypper install heaptrack"
        );
        let unknown = advice("linux", "", Some(Recorder::Heaptrack));
        assert_eq!(unknown, "install heaptrack with your package manager");
    }

    #[test]
    fn elsewhere_there_is_a_way_too() {
        assert!(advice("macos", "", None).contains("record the program on Linux"));
        assert!(advice("windows", "", None).contains("WSL"));
        let missing = Missing::new(None).to_string();
        assert!(missing.starts_with("neither heaptrack nor valgrind is installed: "), "{missing}");
        let missing = Missing::new(Some(Recorder::Valgrind)).to_string();
        assert!(missing.starts_with("valgrind is not installed: "), "{missing}");
    }
}
