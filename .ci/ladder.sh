# Sourced by the three forms, .ci/run, .ci/full and .ci/long: climbs the rungs.
#
# The form sets FORM and RUNGS; arguments are rungs to climb instead of RUNGS. A rung is a short script
# in .ci/rungs whose header says what it proves; it installs what it needs, and reports what cannot be
# had with `skip`. The last lines say how long each took and name all that failed or was skipped.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export FORM CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
SKIPPED_FILE=$(mktemp)
export SKIPPED_FILE
trap 'rm -f "$SKIPPED_FILE"' EXIT

[ $# -gt 0 ] || set -- "${RUNGS[@]}"

summary=()
failures=0
for rung in "$@"; do
    printf '\n===== %s\n' "$rung"
    started=$SECONDS
    outcome=passed
    bash -euo pipefail ".ci/rungs/$rung" || outcome=FAILED
    [ $outcome = passed ] || failures=$((failures + 1))
    summary+=("$(printf '%-14s %s in %5d s' "$rung" $outcome $((SECONDS - started)))")
    printf '===== %s\n' "${summary[-1]}"
done

printf '\n'
printf '%s\n' "${summary[@]}"
cat "$SKIPPED_FILE"
printf '%s form: %d passed, %d failed, %d skipped, %d s\n' "$FORM" $(($# - failures)) $failures \
    "$(wc -l <"$SKIPPED_FILE")" $SECONDS
[ $failures -eq 0 ]
