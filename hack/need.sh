#!/usr/bin/env bash
# need.sh THING says plainly what this machine lacks, and exits 1. THING is go, git, cc or assets.
set -euo pipefail

missing() { printf 'missing: %s\n' "$@" >&2; exit 1; }

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
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "no C compiler, which go test -race needs: installing gcc and libc6-dev"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null || true
  fi
  compiles || missing "a C compiler with the C library's headers, for go test -race (Debian: apt-get install gcc libc6-dev; Fedora: dnf install gcc)"
}

need_assets() {
  local name
  for name in etcd kube-apiserver kube-controller-manager kubectl; do
    [ -x "$KUBEBUILDER_ASSETS/$name" ] || missing "$KUBEBUILDER_ASSETS/$name: put it there (setup-envtest brings no kube-controller-manager), or unset KUBEBUILDER_ASSETS to have the control plane built"
  done
}

"need_$1"
