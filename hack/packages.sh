#!/usr/bin/env bash
# packages.sh [-v VERSION] [-o FOLDER] [ARCH...] makes the deb and the rpm of the agent for each ARCH (amd64 arm64), with an SBOM of
# each program and SHA256SUMS, in FOLDER (bin/packages). The same source, version and Go give the same bytes, in any folder.
# packages.sh -n prints the version that it would give them. Version and time are those of the commit; without git: -v and
# SOURCE_DATE_EPOCH.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/bin/tools out=bin/packages version='' only_version=''
while getopts nv:o: option; do
  case $option in n) only_version=1 ;; v) version=$OPTARG ;; o) out=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
if [[ -z $only_version && ! (-x $tools/nfpm && -x $tools/cyclonedx-gomod) ]]; then
  echo "missing: bin/tools/nfpm and bin/tools/cyclonedx-gomod, which 'make packages' builds" >&2; exit 1
fi

# package_version says in the words of dpkg and rpm (no dashes; what follows a tilde is older than what is before it) where the
# source stands: v1.2.3 is 1.2.3, v1.3.0-rc.1 is 1.3.0~rc.1, 5 commits later is +5.gHASH; before the first tag it is 0.0.0~COMMITS.gHASH.
package_version() {
  local described
  described=$(git describe --tags --long --match 'v[0-9]*' --dirty=.dirty 2>/dev/null) ||
    { echo "0.0.0~$(git rev-list --count HEAD).$(git describe --always --match '' --dirty=.dirty | sed 's/^/g/')"; return; }
  sed -E 's/^v//; s/-0-g[0-9a-f]+(\.dirty)?$/\1/; s/-([0-9]+)-(g[0-9a-f]+(\.dirty)?)$/+\1.\2/; s/-/~/; s/-/./g' <<<"$described"
}
version=${version:-$(package_version)}
[ -z "$only_version" ] || { echo "$version"; exit; }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH VERSION=$version
# Nothing of the builder's settings goes into the programs, and no version control either: the version is said.
export CGO_ENABLED=0 GOOS=linux GOFLAGS=-buildvcs=false GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' LC_ALL=C TZ=UTC
umask 022
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$out" && out=$(cd "$out" && pwd)
rm -f "$out"/bootstrap-agent[-_]* "$out"/SHA256SUMS

# quietly runs a program and shows what it said, on whichever channel, only if it fails.
quietly() { local said; said=$("$@" 2>&1) || { echo "$1 failed: $said" >&2; exit 1; }; }

# third_party prints the licences of what is linked into the program, as their terms ask.
third_party() {
  printf 'The Go programming language\n\n' && cat "$(go env GOROOT)/LICENSE"
  go list -deps -f '{{with .Module}}{{if .Version}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/bootstrap-agent | sort -u |
    while read -r module release folder; do
      printf '\n\n%s %s\n' "$module" "$release"
      find "$folder" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort | while read -r file; do echo && cat "$file"; done
    done
}

echo "packages of $version, dated $(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ), in $out"
cp -r deploy LICENSE "$stage"
mkdir "$stage/deb" "$stage/rpm" "$stage/man"
for script in deploy/packages/{deb,rpm}/*; do
  cat deploy/packages/common.sh "$script" >"$stage/${script#deploy/packages/}"
done
cp deploy/man/* "$stage/man"
cp CHANGELOG.md "$stage/changelog"
gzip -9n "$stage/man/"* "$stage/changelog"
third_party >"$stage/third-party-licenses.txt"

[ $# -gt 0 ] || set -- amd64 arm64
for ARCH in "$@" "$(go env GOHOSTARCH)"; do
  [ -e "$stage/$ARCH" ] || GOARCH=$ARCH go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$stage/$ARCH" ./cmd/bootstrap-agent
done
for shell in bash zsh fish; do
  "$stage/$(go env GOHOSTARCH)" completion "$shell" >"$stage/completion.$shell"
done
for ARCH; do
  export ARCH
  mv "$stage/$ARCH" "$stage/bootstrap-agent"
  for format in deb rpm; do
    (cd "$stage" && quietly "$tools/nfpm" package --config deploy/packages/nfpm.yaml --packager "$format" --target "$out")
  done
  quietly "$tools/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$version" -output "$out/bootstrap-agent_${version}_linux_$ARCH.cdx.json" "$stage/bootstrap-agent"
done
(cd "$out" && sha256sum bootstrap-agent* >SHA256SUMS && ls -l)
