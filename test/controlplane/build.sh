#!/usr/bin/env bash
# build.sh DIR NAME... builds the named programs of the control plane from Go modules into DIR, one after the other.
# NAME is one of: etcd kube-apiserver kube-controller-manager kubectl kubelet kubeadm. Cold on two cores: 7 to 13 minutes
# (kube-apiserver alone more than half of it); again: a second each. KUBERNETES_VERSION chooses the version.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
dir=$(mkdir -p "$1" && cd "$1" && pwd); shift
cd "$here/programs"

chosen=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' go.mod)
version=${KUBERNETES_VERSION:-$chosen}
[[ $version =~ ^v1\.[0-9]+\.[0-9]+$ ]] || { echo "KUBERNETES_VERSION=$version: want a version like $chosen" >&2; exit 2; }
modfile=go.mod
if [ "$version" != "$chosen" ]; then
  # Kubernetes publishes its parts as v0.MINOR.PATCH. What else is required, and the etcd, follow from its own go.mod.
  modfile=$dir/$version.mod
  if [ ! -s "$dir/$version.sum" ]; then # written last: all of it is resolved
    echo "control plane: resolving the modules of Kubernetes $version"
    awk -v version="$version" -v part="v0.${version#v1.}" '
      /^require \(/ && blocks++ { skip = 1 }               # the second block: what followed from the chosen version
      skip { if (/^\)/) skip = 0; next }
      $1 == "go.etcd.io/etcd/server/v3" && NF > 1 { next } # likewise, but not its tool line
      $1 == "k8s.io/kubernetes" { $2 = version }
      $2 == "=>" { $4 = part }
      { print }' go.mod >"$modfile"
    go mod tidy -modfile="$modfile"
  fi
fi

minor=${version#v1.}; minor=${minor%%.*}
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"

# program NAME PACKAGE builds beside the old program and renames, so that one in use, or an interrupted build, does no harm.
# The old program is what Go looks at to see that nothing is to be done, so it starts as a link to it.
program() {
  local new=$dir/.$1.new begin=$SECONDS build
  printf 'control plane: building %s of Kubernetes %s ' "$1" "$version"
  rm -f "$new"
  [ ! -f "$dir/$1" ] || ln "$dir/$1" "$new"
  CGO_ENABLED=0 go build -modfile="$modfile" -o "$new" -ldflags "$flags" "$2" &
  build=$!
  trap 'kill $build 2>/dev/null || true; rm -f "$new"' EXIT
  while kill -0 "$build" 2>/dev/null; do # a dot every ten seconds: nothing is stuck
    for _ in {1..50}; do sleep 0.2; kill -0 "$build" 2>/dev/null || break 2; done
    printf .
  done
  wait "$build" || { echo "failed"; exit 1; }
  trap - EXIT
  if [ "$new" -ef "$dir/$1" ]; then rm "$new"; else mv -f "$new" "$dir/$1"; fi
  touch "$dir/$1" # make goes by the time
  echo "$((SECONDS - begin)) s"
}

for name in "$@"; do
  case $name in
    etcd) program etcd go.etcd.io/etcd/server/v3 ;;
    *) program "$name" "k8s.io/kubernetes/cmd/$name" ;;
  esac
done
