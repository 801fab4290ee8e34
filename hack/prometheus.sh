#!/usr/bin/env bash
# prometheus.sh DIR puts Debian's prometheus, promtool and prometheus-node-exporter into DIR, without installing them.
set -euo pipefail
dir=$1
programs=(prometheus promtool prometheus-node-exporter)
complete() { local p; for p in "${programs[@]}"; do [ -x "$dir/$p" ] || return 1; done; }
complete && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
  echo "missing: ${programs[*]} in $dir: put them there (this machine has no apt-get to fetch Debian's packages with)" >&2; exit 1; }
echo "fetching Debian's prometheus and prometheus-node-exporter (30 MB) into $dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work" # apt's own user reads it
fetch() { (cd "$work" && apt-get download -qq prometheus prometheus-node-exporter); }
fetch 2>/dev/null || { apt-get update -qq && fetch; } || { echo "missing: the Debian packages prometheus and prometheus-node-exporter: apt-get said why above" >&2; exit 1; }
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
mkdir -p "$dir"
for p in "${programs[@]}"; do mv "$work/root/usr/bin/$p" "$dir/$p"; done
