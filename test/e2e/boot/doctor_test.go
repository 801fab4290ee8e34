package boot

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// diagnosis is what doctor says, as JSON.
type diagnosis struct {
	Verdict string
	Results []finding
}

type finding struct{ Check, Verdict, Text, Remedy, Command string }

// doctor runs it on the node, as a person would, and holds its exit code against its verdict.
func (n *node) doctor(args ...string) diagnosis {
	n.t.Helper()
	command := n.Command(append([]string{"bootstrap-agent", "doctor", "-o", "json"}, args...)...)
	output, err := command.Output()
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		must(n.t, err)
	}
	var d diagnosis
	if err := json.Unmarshal(output, &d); err != nil {
		n.t.Fatalf("exit code %d, %v:\n%s", code, err, output)
	}
	if want := map[string]int{"ok": 0, "attention": 4, "waiting": 1, "broken": 3}[d.Verdict]; code != want {
		n.t.Errorf("%s with exit code %d", d.Verdict, code)
	}
	return d
}

// find returns the result of a check that has these words.
func (d diagnosis) find(check string, words ...string) (finding, bool) {
	for _, f := range d.Results {
		has := f.Check == check
		for _, word := range words {
			has = has && strings.Contains(f.Text, word)
		}
		if has {
			return f, true
		}
	}
	return finding{}, false
}

// worse are the results that are neither ok nor unknown.
func (d diagnosis) worse() []finding {
	var worse []finding
	for _, f := range d.Results {
		if f.Verdict != "ok" && f.Verdict != "unknown" {
			worse = append(worse, f)
		}
	}
	return worse
}

// notKnown are the only checks that do not find out what they want to on the machines of the tests, and why.
var notKnown = map[string]string{
	"storage": "an overlay", "time": "container", "serving-approval": "", "serving-chain": "", "api-server-clock": "",
}

// trouble is something that happens to a node that was well.
type trouble struct {
	name, script            string
	check, verdict, mention string
	// byHand mends what has no command, which the remedy says in these words.
	byHand, remedy string
}

// troubles are made one after the other, each on the node that the command of the one before has mended.
var troubles = []trouble{
	{name: "others may read the kubeconfig", script: "chmod 0644 " + kubeconfigFile, check: "owners-and-modes", verdict: "attention", mention: "0644"},
	{name: "others may change the folder", script: "chmod 0777 /etc/kubernetes", check: "owners-and-modes", verdict: "broken", mention: "writable by others"},
	{name: "a key of another user", script: "chown 12345 " + certDir + "/kubelet-client-2*.pem", check: "owners-and-modes", verdict: "broken", mention: "user 12345"},
	{name: "the kubelet's drop-in is gone", script: "rm /usr/lib/systemd/system/kubelet.service.d/20-bootstrap-agent.conf && systemctl daemon-reload", check: "kubelet-service", verdict: "attention", mention: "StartLimitIntervalSec=0"},
	{name: "a drop-in that narrows the sandbox", script: "mkdir -p /etc/systemd/system/bootstrap-agent.service.d && printf '[Service]\\nReadWritePaths=\\nReadWritePaths=-/var/lib/kubelet\\n' >/etc/systemd/system/bootstrap-agent.service.d/z.conf && systemctl daemon-reload && systemctl restart bootstrap-agent", check: "sandbox", verdict: "broken", mention: "/etc/kubernetes"},
	{name: "a file system that is read-only", script: "mount --bind /etc/kubernetes /etc/kubernetes && mount -o remount,ro,bind /etc/kubernetes", check: "storage", verdict: "broken", mention: "read-only"},
	{name: "the agent is stopped", script: "systemctl stop bootstrap-agent", check: "agent-service", verdict: "attention", mention: "nothing is rotated"},
	{name: "the agent is masked", script: "systemctl mask --now bootstrap-agent", check: "agent-service", verdict: "broken", mention: "is masked"},
	{name: "a CA was written since the kubelet's start", script: "sleep 2; touch " + certDir + "/kubelet-client-ca.crt", check: "kubelet-restart", verdict: "unknown", mention: "CA file"},
	{
		name: "the kubelet rotates too", script: "sed -i '$ a rotateCertificates: true' /var/lib/kubelet/config.yaml && systemctl restart kubelet", check: "kubelet-settings", verdict: "attention", mention: "and so does the agent",
		byHand: "sed -i '$ d' /var/lib/kubelet/config.yaml && systemctl restart kubelet", remedy: "--rotate-certificates=false",
	},
	{name: "an editor's copy of the bootstrap kubeconfig", script: "printf 'token: abcdef.0123456789abcdef\\n' >" + bootstrapFile + "~", check: "token-copies", verdict: "attention", mention: "bootstrap.kubeconfig~"},
	{name: "user-data that cloud-init has kept", script: "mkdir -p /var/lib/cloud/instances/i-1 && printf '#cloud-config\\n# token: abcdef.0123456789abcdef\\n' >/var/lib/cloud/instances/i-1/user-data.txt", check: "token-copies", verdict: "attention", mention: "user-data.txt, line 2"},
}

// TestDoctorFindsWhatIsWrongOnABootedNodeAndItsCommandsMendIt has a node that is well, does to it what people and machines do, and runs the
// commands that doctor prints, as they are printed.
func TestDoctorFindsWhatIsWrongOnABootedNodeAndItsCommandsMendIt(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{prepare: (*node).giveCredential})
	n.installForgetUserData()
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()
	n.isWell("in the beginning")
	for _, trouble := range troubles {
		n.Shell(trouble.script)
		f, found := n.doctor("--offline").find(trouble.check, trouble.mention)
		if !found || f.Verdict != trouble.verdict || f.Remedy == "" {
			t.Errorf("%s: %s is %+v", trouble.name, trouble.check, f)
		}
		if f.Command == "" && trouble.byHand != "" && strings.Contains(f.Remedy, trouble.remedy) {
			f.Command = trouble.byHand
		}
		if output, err := n.Try("/bin/sh", "-c", f.Command); err != nil || f.Command == "" {
			t.Fatalf("%s: the command %q of %+v: %v %s", trouble.name, f.Command, f, err, output)
		}
		n.mended(trouble, f)
	}
	n.isWell("after all that")
	if _, err := os.Stat(n.Path("/etc/systemd/system/kubelet.service.d/90-bootstrap-agent.conf")); err != nil {
		t.Errorf("the kubelet's drop-in is not where the command says: %v", err)
	}
}

// mended waits until doctor does not say it any more: what was started takes a moment.
func (n *node) mended(trouble trouble, was finding) {
	n.t.Helper()
	var worse []finding
	within(n.t, time.Minute, trouble.name+" is mended by: "+was.Command, func() bool {
		d := n.doctor("--offline")
		worse = d.worse()
		_, still := d.find(was.Check, was.Text)
		return len(worse) == 0 && !still
	})
}

// isWell waits until every check is ok, the API server's too, but for those that cannot know.
func (n *node) isWell(when string) {
	n.t.Helper()
	var d diagnosis
	defer func() {
		if n.t.Failed() {
			n.t.Logf("%s: %+v", when, d.worse())
		}
	}()
	within(n.t, time.Minute, "doctor finds nothing, "+when, func() bool { d = n.doctor(); return d.Verdict == "ok" })
	for _, f := range d.Results {
		why, known := notKnown[f.Check]
		if f.Verdict == "unknown" && (!known || !strings.Contains(f.Text, why)) {
			n.t.Errorf("%s, for no reason that is expected: %+v", when, f)
		}
	}
}

// copiesByDoctor are the files in which doctor finds a bootstrap token, sorted.
func (n *node) copiesByDoctor() []string {
	n.t.Helper()
	var paths []string
	for _, f := range n.doctor("--offline").Results {
		if path, _, found := strings.Cut(f.Text, " holds what looks like"); f.Check == "token-copies" && found {
			path, _, _ = strings.Cut(path, ", line ")
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
