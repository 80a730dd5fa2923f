#!/usr/bin/env bash
# Instructions of slab-binned, from callgrind: benches/count_binned.sh
#
# A free and an alloc_dirty of mixed sizes, compared with cjc-runtime, and with a fingerprint or a log. Each program
# runs with two amounts of work, so start-up cancels out.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example binned
examples="${CARGO_TARGET_DIR:-target}/release/examples"
count() { # program and its arguments
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 |
        awk '/Collected/ { print $NF }'
}
printf '%-24s %10s\n' 'free + alloc_dirty' 'per pair'
for name in harness cjc-runtime off fingerprint log; do
    few=$(count "$examples/binned" $name 20000)
    many=$(count "$examples/binned" $name 60000)
    printf '%-24s %10s\n' $name "$(awk -v d=$((many - few)) 'BEGIN { printf "%.1f", d / 40000 }')"
done
