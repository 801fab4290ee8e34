package discovery

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// clusterInfo is a kubeconfig as kubeadm puts it into the ConfigMap.
func clusterInfo(server string, ca []byte) string {
	return fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: %s
  name: ""
contexts: null
current-context: ""
kind: Config
preferences: {}
users: null
`, base64.StdEncoding.EncodeToString(ca), server)
}

const theServer = "https://192.0.2.1:6443"

func TestOfClusterInfoServerAndPinnedCAAreUsedAndNothingElse(t *testing.T) {
	ca, rogue := root("kubernetes"), root("rogue")
	good, both := EncodeBundle(bundleOf(ca)), EncodeBundle(bundleOf(rogue, ca))
	text := clusterInfo(theServer, both)
	data := base64.StdEncoding.EncodeToString(both)
	for name, text := range map[string]string{
		"as kubeadm writes it": text,
		"that of the current context": strings.NewReplacer(`name: ""`, "name: here", `current-context: ""`, "current-context: x",
			"contexts: null", "contexts: [{name: x, context: {cluster: here}}]").Replace(text),
		"the one without a name, whatever the context": strings.NewReplacer(`current-context: ""`, "current-context: x",
			"contexts: null", "contexts: [{name: x, context: {cluster: there}}]", "clusters:", "clusters:\n- cluster: {server: \"http://192.0.2.66\"}\n  name: there").Replace(text),
		"with what nobody may tell an agent": strings.NewReplacer("    server:", "    insecure-skip-tls-verify: true\n    tls-server-name: elsewhere\n    proxy-url: http://192.0.2.66\n    server:",
			"users: null", "users: [{name: u, user: {token: abcdef.0123456789abcdef, exec: {apiVersion: client.authentication.k8s.io/v1, command: rm}}}]").Replace(text),
		"as JSON": fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"","cluster":{"server":%q,"certificate-authority-data":%q}}]}`, theServer, data),
	} {
		is, err := clusterOf(text, pinsOf(ca), noon)
		must(t, err)
		if e := is.endpoint; e.Server != theServer || !bytes.Equal(e.CA, good) || e.ProxyURL != "" || e.TLSServerName != "" {
			t.Errorf("%s: %s", name, fmt.Sprint(is.endpoint))
		}
		if len(is.dropped) != 1 || is.dropped[0].Subject != "CN=rogue" {
			t.Errorf("%s: dropped are %v", name, is.dropped)
		}
	}
}

func TestClusterInfoThatIsOfNoUseSaysWhatIsWrongWithIt(t *testing.T) {
	ca, rogue, old, young := root("kubernetes"), root("rogue"), root("old", tooOld), root("young", tooYoung)
	good := EncodeBundle(bundleOf(ca))
	at := func(server string) string { return clusterInfo(server, good) }
	for name, c := range map[string]struct {
		text   string
		reason Reason
		says   string
	}{
		"nonsense":                    {"\x00\xff", BadClusterInfo, "its kubeconfig is none"},
		"a list":                      {"[]", BadClusterInfo, "its kubeconfig is none"},
		"something else":              {"kind: Pod\napiVersion: v1\n", BadClusterInfo, "its kubeconfig is none"},
		"no cluster":                  {"apiVersion: v1\nkind: Config\n", BadClusterInfo, "names no cluster"},
		"a cluster of another name":   {strings.Replace(at(theServer), `name: ""`, "name: other", 1), BadClusterInfo, "names no cluster"},
		"a context that is not there": {strings.NewReplacer(`name: ""`, "name: other", `current-context: ""`, "current-context: x").Replace(at(theServer)), BadClusterInfo, "names no cluster"},
		"no server":                   {at(`""`), BadClusterInfo, "server is missing"},
		"plain http":                  {at("http://192.0.2.1:6443"), BadClusterInfo, "plain http"},
		"no URL":                      {at("192.0.2.1:6443"), BadClusterInfo, "it names a server that is not used: server is not a"},
		"a user":                      {at("https://admin:hunter2@192.0.2.1:6443"), BadClusterInfo, "holds a user name or password"},
		"a query":                     {at("https://192.0.2.1:6443/?a=b"), BadClusterInfo, "query or fragment"},
		"a file for a server":         {at("file:///etc/passwd"), BadClusterInfo, "not an absolute https URL"},
		"a socket":                    {at("unix:///run/apiserver.sock"), BadClusterInfo, "not an absolute https URL"},
		"no CA":                       {clusterInfo(theServer, nil), BadClusterInfo, "holds no certificate"},
		"a CA in a file":              {strings.Replace(clusterInfo(theServer, nil), "certificate-authority-data: ", "certificate-authority: /etc/kubernetes/pki/ca.crt", 1), BadClusterInfo, "holds no certificate"},
		"a key beside the CA":         {clusterInfo(theServer, append(good, "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"...)), BadClusterInfo, "something else than certificates"},
		"half a CA":                   {clusterInfo(theServer, good[:100]), BadClusterInfo, "holds no certificate"},
		"a hundred CAs":               {clusterInfo(theServer, bytes.Repeat(good, 100)), BadClusterInfo, "more than 64"},
		"another CA":                  {clusterInfo(theServer, EncodeBundle(bundleOf(rogue))), NotPinned, `none of its 1 CA certificates is pinned: ` + string(PinOf(rogue.Certificate)) + ` of "CN=rogue"`},
		"what the CA has signed":      {clusterInfo(theServer, EncodeBundle(bundleOf(ca.signs("below")))), NotPinned, "none of its 1 CA"},
		"a CA that has expired":       {clusterInfo(theServer, EncodeBundle(bundleOf(old, rogue))), Reason(apiserver.Clock), `the pinned CA "CN=old" is valid from 2016-03-01T12:00:00Z to 2026-03-01T11:00:00Z, and it is 2026-03-01T12:00:00Z`},
		"a CA that is not valid yet":  {clusterInfo(theServer, EncodeBundle(bundleOf(young))), Reason(apiserver.Clock), `the pinned CA "CN=young" is valid from 2026-03-01T13:00:00Z`},
	} {
		_, err := clusterOf(c.text, pinsOf(ca, old, young), noon)
		var e *Error
		if !errors.As(err, &e) || e.Reason != c.reason || !strings.Contains(e.Error(), c.says) || e.Remedy == "" {
			t.Errorf("%s: %v, expected %s: %s", name, err, c.reason, c.says)
			continue
		}
		if strings.Contains(e.Error(), "hunter2") {
			t.Errorf("%s: the password is quoted", name)
		}
	}
}

// A discovery file is root's own, so that without pins its whole CA is meant.
func TestADiscoveryFileIsBelievedAsFarAsThePinsGo(t *testing.T) {
	ca, rogue := root("kubernetes"), root("rogue")
	both := apiserver.Endpoint{Server: theServer, CA: EncodeBundle(bundleOf(rogue, ca)), TLSServerName: "kubernetes"}
	for _, c := range []struct {
		name   string
		ca     []byte
		hashes []string
		kept   []byte
		says   string
	}{
		{"no pins", both.CA, nil, both.CA, ""},
		{"one is pinned", both.CA, []string{string(PinOf(ca.Certificate))}, EncodeBundle(bundleOf(ca)), ""},
		{"none is pinned", EncodeBundle(bundleOf(rogue)), []string{string(PinOf(ca.Certificate))}, nil, "discovery file /f: none of its 1 CA certificates is pinned"},
		{"no certificate", []byte("none"), []string{string(PinOf(ca.Certificate))}, nil, "discovery file /f: the bundle holds no certificate"},
		{"no pin", both.CA, []string{"sha256:"}, nil, "64 hexadecimal digits"},
	} {
		from := both
		from.CA = c.ca
		found, err := FromFile(from, "/f", c.hashes, noon)
		switch {
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil || !bytes.Equal(found.CA, c.kept) || found.Server != theServer || found.TLSServerName != "kubernetes":
			t.Errorf("%s: %v, %v", c.name, found, err)
		}
	}
}
