#!/usr/bin/env bash
# test.sh vets everything, then runs every test with the race detector: first what needs nothing, then, one package at a time
# and printed as it goes, what stands below test/ and may start a control plane.
set -euo pipefail
export CGO_ENABLED=1 # for -race

echo "vetting, and compiling for the race detector: a few minutes the first time"
go vet ./...
go list ./... | grep -v /test/ | xargs go test -race -timeout 15m ./test/design
# most of an end-to-end test is waiting: four at a time keep two cores busy
go list ./test/... | grep -v /test/design | xargs --no-run-if-empty go test -race -timeout 20m -p 1 -parallel 4 -count=1 -v
