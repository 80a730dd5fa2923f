#!/usr/bin/env bash
# Instructions per alloc and drop of a 64-byte object, from callgrind: benches/count_cache.sh
# The cost of the loop and its value is measured as a separate contender and subtracted.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example cache_pairs
program="${CARGO_TARGET_DIR:-target}/release/examples/cache_pairs"
count() { # count CONTENDER TIMES
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        awk '/Collected/ { print $NF }'
}
per_pair() { # per_pair CONTENDER
    echo $((($(count "$1" 20000) - $(count "$1" 10000)) / 100))
}
printf '%-14s  %12s\n' contender instructions
base=$(per_pair nothing)
for name in unchecked checked hardened spin thread-caches dyn rc arc plurality box std-rc; do
    awk -v name="$name" -v count="$(($(per_pair "$name") - base))" \
        'BEGIN { printf "%-14s  %12.1f\n", name, count / 100 }'
done
