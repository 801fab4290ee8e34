package deploy

import (
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// exposure is systemd's own measure of what a compromised service could do: 0 nothing, 10 everything. A daemon of root's with no
// line of hardening has 9.6.
var exposure = regexp.MustCompile(`Overall exposure level for ` + agentUnit + `: ([\d.]+)`)

// score judges the unit as it is installed. The limit is ten times the exposure; above it the exit code is 1.
func (i *image) score(limit int) (exposed float64, within bool) {
	i.t.Helper()
	said, code := i.run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(limit), agentUnit)
	found := exposure.FindStringSubmatch(said)
	if found == nil {
		i.t.Fatalf("systemd-analyze security gives no exposure, exit code %d:\n%s", code, said)
	}
	exposed, err := strconv.ParseFloat(found[1], 64)
	must(i.t, err)
	return exposed, code == 0
}

func TestTheUnitIsExposedByAtMost1Point8(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	exposed, within := i.score(18)
	t.Logf("exposure: %.1f", exposed)
	if !within || exposed > 1.8 {
		t.Errorf("exposure is %.1f, the limit 1.8: systemd-analyze security tells which line is missing", exposed)
	}
	i.with(agentDropIn+"worse.conf", "[Service]\nPrivateMounts=no\nProtectSystem=no\n", func() {
		if worse, within := i.score(18); within || worse <= exposed {
			t.Errorf("without ProtectSystem= the exposure is %.1f, and that counts as good: %t", worse, within)
		}
	})
}

func TestAnExecPluginsDropInRelaxesLittle(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	i.write(agentDropIn+"exec-plugin.conf", shipped(t, "systemd/exec-plugin.conf"))
	if said := i.verify("multi-user.target"); said != "" {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
	exposed, within := i.score(20)
	t.Logf("exposure with exec-plugin.conf: %.1f", exposed)
	if !within {
		t.Errorf("exposure with exec-plugin.conf is %.1f, the limit 2.0", exposed)
	}
}

// Each of them, copied to where its first lines say, and all of them together.
func TestTheKubeletsDropInsAreKnownToSystemd(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("../../deploy/systemd/kubelet.service.d/*.conf")
	must(t, err)
	if len(found) < 2 {
		t.Fatalf("the drop-ins are %q", found)
	}
	i := newImage(t)
	for _, path := range found {
		i.write(kubeletDropIn+filepath.Base(path), shipped(t, "systemd/kubelet.service.d/"+filepath.Base(path)))
		if said := i.verify("multi-user.target", "kubelet.service"); said != "" {
			t.Errorf("%s: systemd-analyze verify:\n%s", path, said)
		}
	}
	i.with(kubeletDropIn+"wrong.conf", "[Service]\nRestart=allways\n", func() {
		if i.verify("kubelet.service") == "" {
			t.Error("a wrong line in a drop-in of the kubelet is not found")
		}
	})
}

// What the drop-in offers as comments must be right when the "#" is taken away.
func TestWhatTheDropInOffersAsCommentsIsKnownToSystemd(t *testing.T) {
	t.Parallel()
	offered := regexp.MustCompile(`(?m)^#([A-Z][A-Za-z]+=)`)
	text := shipped(t, "systemd/exec-plugin.conf")
	if n := len(offered.FindAllString(text, -1)); n < 3 {
		t.Fatalf("%d lines are offered", n)
	}
	i := newImage(t)
	i.write(agentDropIn+"exec-plugin.conf", offered.ReplaceAllString(text, "$1"))
	if said := i.verify(agentUnit); said != "" {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
}
