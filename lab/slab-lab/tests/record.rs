//! `record` and `report` as a user runs them. Tests skip a recorder that is not installed, and print
//! that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use roxmltree::{Document, ParsingOptions};
use slab_lab::record::Recorder;
use slab_peers::contenders;

const RECORDERS: [Recorder; 3] = Recorder::ALL;

/// Makes an empty directory for one test. Temporary files go there too, so that leftovers are seen.
fn place(name: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _none_yet = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("a directory for tests");
    place
}

fn lab(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    command
        .args(arguments)
        .current_dir(place)
        .env("TMPDIR", place)
        .output()
        .expect("the lab starts")
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Returns the installed recorders and prints the others.
fn installed() -> impl Iterator<Item = &'static str> {
    RECORDERS.into_iter().filter_map(|recorder| {
        let found = recorder.is_installed();
        if !found {
            println!("skipped: {} is not installed", recorder.name());
        }
        found.then(|| recorder.name())
    })
}

/// A program that every system with a shell has, that allocates, and that ends as told.
const SHELL: [&str; 3] = ["--", "/bin/sh", "-c"];

fn files(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).expect("a directory").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Asserts that the lab ended with a code and printed one line that contains a text.
fn refused(output: &Output, code: i32, expected: &str) {
    let errors = said(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let own: Vec<&str> = errors
        .lines()
        .filter(|line| line.starts_with("slab-lab: ") && !line.starts_with("slab-lab: recording "))
        .collect();
    assert!(own.len() == 1 && own[0].contains(expected), "{expected}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_program_is_recorded_and_reported() {
    for recorder in installed() {
        let place = place(&format!("recorded-{recorder}"));
        let only = ["--allocator", "slab-bytes", "--allocator", "talc"];
        let start = ["record", "--quick", "--with", recorder, "--keep", "kept.slabtrace"];
        let program = ["--", "ls", "-l", "/"];
        let output = lab(&place, &[&start[..], &only, &program].concat());
        let (out, errors) = (said(&output.stdout), said(&output.stderr));
        assert!(output.status.success(), "{errors}");
        assert!(out.contains("etc") && (out.contains("or ls")), "{out}");
        assert!(errors.contains(&format!("recording ls -l / with {recorder}")), "{errors}");
        let page = fs::read_to_string(place.join("report.html")).expect("a report");
        assert!(page.contains("ls -l /, recorded with"), "the page does not name the recording");
        // The temporary directory is gone.
        assert_eq!(files(&place), ["kept.slabtrace", "report.html"]);
        let info = lab(&place, &["info", "kept.slabtrace"]);
        assert!(said(&info.stdout).contains("| ls "), "{}", said(&info.stdout));
    }
}

#[test]
fn a_program_that_fails_passes_its_code_on() {
    for recorder in installed() {
        let place = place(&format!("failing-{recorder}"));
        let start = ["record", "--quick", "--with", recorder];
        let output = lab(&place, &[&start[..], &SHELL, &["exit 7"]].concat());
        refused(&output, 7, "sh failed with exit code 7; nothing was replayed");
        let output = lab(&place, &[&start[..], &SHELL, &["kill -SEGV $$"]].concat());
        refused(&output, 128 + 11, "sh was ended by signal 11; nothing was replayed");
        assert_eq!(files(&place), [""; 0]);
    }
}

#[test]
fn an_interrupt_ends_the_program_and_not_the_recording() {
    for recorder in installed() {
        let place = place(&format!("interrupted-{recorder}"));
        let start = ["record", "--quick", "--allocator", "talc", "--with", recorder];
        // Enough work that something was written before.
        let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); eval v$i=$i; done; kill -INT $$";
        let output = lab(&place, &[&start[..], &SHELL, &[script]].concat());
        assert!(output.status.success(), "{}", said(&output.stderr));
        assert_eq!(files(&place), ["report.html"]);
    }
}

#[cfg(unix)]
#[test]
fn a_script_is_pointed_out() {
    use std::os::unix::fs::PermissionsExt as _;

    for recorder in installed() {
        let place = place(&format!("script-{recorder}"));
        let script = place.join("script");
        fs::write(&script, "#!/bin/sh\necho done\n").expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script");
        let start = ["record", "--quick", "--allocator", "talc", "--with", recorder];
        let output = lab(&place, &[&start[..], &["--", "./script"]].concat());
        let errors = said(&output.stderr);
        // Whether anything is seen of it depends on how the shell ends. slab-record sees all processes.
        let is_pointed_out = errors.contains("./script is a script");
        assert_eq!(is_pointed_out, recorder != Recorder::SlabRecord.name(), "{errors}");
    }
}

#[cfg(unix)]
#[test]
fn a_recorder_that_sees_nothing_is_an_error() {
    use std::os::unix::fs::PermissionsExt as _;

    // A recorder that records nothing stands for a program that cannot be watched.
    let place = place("silent");
    let fake = place.join("valgrind");
    let script =
        "#!/bin/sh\nfor a; do case $a in --log-file=*) echo '==7== M' >\"${a#*=}\";; esac; done\n";
    fs::write(&fake, script).expect("a script");
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("a script");
    let path = format!("{}:/usr/bin:/bin", place.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    command.args(["record", "--with", "valgrind", "--", "ls"]).env("PATH", path);
    let output =
        command.current_dir(&place).env("TMPDIR", &place).output().expect("the lab starts");
    refused(&output, 2, "ls allocated nothing that could be seen");
    assert_eq!(files(&place), ["valgrind"]);
}

#[test]
fn invalid_arguments_are_refused_before_the_program_runs() {
    let place = place("refused");
    fs::write(place.join("text"), "no program").expect("a file");
    let lab = |arguments: &[&str]| lab(&place, arguments);
    refused(&lab(&["record", "--", "/nonsuch/program"]), 2, "/nonsuch/program: no such program");
    refused(&lab(&["record", "--", "nonsuch-program"]), 2, "nonsuch-program: no such program");
    refused(&lab(&["record", "--", "./text"]), 2, "./text: is not an executable file");
    refused(&lab(&["record", "-o", "/nonsuch/r.html", "--", "ls"]), 2, "cannot be written");
    refused(&lab(&["record", "--allocator", "x", "--", "ls"]), 2, "no allocator is named x");
    let mut nothing = Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    nothing.args(["record", "--with", "heaptrack", "--", "/bin/sh"]);
    nothing.current_dir(&place).env("PATH", &place);
    let output = nothing.output().expect("the lab starts");
    refused(&output, 2, "heaptrack is not installed: ");
    assert_eq!(files(&place), ["text"]);
}

#[test]
fn a_report_shows_every_allocator() {
    let place = place("report");
    let output = lab(&place, &["report", "--quick", "--trace", "mawk", "-o", "mawk.html"]);
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert!(said(&output.stdout).starts_with("For mawk "), "{}", said(&output.stdout));
    let page = fs::read_to_string(place.join("mawk.html")).expect("a report");
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&page, options).expect("well-formed");
    let rows = document.descendants().filter(|node| node.attribute("scope") == Some("row"));
    let rows: Vec<&str> = rows.filter_map(|row| row.last_child()?.text()).collect();
    let names: Vec<&str> = contenders().iter().map(|contender| contender.name()).collect();
    assert_eq!(rows, names);
    assert!(page.contains("slab-lab report --quick --trace mawk -o mawk.html"), "no command");
    assert!(!page.contains("http:") && !page.contains("https:"), "something from elsewhere");
}

#[test]
fn a_report_that_cannot_be_written_is_refused_at_once() {
    let place = place("unwritable");
    for output in ["/nonsuch/report.html", "."] {
        let output = lab(&place, &["report", "-o", output]);
        refused(&output, 2, "cannot be written");
    }
    assert_eq!(files(&place), [""; 0]);
}
