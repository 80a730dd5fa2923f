# Sourced by the jobs.

STAGE=${STAGE:-quick}

# Notes a step whose tool cannot be had: skip NAME WHY.
skip() {
    printf 'SKIPPED: %s, %s\n' "$1" "$2" | tee -a "${SKIPPED_FILE:-/dev/null}"
}

# Returns whether a command can be had, after running the given installer if it is missing.
have() { # have COMMAND INSTALLER…
    local command=$1
    shift
    command -v "$command" >/dev/null || {
        printf '%s is missing: %s\n' "$command" "$*"
        "$@" >/dev/null 2>&1
    }
    command -v "$command" >/dev/null
}

# Adds a target to a toolchain, or says why a step is skipped.
target() { # target TOOLCHAIN TRIPLE
    rustup target add --toolchain "$1" "$2" >/dev/null 2>&1 || {
        skip "$2" "the target cannot be installed for $1"
        return 1
    }
}

# Installs Debian packages that bring a command or a file, or says why a step is skipped. Outside CI it asks
# first, and without a terminal to ask on it names the command instead.
packaged() { # packaged NAME COMMAND-OR-FILE PACKAGE…
    local name=$1 command=$2 answer sudo=()
    shift 2
    installed "$command" && return
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    if [ -z "${CI-}" ]; then
        if [ ! -t 0 ]; then
            skip "$name" "$command is missing: sudo apt-get install --no-install-recommends $*"
            return 1
        fi
        sudo=("${sudo[@]/-n/}")
        read -rp "$name needs the Debian packages $*. Install them? [y/N] " answer
        [[ $answer = [yY]* ]] || {
            skip "$name" "$command is missing"
            return 1
        }
    fi
    printf '%s: installing the Debian packages %s\n' "$name" "$*"
    { "${sudo[@]}" apt-get update && "${sudo[@]}" apt-get install --yes --no-install-recommends "$@"; } \
        >/dev/null 2>&1 </dev/null || true
    installed "$command" || {
        skip "$name" "$command cannot be installed"
        return 1
    }
}

installed() { # installed COMMAND-OR-FILE
    [ -e "$1" ] || command -v "$1" >/dev/null
}

# Adds a component to the nightly toolchain, or says why a step is skipped: component NAME COMPONENT…
component() {
    local name=$1
    shift
    rustup component add --toolchain nightly "$@" >/dev/null 2>&1 || {
        skip "$name" "the nightly toolchain has no $*"
        return 1
    }
}

STABLE=stable
# The parent of the build folders; builds with other flags have separate ones.
BUILD=${CARGO_TARGET_DIR:-target}
# The crates that run without an operating system, and all library crates.
BARE=(slab-traits slab-core slab-local slab-bytes slab-typed slab-binned slab-cache)
LIBRARIES=("${BARE[@]}" slab-pool)
# --package options for the given crates.
packages() {
    printf -- '-p %s ' "$@"
}

# Runs a check of the crate `xtask`, whatever the build folder of the step is.
XTASK=$(realpath -m "$BUILD")/xtask
xtask() { # xtask CHECK ARGUMENT…
    cargo run --quiet --manifest-path xtask/Cargo.toml --target-dir "$XTASK" -- "$@"
}
