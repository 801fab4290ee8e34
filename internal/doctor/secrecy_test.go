package doctor

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// secrets are what no report may hold: of the token its second half, since the first is public, and every line of every private key.
func (n *sick) secrets() []string {
	n.t.Helper()
	secrets := []string{strings.Split(secretToken, ".")[1]}
	must(n.t, filepath.WalkDir(n.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if _, key, is := strings.Cut(string(text), "-----BEGIN PRIVATE KEY-----\n"); is {
			key, _, _ = strings.Cut(key, "-----END")
			secrets = append(secrets, strings.Fields(key)...)
		}
		return err
	}))
	return secrets
}

// keepsSecrets holds a report, in each of its forms, against them.
func (n *sick) keepsSecrets(r Report) {
	n.t.Helper()
	text, err := json.Marshal(r)
	must(n.t, err)
	for _, secret := range n.secrets() {
		if all := string(text) + fmt.Sprintf("%+v", r); strings.Contains(all, secret) {
			n.t.Errorf("a secret is told: %s", strings.ReplaceAll(string(text), secret, "SECRET"))
		}
	}
}

// listing is every name on the node, with what changes when somebody changes it. Reading changes nothing of it.
func (n *sick) listing() string {
	n.t.Helper()
	var lines strings.Builder
	must(n.t, filepath.WalkDir(n.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&lines, "%s %v %d %d %v %v\n", path, info.Mode(), stat.Ino, stat.Size, stat.Mtim, stat.Ctim)
		return nil
	}))
	return lines.String()
}
