#!/usr/bin/env bash
# Instructions of one operation in a fragmented heap as its region grows: benches/worst.sh [ALLOCATOR…]
#
# Each heap is filled with blocks of eight kibibytes, every second of which is freed; then one
# operation is counted with callgrind (examples/worst.rs):
#   small    1500 bytes, for which a segment is carved      large    a block that fits a hole
#   aligned  2000 bytes at a multiple of 2048               merge    a free between two holes
#   unaligned  6000 bytes at a multiple of half a mebibyte, where no hole lies
#   refused  a kibibyte more than any hole, in holes of 72 KiB, which share a bin with the request
# slab-bytes looks at no more than 32 holes before it refuses, slab-bytes/bounded at two.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slab-benches --example worst
program="${CARGO_TARGET_DIR:-target}/release/examples/worst"
[ $# -gt 0 ] || set -- slab-bytes slab-bytes/bounded slab-bytes/compact talc rlsf dlmalloc
sizes='1 16 256 1024'
works='small large aligned merge unaligned refused'
printf '%-24s %5s' allocator MiB
printf ' %11s' $works
printf '\n'
for name in "$@"; do
    for mebibytes in $sizes; do
        printf '%-24s %5d' "$name" "$mebibytes"
        for work in $works; do
            count=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
                --toggle-collect='*counted_*' "$program" "$name" "$mebibytes" "$work" 2>&1 |
                awk '/Collected/ { print $NF }') || count=failed
            printf ' %11s' "$count"
        done
        printf '\n'
    done
done
