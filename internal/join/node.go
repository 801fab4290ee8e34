package join

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	cloudinit "github.com/bootstrap-agent/bootstrap-agent/deploy/cloud-init"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

// Kubeconfig is the bootstrap kubeconfig: the one that the shipped user-data have, filled in.
func (i Invitation) Kubeconfig() (string, error) {
	t, err := shipped()
	if err != nil {
		return "", err
	}
	return i.fillIn(t)
}

func (i Invitation) fillIn(t template) (string, error) {
	if err := i.Cluster.known(); err != nil {
		return "", err
	}
	server := quoted(i.Cluster.Server)
	if i.Cluster.TLSServerName != "" {
		server += "\n      tls-server-name: " + quoted(i.Cluster.TLSServerName)
	}
	filled := strings.NewReplacer(
		"<SERVER>", server,
		"<CA>", base64.StdEncoding.EncodeToString(discovery.EncodeBundle(i.Cluster.CA)),
		"<TOKEN>", text(i.Token), // which it has in quotes
	).Replace(t.kubeconfig)
	return filled, nil
}

// TokenFile is what a node that finds out server and CA itself has at /etc/kubernetes/bootstrap.token.
func (i Invitation) TokenFile() string { return text(i.Token) + "\n" }

// Config is the agent's configuration of such a node: where to ask, and by what to know the CA.
func (i Invitation) Config() (string, error) {
	if err := i.Cluster.known(); err != nil {
		return "", err
	}
	address, err := i.Cluster.hostPort()
	if err != nil {
		return "", err
	}
	var hashes strings.Builder
	for _, hash := range Hashes(i.Cluster.CA) {
		hashes.WriteString("- " + quoted(hash) + "\n")
	}
	return fmt.Sprintf(`# Server and CA are found out with the token, and believed under these hashes only.
apiVersion: %s
kind: %s
discoveryTokenFile: %s
apiServers:
- %s
discoveryCACertHashes:
%s`, config.APIVersion, config.Kind, tokenPath, quoted(address), hashes.String()), nil
}

// UserData is for cloud-init: the shipped ones, filled in.
func (i Invitation) UserData() (string, error) {
	t, err := shipped()
	if err != nil {
		return "", err
	}
	head := fmt.Sprintf(`#cloud-config
# Joins nodes whose image has bootstrap-agent, containerd and the kubelet. Made by bootstrap-agent join-config, with the bootstrap token
# %s: the cluster has to know it (secret.yaml), and it ends at %s.
# Whoever can ask the cloud for this user-data has the token. What that means, and what else there is: docs/cloud-init.md
`, i.Token.ID, i.Until.UTC().Format(time.RFC3339))
	if !i.Discovery {
		kubeconfig, err := i.fillIn(t)
		if err != nil {
			return "", err
		}
		return head + "\n" + t.before + file(config.Default().BootstrapKubeconfig, "0600", kubeconfig) + "\n" + t.after, nil
	}
	settings, err := i.Config()
	if err != nil {
		return "", err
	}
	return head + "\n" + t.before + file(tokenPath, "0600", i.TokenFile()) + "\n" + file(configPath, "0644", settings), nil
}

// file is an entry of write_files.
func file(path, mode, content string) string {
	return fmt.Sprintf("  - path: %s\n    owner: root:root\n    permissions: %q\n    content: |\n%s", path, mode, indent(content))
}

const inContent = "      "

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(inContent + line)
	}
	return b.String()
}

// template is deploy/cloud-init/user-data.yaml in parts, so that there is one text.
type template struct {
	// before and after are what stands around the entry of the bootstrap kubeconfig, but for the words at the top on how to fill it in.
	before, after string
	// kubeconfig has <SERVER>, <CA> and <TOKEN> in it, each once.
	kubeconfig string
}

func shipped() (template, error) {
	content, err := cloudinit.Files.ReadFile("user-data.yaml")
	if err != nil {
		return template{}, err
	}
	_, rest, hasTop := strings.Cut(string(content), "\n\n")
	entry := file(config.Default().BootstrapKubeconfig, "0600", "")
	before, rest, hasEntry := strings.Cut(rest, entry)
	lines, after, hasAfter := strings.Cut(rest, "\n\n")
	t := template{before: before, after: after}
	for line := range strings.Lines(lines + "\n") {
		t.kubeconfig += strings.TrimPrefix(line, inContent)
	}
	for _, place := range []string{"<SERVER>", "<CA>", "<TOKEN>"} {
		if strings.Count(t.kubeconfig, place) != 1 {
			return template{}, fmt.Errorf("the shipped user-data.yaml has not one %s in its bootstrap kubeconfig", place)
		}
	}
	if !hasTop || !hasEntry || !hasAfter {
		return template{}, errors.New("the shipped user-data.yaml has another shape than this program knows")
	}
	return t, nil
}
