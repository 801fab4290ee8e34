#!/usr/bin/env bash
# fuzz.sh [DURATION] [REGEXP] runs each fuzz target, whose name REGEXP finds, for DURATION (30s), one after another, and prints
# what each of them did. What it finds lies in testdata/fuzz of its package afterwards, as a test of "make test"; exit 1 then.
# What needs many threads is never twice the same for the fuzzer, so it does not spend its time on making inputs smaller. FUZZ_PARALLEL is how many processes look at a time (default 1).
set -euo pipefail
duration=${1:-30s} pattern=${2:-.}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ -d /dev/shm ] && [ -w /dev/shm ] && export TMPDIR=/dev/shm # folders by the thousand, which nobody needs on a disk

found=0
while IFS=: read -r file target; do
  package=./$(dirname "$file")
  if go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 20x -parallel "${FUZZ_PARALLEL:-1}" "$package" >"$log" 2>&1; then
    printf '%-24s %-24s %s\n' "$package" "$target" "$(grep -o 'execs: [0-9]*.*' "$log" | tail -n 1)"
  else
    found=1
    printf '%-24s %-24s FAILED\n' "$package" "$target"
    cat "$log"
  fi
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' internal cmd | sed 's/func //' | grep -E ":.*($pattern)" | sort)
exit "$found"
