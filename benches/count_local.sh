#!/usr/bin/env bash
# Instructions of an alloc and a free on heaps for many threads, from callgrind: benches/count_local.sh [HEAP…]
# Two runs differ only in the number of pairs, so start-up cancels out. The harness is subtracted.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example local_pairs
program="${CARGO_TARGET_DIR:-target}/release/examples/local_pairs"
[ $# -gt 0 ] || set -- slab-local slab-bytes mimalloc glibc
works=(pair batch churn)
count() { # arguments of the program
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1 |
        awk '/Collected/ { print $NF }'
}
slope() { # HEAP WORK
    awk -v d=$(($(count "$1" "$2" 60000) - $(count "$1" "$2" 20000))) 'BEGIN { printf "%.1f", d / 40000 }'
}
declare -A harness
for work in "${works[@]}"; do
    harness[$work]=$(slope harness "$work")
done
printf '%-12s %10s %10s %10s\n' heap "${works[@]}"
for name in "$@"; do
    printf '%-12s' "$name"
    for work in "${works[@]}"; do
        awk -v all="$(slope "$name" "$work")" -v less="${harness[$work]}" 'BEGIN { printf " %10.1f", all - less }'
    done
    printf '\n'
done
