#!/usr/bin/env bash
# Instructions per call of slab-typed and of slab, from callgrind: benches/count_handles.sh
# Printed are the instructions of the called function and its callees, divided by the number of calls.
# Growth is part of insertion.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example handles
program="${CARGO_TARGET_DIR:-target}/release/examples/handles"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
printf '%-12s %-8s %14s\n' crate '  call' instructions
for name in slab-typed slab; do
    for operation in get insert take churn; do
        valgrind --tool=callgrind --callgrind-out-file="$out" "$program" "$name" "$operation" 10000 2>/dev/null
        callgrind_annotate --threshold=100 --inclusive=yes "$out" |
            awk -v callee="_$operation" -v name="$name" -v operation="$operation" \
                '!found && $0 ~ "handles::[a-z]+" callee { gsub(",", "", $1); printf "%-12s   %-8s %14.1f\n", name, operation, $1 / 10000; found = 1 }'
    done
done
