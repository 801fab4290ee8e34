#!/bin/sh
# common.sh begins each maintainer script: hack/packages.sh puts it before them. POSIX sh; works without a running systemd.
set -e

unit=bootstrap-agent.service

# systemd_runs is false in a chroot or a container, where an image is being made: there nothing is started or stopped.
systemd_runs() { [ -d /run/systemd/system ]; }

# configured tells whether the agent has something to work with: settings, a credential, or the identity of a node.
configured() {
	for path in /etc/bootstrap-agent/config.yaml "/etc/systemd/system/$unit.d" \
		/etc/kubernetes/bootstrap.kubeconfig /etc/kubernetes/.bootstrap.kubeconfig.used \
		/var/lib/kubelet/pki/kubelet-client-current.pem /var/lib/kubelet/pki/kubelet-client.pending.pem; do
		if [ -e "$path" ] || [ -L "$path" ]; then return 0; fi
	done
	return 1
}

# make_folders makes what the unit's sandbox opens for writing, if it is not there; without it the unit could not start.
# Modes as kubeadm and the kubelet make them. A link may lead to a disk that is not mounted yet.
make_folders() {
	[ -e /etc/kubernetes ] || [ -L /etc/kubernetes ] || mkdir -m 0755 /etc/kubernetes
	[ -e /var/lib/kubelet ] || [ -L /var/lib/kubelet ] || mkdir -m 0750 /var/lib/kubelet
}

# start_if_configured never waits: a start ends only when the kubelet may start, which can take minutes.
start_if_configured() {
	if configured && systemctl --quiet is-enabled "$unit" 2>/dev/null; then
		systemctl --no-block start "$unit" || true
	fi
}

# restart_if_running goes over to the new program. The kubelet is not touched: it only wants the agent, and runs on.
restart_if_running() { systemctl --no-block try-restart "$unit" || true; }

# stop_and_leave is the end of the agent on this node: the kubelet finds real copies of what it serves, which it can take over.
stop_and_leave() {
	if systemd_runs; then
		timeout 60 systemctl stop "$unit" || true
	fi
	code=0
	/usr/bin/bootstrap-agent reset --keep-identity --yes || code=$?
	case $code in
	0 | 3) ;; # 3: done, and something of a person's is left, which it has named
	*) echo "bootstrap-agent: the kubelet's files are as they were; what is above says why" >&2 ;;
	esac
	if [ -e /var/lib/kubelet/pki/kubelet-client-current.pem ]; then
		echo "bootstrap-agent: this node's certificates are not rotated any more, unless its kubelet does it:" \
			"rotateCertificates: true and serverTLSBootstrap: true in its configuration" >&2
	fi
}
