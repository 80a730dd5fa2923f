# Sourced by the rungs.

# Notes a step whose tool cannot be had: skip NAME WHY.
skip() {
    printf 'SKIPPED: %s, %s\n' "$1" "$2" | tee -a "${SKIPPED_FILE:-/dev/null}"
}

# Returns whether a command can be had, after running the given installer if it is missing.
have() { # have COMMAND INSTALLER…
    local command=$1
    shift
    command -v "$command" >/dev/null || "$@" >/dev/null 2>&1
    command -v "$command" >/dev/null
}

# Adds a target to a toolchain, or says why a step is skipped.
target() { # target TOOLCHAIN TRIPLE
    rustup target add --toolchain "$1" "$2" >/dev/null 2>&1 || {
        skip "$2" "the target cannot be installed for $1"
        return 1
    }
}

STABLE=stable
# What runs without an operating system, and the rest.
BARE=(slab-traits slab-core slab-bytes slab-typed slab-binned slab-cache)
LIBRARIES=("${BARE[@]}" slab-pool)
# --package options for the given crates.
packages() {
    printf -- '-p %s ' "$@"
}
