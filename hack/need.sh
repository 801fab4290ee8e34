#!/usr/bin/env bash
# need.sh THING says plainly what this machine lacks, and exits 1. THING is go, git, cc, strace, openssl, machine or assets.
set -euo pipefail

missing() { printf 'missing: %s\n' "$@" >&2; exit 1; }

# install WHY PACKAGE... tries to install Debian packages, where that is possible.
install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
  echo "$1: installing ${*:2}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${@:2}" >/dev/null || true
}

need_go() {
  local want=1.26 have
  command -v go >/dev/null || missing "Go $want or newer. See https://go.dev/doc/install"
  have=$(go env GOVERSION) || missing "Go $want or newer, as go.mod asks: the go command said why above"
  have=${have#devel }; have=${have#go}
  [ "$(printf '%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] || missing "Go $want or newer; this is Go $have"
}

need_git() {
  command -v git >/dev/null || missing "git"
}

# go test -race links C code: it needs cgo, a compiler and the C library's headers.
need_cc() {
  compiles() { printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $(go env CC) -x c -o /dev/null - 2>/dev/null; }
  compiles && return
  install "no C compiler, which go test -race needs" gcc libc6-dev
  compiles || missing "a C compiler with the C library's headers, for go test -race (Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc)"
}

# One test compares what the agent says it does to its files with what the kernel sees.
need_strace() {
  command -v strace >/dev/null && return
  install "no strace, which a test compares the agent with" strace
  command -v strace >/dev/null || missing "strace (Debian: apt-get install strace; Fedora: dnf install strace)"
}

# The guide to joining has commands with openssl, and a test runs the guide.
need_openssl() {
  command -v openssl >/dev/null && return
  install "no openssl, which commands of the guide to joining use" openssl
  command -v openssl >/dev/null || missing "openssl (Debian: apt-get install openssl; Fedora: dnf install openssl)"
}

# Tests boot real systemd in a container of its own.
need_machine() {
  local program lacks=()
  [ "$(id -u)" = 0 ] || missing "root: tests boot machines with systemd, containerd and a kubelet"
  for program in systemd-nspawn:systemd-container mmdebstrap:mmdebstrap ip:iproute2 nsenter:util-linux; do
    command -v "${program%:*}" >/dev/null || lacks+=("${program#*:}")
  done
  [ ${#lacks[@]} = 0 ] && return
  install "test machines need ${lacks[*]}" "${lacks[@]}"
  for program in systemd-nspawn mmdebstrap ip nsenter; do
    command -v "$program" >/dev/null || missing "$program, to boot test machines (Debian: apt-get install systemd-container mmdebstrap iproute2 util-linux)"
  done
}

need_assets() {
  local name
  for name in etcd kube-apiserver kube-controller-manager kubectl; do
    [ -x "$KUBEBUILDER_ASSETS/$name" ] || missing "$KUBEBUILDER_ASSETS/$name: put it there (setup-envtest brings no kube-controller-manager), or unset KUBEBUILDER_ASSETS to have the control plane built"
  done
}

"need_$1"
