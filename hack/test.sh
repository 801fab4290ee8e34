#!/usr/bin/env bash
# test.sh vets everything, then runs every test with the race detector: what may start a control plane (all that stands below
# test/), one package at a time and printed as it goes; and beside it, in the time that those tests spend waiting, what needs
# nothing, whose results are printed at the end.
set -euo pipefail
export CGO_ENABLED=1 # for -race
# a program with the race detector sleeps for a second before it ends, and the tests start hundreds
export GORACE="atexit_sleep_ms=50 ${GORACE-}"

echo "vetting, and compiling for the race detector: a few minutes the first time"
go vet ./...
go build -race ./... # so that the two below do not both compile the same

printed=$(mktemp)
units=
end() {
  [ -z "$units" ] || kill -- "-$units" 2>/dev/null || true # a group of its own: the test programs too
  rm -f "$printed" "$printed.list"
}
trap end EXIT

# nice: whatever measures time stands among the others
beside='/test/(design|alerts|dashboard|prometheus)$'
set -m
(go list ./... | grep -E -v '/test/' >"$printed.list"; go list ./test/... | grep -E "$beside" >>"$printed.list"
 nice -n 10 xargs go test -race -timeout 25m <"$printed.list") >"$printed" 2>&1 &
units=$!
set +m

# most of an end-to-end test is waiting: five at a time keep two cores busy, and more make those late that measure time
failed=0
go list ./test/... | grep -E -v "$beside" | xargs --no-run-if-empty go test -race -timeout 20m -p 1 -parallel 5 -count=1 -v || failed=$?

echo "the tests that need nothing, run beside those above:"
wait "$units" || failed=$?
units=
cat "$printed"
exit "$failed"
