#!/bin/sh
# forget-user-data.sh removes the copies of the user-data that cloud-init keeps on this node, once cloud-init has ended and the node
# has its identity. cloud-init makes them again at every boot, so it is disabled: docs/cloud-init.md says what then does not work.
# What the cloud itself hands out is not changed. From user-data, which cannot wait for its own end:
#   runcmd: [[systemd-run, --unit=forget-user-data, /usr/share/bootstrap-agent/cloud-init/forget-user-data.sh]]
set -eu

cloud=/var/lib/cloud
say() { echo "forget-user-data: $*"; }

[ "$(id -u)" = 0 ] || { say "run it as root; nothing is removed" >&2; exit 1; }
[ -d "$cloud/instances" ] || { say "$cloud/instances is not there, so cloud-init has not run here; nothing is removed" >&2; exit 1; }

say "waits for cloud-init to end, and for the node's identity"
cloud-init status --wait >/dev/null 2>&1 || true # what went wrong in it is its own to say
bootstrap-agent wait --for=client

# Where user-data has a mistake cloud-init quotes the line, in files that everybody can read and in the journal. What looks like a
# bootstrap token is looked for there; in no argument and no file of ours, where others could see it.
tokens=$(grep -rahoE '[a-z0-9]{6}\.[a-z0-9]{16}' "$cloud/instances" "$cloud/seed" 2>/dev/null | sort -u || true)
if [ -n "$tokens" ]; then
  for file in /var/log/cloud-init.log /var/log/cloud-init-output.log "$cloud/data/status.json" "$cloud/data/result.json"; do
    if grep -qaFf /dev/fd/3 "$file" 2>/dev/null 3<<EOF
$tokens
EOF
    then
      rm -f "$file"
      say "removed $file, which quoted a token"
    fi
  done
  if journalctl --quiet --no-pager 2>/dev/null | grep -qaFf /dev/fd/3 3<<EOF
$tokens
EOF
  then
    say "the journal quotes a token; it goes with: journalctl --rotate && journalctl --vacuum-time=1s" >&2
  fi
fi

mkdir -p /etc/cloud
: >/etc/cloud/cloud-init.disabled
# The links instance and sem/ stay: they tell that this instance was set up, also when cloud-init is enabled again.
for folder in "$cloud/instances" "$cloud/seed"; do
  [ ! -d "$folder" ] || find "$folder" -type f \( -name obj.pkl -o -name '*.txt' -o -name '*.txt.i' -o -path '*/scripts/*' \
    -o -path '*/handlers/*' -o -path '*/seed/*' \) -delete
done
rm -f /run/cloud-init/combined-cloud-config.json /run/cloud-init/instance-data-sensitive.json
sync
say "done: no copy of the user-data is left in $cloud, and cloud-init is disabled"
