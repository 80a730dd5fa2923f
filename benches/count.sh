#!/usr/bin/env bash
# Instructions per alloc + free pair, from callgrind: benches/count.sh [ALLOCATOR…]
# Two runs differ only in the number of pairs, so start-up cancels out.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example pairs
program="${CARGO_TARGET_DIR:-target}/release/examples/pairs"
[ $# -gt 0 ] || set -- harness slab-bytes slab-bytes/unchecked talc rlsf buddy_system_allocator dlmalloc axallocator
count() { # arguments of the program
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1 |
        awk '/Collected/ { print $NF }'
}
printf '%-24s %10s %10s\n' allocator 'hot 64' 'batch 64'
for name in "$@"; do
    printf '%-24s' "$name"
    for pattern in hot batch; do
        few=$(count "$name" $pattern 64 10000)
        many=$(count "$name" $pattern 64 30000)
        printf ' %10s' "$(awk -v d=$((many - few)) 'BEGIN { printf "%.1f", d / 20000 }')"
    done
    printf '\n'
done
