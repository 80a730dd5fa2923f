#!/usr/bin/env bash
# Instructions per acquire and release of slab-pool, and per alloc and free of mimalloc, from callgrind:
# benches/count_pool.sh
# Two runs differ only in the number of pairs, so start-up cancels out; the empty loop is subtracted. `zeroed` writes a
# hundred bytes in between, which the next acquire clears. `slice`, `split` and `chain` are of ours, those with a name behind them of
# rivals: a slice is made and dropped; a clone is split in two; four parts are gathered, and written in steps of 1000 bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example pool_pair
program="${CARGO_TARGET_DIR:-target}/release/examples/pool_pair"
out=$(mktemp)
trap 'rm -f "$out"' EXIT

total() { # total WORK BYTES PAIRS
    valgrind --tool=callgrind --callgrind-out-file="$out" "$program" "$@" 2>/dev/null
    awk '/^(totals|summary):/ { print $2; exit }' "$out"
}
per_pair() { # per_pair WORK BYTES
    echo $((($(total "$1" "$2" 30000) - $(total "$1" "$2" 10000)) / 20000))
}

printf '%-14s %8s  %12s\n' contender bytes instructions
loop=$(per_pair nothing 4096)
for work in clean unzeroed for-write zeroed arena bytesbuf mimalloc; do
    for bytes in 4096 65536 1048576; do
        printf '%-14s %8d  %12d\n' "$work" "$bytes" $(($(per_pair "$work" "$bytes") - loop))
    done
done
for work in slice slice-bytes slice-bytesbuf split split-bytes chain chain-bytes chain-bytesbuf; do
    printf '%-14s %8d  %12d\n' "$work" 4096 $(($(per_pair "$work" 4096) - loop))
done
