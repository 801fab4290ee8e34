#!/usr/bin/env bash
# node-root.sh DIR [SUITE] makes the root file system of the machines that tests boot, from Debian's packages (SUITE, bookworm):
# systemd, containerd, cloud-init and what a kubelet needs; nothing of ours. DIR is there only when it is whole. About a minute.
set -euo pipefail
dir=$1 suite=${2:-bookworm}
mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT

packages=(
  systemd systemd-sysv dbus libpam-systemd iproute2 procps util-linux
  containerd runc containernetworking-plugins iptables # for the kubelet
  cloud-init rpm
)
# what nobody reads is left out of the file system, but not out of packages that tests install there afterwards
excluded=(--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*')

echo "making the root file system of test machines ($suite): about a minute, once"
log=$new.log
mmdebstrap --quiet --variant=apt --include="$(IFS=,; echo "${packages[*]}")" "${excluded[@]}" \
  --customize-hook='rm -f "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/cron*/* || true' \
  --customize-hook='rm -rf "$1"/etc/systemd/system/timers.target.wants "$1"/etc/systemd/system/multi-user.target.wants/containerd.service' \
  "$suite" "$new" >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "the root file system of test machines could not be made: is Debian's archive reachable? (whole log: $log)" >&2; exit 1; }
rm -f "$log"
chmod 755 "$new"
rm -rf "$dir"
mv "$new" "$dir"
trap - EXIT
