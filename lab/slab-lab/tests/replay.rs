//! The commands as a user runs them.

use std::process::Command;

use serde_json::Value;

fn lab(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_slab-lab")).args(arguments).output();
    let output = output.expect("the lab starts");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).expect("text"), output.status.code())
}

#[test]
fn json_has_the_documented_shape() {
    let allocators = ["--allocator", "slab-bytes", "--allocator", "talc", "--allocator", "system"];
    let arguments = ["replay", "--json", "--quick", "--arena", "--trace", "mawk"];
    let (text, code) = lab(&[&arguments[..], &allocators].concat());
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&text).expect("JSON and nothing else");
    let trace = &json["traces"][0];
    assert_eq!(trace["trace"], "mawk");
    assert_eq!(trace["operations"], 35847);
    assert_eq!(trace["peak_live_bytes"], 31279);
    let results = trace["results"].as_array().expect("results");
    assert_eq!(results.len(), 3);
    for (result, name) in results.iter().zip(["slab-bytes", "talc", "system"]) {
        assert_eq!(result["allocator"], name);
        assert_eq!(result["status"], "ok");
        assert!(result["ns_per_op"].is_f64());
        let arena = result["smallest_arena_bytes"].as_u64();
        match result["footprint_bytes"].as_u64() {
            Some(footprint) => {
                assert!((31279..1_000_000).contains(&footprint), "{name}: {footprint}");
                assert!((31279..1_000_000).contains(&arena.expect(name)), "{name}: {arena:?}");
            }
            None => assert_eq!((name, arena), ("system", None)),
        }
    }
}

#[test]
fn every_embedded_trace_can_be_read() {
    let (text, code) = lab(&["info"]);
    assert_eq!(code, Some(0));
    for name in ["mawk", "nginx", "lua", "imagemagick", "python"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn names_are_listed() {
    for arguments in [&["--list"][..], &["replay", "--list"]] {
        let (text, code) = lab(arguments);
        assert_eq!(code, Some(0));
        for name in ["mawk", "cc1plus", "slab-bytes/unchecked", "checks off", "talc", "system"] {
            assert!(text.contains(name), "{name}: {text}");
        }
    }
}

#[test]
fn help_names_a_default_once() {
    let (text, _) = lab(&["plot", "--help"]);
    assert_eq!(text.matches("[default: slab-bytes]").count(), 1, "{text}");
}

#[test]
fn plot_draws_a_file_per_allocator() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let arguments = ["plot", "--trace", "mawk", "--output", directory, "--allocator"];
    for name in ["slab-bytes/unchecked", "talc"] {
        let (text, code) = lab(&[&arguments[..], &[name]].concat());
        assert_eq!(code, Some(0));
        let drawing = std::fs::read_to_string(text.trim_end()).expect(name);
        assert!(drawing.starts_with("<svg") && drawing.trim_end().ends_with("</svg>"));
        assert!(drawing.contains(&format!("mawk on {name}")));
        assert!(drawing.matches("<rect").count() > 20);
    }
    let (text, _) = lab(&[&arguments[..], &["system"]].concat());
    assert_eq!(text, "mawk: system: has no region\n");
}

#[test]
fn space_is_measured_for_larger_blocks_too() {
    let one = ["--trace", "mawk", "--allocator", "slab-bytes"];
    let (text, code) = lab(&[&["space", "--perturb"][..], &one].concat());
    assert_eq!(code, Some(0));
    for part in ["mawk: 35,847", "mawk + 8 B: 35,847", "mawk + 24 B: ", "worst region × live"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("3/3"), "{text}");
}

#[test]
fn instructions_are_counted_above_the_harness() {
    let arguments = ["count", "--trace", "mawk", "--allocator", "slab-bytes", "--json"];
    if !slab_lab::replay::counter_is_installed() {
        return println!("skipped: valgrind is not installed");
    }
    let (text, code) = lab(&arguments);
    assert_eq!(code, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON and nothing else");
    assert_eq!(json[0]["allocator"], "slab-bytes");
    let count = json[0]["instructions_per_op"]["mawk"].as_f64().expect("a number");
    assert!((10.0..5000.0).contains(&count), "{count}");
}

#[test]
fn a_missing_valgrind_skips_the_count() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    let output = command.args(["count", "--trace", "mawk"]).env("PATH", "").output();
    let output = output.expect("the lab starts");
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"SKIPPED: valgrind"), "{output:?}");
}

#[test]
fn threads_share_a_heap() {
    let heaps = ["slab-bytes", "talc", "mimalloc", "system"];
    let heaps = heaps.iter().flat_map(|heap| ["--allocator", heap]);
    let start = ["threads", "--trace", "mawk", "--copies", "3", "--rounds", "1"];
    let arguments: Vec<&str> = start.into_iter().chain(heaps).collect();
    let (text, code) = lab(&arguments);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("mawk: 35,847 requests; 3 threads: each makes all requests"), "{text}");
    assert_eq!(text.matches(" ok |").count(), 4, "{text}");
}
