# `make` lists the targets. KUBERNETES_VERSION chooses what the tests run against; KUBEBUILDER_ASSETS names a folder that
# has the control plane's programs already.
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL     := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

programs := test/controlplane/programs
cp_dir   := bin/control-plane
KUBERNETES_VERSION ?= $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2; exit }' $(programs)/go.mod)
export KUBERNETES_VERSION

# Asked of git only by what uses it.
version = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The root file system of the machines that tests boot.
node_root := bin/node-root/etc/os-release

# The programs that make packages; tests make some.
package_tools := bin/tools/nfpm bin/tools/cyclonedx-gomod

# Prometheus' programs from Debian's packages, and its parser of queries; tests use them.
prometheus := $(addprefix bin/prometheus/,prometheus promtool prometheus-node-exporter)

# With KUBEBUILDER_ASSETS set nothing of the control plane is built: it is only looked at.
cp_names := etcd kube-apiserver kube-controller-manager kubectl
cp_files := $(if $(KUBEBUILDER_ASSETS),,$(addprefix $(cp_dir)/,$(cp_names)))

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: control-plane build ## a node gets its certificates, here and now, from a real control plane
	go run ./test/demo

.PHONY: build
build: need-go ## bin/bootstrap-agent, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(version)" -o bin/bootstrap-agent ./cmd/bootstrap-agent

.PHONY: test
test: need-go need-git need-cc need-strace need-openssl need-machine control-plane $(cp_dir)/kubelet $(node_root) $(package_tools) $(prometheus) bin/tools/promql build ## every test, with the race detector, against a real control plane
	hack/test.sh

.PHONY: soak
soak: need-go need-git need-cc need-strace need-openssl need-machine control-plane $(cp_dir)/kubelet $(node_root) $(package_tools) $(prometheus) bin/tools/promql ## the tests with nothing left out: every generated state, waits above a minute (more than an hour)
	SOAK=1 CGO_ENABLED=1 go test -race -timeout 3h -p 1 -count=1 ./internal/... ./test/packages ./test/alerts ./test/e2e/...

.PHONY: fuzz
fuzz: need-go ## each fuzz target for FUZZTIME (30s), one after another
	hack/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: mutate
mutate: need-go ## breaks what writes to the disk, in a copy, in every way there is a rule for, and shows which test notices (about two hours)
	go run ./test/mutate

.PHONY: packages
packages: need-go need-git $(package_tools) ## bin/packages: deb and rpm for amd64 and arm64, SBOMs and checksums; the same bytes each time
	hack/packages.sh

bin/tools/nfpm: tool := github.com/goreleaser/nfpm/v2/cmd/nfpm
bin/tools/cyclonedx-gomod: tool := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
$(package_tools): tools/packages/go.mod tools/packages/go.sum
	@hack/need.sh go
	@echo "building $(@F) from tools/packages/go.mod: less than a minute, once"
	@CGO_ENABLED=0 go -C tools/packages build -o ../../bin/tools/ $(tool)

bin/tools/promql: $(wildcard tools/promql/*.go) tools/promql/go.mod tools/promql/go.sum
	@hack/need.sh go
	@echo "building promql from tools/promql: less than a minute, once"
	@CGO_ENABLED=0 go -C tools/promql build -o ../../bin/tools/promql .

$(prometheus) &:
	@hack/prometheus.sh bin/prometheus

.PHONY: lint
lint: bin/tools/golangci-lint ## style and suspicious code (.golangci.yml); the rules of the design are tests: test/design
	bin/tools/golangci-lint run --allow-parallel-runners ./...

.PHONY: check
check: lint test ## all that CI runs

.PHONY: control-plane
control-plane: $(if $(KUBEBUILDER_ASSETS),need-assets) $(cp_files) ## bin/control-plane: etcd and Kubernetes, built from source once (about 13 minutes on two cores)

.PHONY: bench
bench: control-plane $(cp_dir)/kubelet build ## measures the agent beside a real kubelet
	go run ./test/bench

.PHONY: fmt
fmt: bin/tools/golangci-lint ## formats the Go code
	bin/tools/golangci-lint fmt ./...

.PHONY: clean
clean: ## removes bin/
	rm -rf bin
	@echo "bin/ is gone. The next 'make test' links the control plane again from Go's build cache: a minute, unless that was cleaned too."

# The stamp is newer than the programs whenever they were built for another version than is wanted now, so make builds them again.
stamp := $(cp_dir)/.$(KUBERNETES_VERSION)
$(stamp):
	@mkdir -p $(cp_dir) && rm -f $(cp_dir)/.v[0-9]* && touch $@

$(cp_dir)/%: $(stamp) $(programs)/go.mod $(programs)/go.sum
	@hack/need.sh go
	@test/controlplane/build.sh $(cp_dir) $*

.PHONY: node-root
node-root: $(node_root) ## bin/node-root: Debian with systemd, containerd and cloud-init, for the machines that tests boot (about a minute)

$(node_root): hack/node-root.sh
	@hack/need.sh machine
	@hack/node-root.sh bin/node-root
	@touch $@

bin/tools/golangci-lint: tools/go.mod tools/go.sum
	@hack/need.sh go
	@echo "building golangci-lint from tools/go.mod: about two minutes, once"
	@go -C tools build -o ../bin/tools/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: need-go need-git need-cc need-strace need-openssl need-machine need-assets
need-go need-git need-cc need-strace need-openssl need-machine need-assets: need-%:
	@hack/need.sh $*
