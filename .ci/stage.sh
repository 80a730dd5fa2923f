# Sourced by the three stages, .ci/run, .ci/full and .ci/long: runs the jobs.
#
# The stage sets STAGE and JOBS; arguments are jobs to run instead of JOBS. A job is a short script
# in .ci/jobs whose header says what it proves; it installs what it needs, and reports what cannot be
# had with `skip`. The last lines say how long each took and name all that failed or was skipped.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export STAGE CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
SKIPPED_FILE=$(mktemp)
export SKIPPED_FILE
trap 'rm -f "$SKIPPED_FILE"' EXIT

[ $# -gt 0 ] || set -- "${JOBS[@]}"

summary=()
failures=0
for job in "$@"; do
    printf '\n===== %s\n' "$job"
    started=$SECONDS
    outcome=passed
    bash -euo pipefail ".ci/jobs/$job" || outcome=FAILED
    [ $outcome = passed ] || failures=$((failures + 1))
    summary+=("$(printf '%-14s %s in %5d s' "$job" $outcome $((SECONDS - started)))")
    printf '===== %s\n' "${summary[-1]}"
done

printf '\n'
printf '%s\n' "${summary[@]}"
cat "$SKIPPED_FILE"
printf '%s stage: %d passed, %d failed, %d skipped, %d s\n' "$STAGE" $(($# - failures)) $failures \
    "$(wc -l <"$SKIPPED_FILE")" $SECONDS
[ $failures -eq 0 ]
