//! How a report was made: command, date, machine, versions.

use std::env;

use crate::html::Provenance;
use crate::machine;
use crate::replay::Measures;

/// Gathers how a report is made. Unknown facts are left out.
pub(super) fn gather(measures: Measures, mut left_out: Vec<String>) -> Provenance {
    if cfg!(debug_assertions) {
        left_out.push(
            "The lab was built without optimisation, so the times mean nothing: use \
             `cargo run --release`."
                .to_owned(),
        );
    }
    if !measures.arena {
        left_out.push("The smallest regions were not measured.".to_owned());
    }
    Provenance {
        command: command(env::args_os().map(|argument| argument.to_string_lossy().into_owned())),
        date: machine::now(),
        machine: machine::describe(),
        lab: format!(
            "slab-lab {}, {} build, {}",
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) { "debug" } else { "release" },
            machine::RUSTC,
        ),
        rounds: measures.rounds,
        recording: None,
        left_out,
    }
}

/// Quotes a command line so that it can be pasted into a shell.
pub(super) fn command(arguments: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@%".contains(c);
    let quoted = arguments.enumerate().map(|(index, argument)| {
        let argument = match (index, argument.rsplit(['/', '\\']).next()) {
            // The directory of the program is private.
            (0, Some(name)) => name.to_owned(),
            _ => argument,
        };
        // Control characters could drive the terminal.
        let argument = argument.replace(char::is_control, "?");
        match !argument.is_empty() && argument.chars().all(plain) {
            true => argument,
            false => format!("'{}'", argument.replace('\'', r"'\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let arguments = ["/home/me/slab-lab", "report", "my file.raw", "", "it's", "\u{1b}[m"];
        let command = command(arguments.into_iter().map(str::to_owned));
        assert_eq!(command, r"slab-lab report 'my file.raw' '' 'it'\''s' '?[m'");
    }
}
