package doctor

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// userData is what a cloud was given.
const userData = "#cloud-config\nwrite_files:\n- path: /etc/kubernetes/bootstrap.kubeconfig\n  content: |\n    token: " + secretToken + "\n"

func zipped(text string) string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return packed.String()
}

func copyIllnesses() []illness {
	const instance = "/var/lib/cloud/instances/i-1/"
	forget := "/usr/share/bootstrap-agent/cloud-init/forget-user-data.sh"
	asJSON, _ := json.Marshal(map[string]string{"user_data": userData})
	found := func(name, path, content string, says ...string) illness {
		return illness{name: name, make: file(path, content), check: "token-copies", verdict: Attention, says: append(says, path, "looks like a bootstrap token")}
	}
	removable := func(name, path string) illness {
		i := found(name, path, "token: "+secretToken, "line 1,", "rm ")
		i.mends = true
		return i
	}
	return []illness{
		found("user-data", instance+"user-data.txt", userData, "line 5,", forget, "others may read it"),
		found("user-data put together", instance+"user-data.txt.i", userData, forget),
		found("what the modules read", instance+"cloud-config.txt", userData, forget),
		found("a pickle", instance+"obj.pkl", "\x80\x04\x95\x00\x00"+userData+"\x94", forget),
		found("a script of runcmd", instance+"scripts/runcmd", "echo '"+secretToken+"' >/token\n", "line 1,", forget),
		found("contents in base64", instance+"user-data.txt", "  encoding: b64\n  content: "+base64Of([]byte("a kubeconfig with token: "+secretToken+"\n"))+"\n", "line 2,"),
		found("contents in base64, in lines", instance+"user-data.txt", "content: |\n  "+base64Of([]byte("a kubeconfig with token: " + secretToken + "\n"))[:40]+"\n  "+base64Of([]byte("a kubeconfig with token: " + secretToken + "\n"))[40:]+"\n"),
		found("contents in gzip and base64", instance+"user-data.txt", "content: "+base64Of([]byte(zipped("token: "+secretToken+strings.Repeat("\n", 9))))+"\n"),
		found("user-data in gzip", instance+"user-data.txt", zipped(userData)),
		found("JSON", "/run/cloud-init/combined-cloud-config.json", string(asJSON), "line 1,", forget),
		found("a seed", "/var/lib/cloud/seed/nocloud/user-data", userData, forget),
		found("a log that quotes it", "/var/log/cloud-init.log", "fine\n ... oken: "+secretToken+"}}]]\n", "line 2,", forget),
		found("Azure", "/var/lib/waagent/ovf-env.xml", "<CustomData>"+base64Of([]byte(userData))+"</CustomData>", "rm "),
		removable("kubeadm's", "/etc/kubernetes/bootstrap-kubelet.conf"),
		removable("a copy by hand", "/etc/kubernetes/bootstrap.kubeconfig.bak"),
		removable("an editor's", "/etc/kubernetes/bootstrap.kubeconfig~"),
		removable("an editor's that was killed", "/etc/kubernetes/.bootstrap.kubeconfig.swp"),
		{name: "a folder whose name is a pattern", make: func(n *sick) {
			n.cfg.BootstrapKubeconfig = n.path("/etc/[k]ubernetes/bootstrap.kubeconfig")
			n.write("/etc/[k]ubernetes/bootstrap.kubeconfig.bak", "token: "+secretToken, 0o600)
		}, check: "token-copies", verdict: Attention, says: []string{"[k]ubernetes/bootstrap.kubeconfig.bak, line 1,", "rm '"}, mends: true},
		{name: "before the identity", make: both((*sick).noIdentity, file(instance+"user-data.txt", userData)), check: "token-copies", verdict: OK, says: []string{"until then the token is needed"}},
		{name: "user-data without a token", make: file(instance+"user-data.txt", "#cloud-config\nruncmd: [[fetch, https://abcdef.0123456789abcdef.example.com/]]\n"), check: "token-copies", verdict: OK, says: []string{"none"}},
	}
}

func TestWhatIsATokenAndWhatIsNot(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		secretToken: true, "'" + secretToken + "'": true, `"a":"\n` + secretToken + `\n"`: true, "token=" + secretToken + ".": true, "(" + secretToken + ")": true,
		"x" + secretToken: false, secretToken + "0": false, "a." + secretToken: false, "a-" + secretToken: false, secretToken + "-b": false, secretToken + "_b": false,
		"ABCDEF.0123456789ABCDEF": false, "abcdef.0123456789abcde": false, "abcde.0123456789abcdef": false, "": false,
	} {
		if _, found := tokenLine([]byte(text)); found != want {
			t.Errorf("%q: found %v", text, found)
		}
	}
}

func TestALongFileIsLookedAtInItsBeginningAndInTime(t *testing.T) {
	t.Parallel()
	n := wellNode(t)
	n.write("/var/log/cloud-init.log", strings.Repeat("not a token, but base64QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcQ\n", 1<<16)+secretToken, 0o600)
	r := Examine(context.Background(), n.patient(), Local())
	if found := r.of("token-copies"); len(found) != 1 || found[0].Verdict != OK {
		t.Errorf("%+v", found)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if found := tokenCopies(ended, n.patient()); found[0].Verdict != Unknown {
		t.Errorf("without time: %+v", found)
	}
}

func TestACopyIsNamedAndNotShown(t *testing.T) {
	t.Parallel()
	n := wellNode(t)
	n.write("/var/lib/cloud/instances/i-1/user-data.txt", userData, 0o600)
	for _, result := range n.examine().of("token-copies") {
		if all := result.Text + result.Remedy + result.Command; strings.Contains(all, secretToken) || strings.Contains(all, strings.Split(secretToken, ".")[1]) || !strings.Contains(all, filepath.Join(n.root, "/var/lib/cloud")) {
			t.Errorf("%+v", result)
		}
	}
}
