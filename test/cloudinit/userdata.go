// Package cloudinit fills in the user-data that deploy/cloud-init ships, as a user does, and its tests hold it against the real
// cloud-init and against the agent that reads what comes of it.
package cloudinit

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	shipped "github.com/bootstrap-agent/bootstrap-agent/deploy/cloud-init"
)

// placeholder is what a user replaces, brackets included.
var placeholder = regexp.MustCompile(`<[A-Z]+>`)

// Names are the names of the shipped user-data files.
func Names() ([]string, error) { return fs.Glob(shipped.Files, "user-data*.yaml") }

// Fill returns the shipped user-data called name with each <KEY> replaced by its value. Keys that the file does not have, and
// placeholders without a value, are errors.
func Fill(name string, values map[string]string) (string, error) {
	content, err := shipped.Files.ReadFile(name)
	if err != nil {
		return "", err
	}
	filled := string(content)
	for key, value := range values {
		if !strings.Contains(filled, "<"+key+">") {
			return "", fmt.Errorf("%s has no <%s>", name, key)
		}
		filled = strings.ReplaceAll(filled, "<"+key+">", value)
	}
	if left := placeholder.FindString(filled); left != "" {
		return "", fmt.Errorf("%s: nothing to put in for %s", name, left)
	}
	return filled, nil
}

// placeholders are those of a shipped file, without brackets, each once.
func placeholders(name string) ([]string, error) {
	content, err := shipped.Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var found []string
	seen := map[string]bool{}
	for _, p := range placeholder.FindAllString(string(content), -1) {
		if !seen[p] {
			found, seen[p] = append(found, strings.Trim(p, "<>")), true
		}
	}
	return found, nil
}
