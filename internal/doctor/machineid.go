package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// machineID looks at what tells two machines of one name apart.
func machineID(_ context.Context, p *Patient) []Result {
	path := p.path(node.MachineIDFile)
	const means = "another live machine of this node's name cannot be told from this one"
	id, err := node.MachineID(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(attention("%s is not there: %s", path, means).with("make one, "+asRoot, "systemd-machine-id-setup"))
	case err != nil:
		return one(attention("%s, as in an image that has not been booted: %s", problem(err), means).with("make one, "+asRoot, "systemd-machine-id-setup"))
	case strings.Trim(id, id[:1]) == "":
		return one(attention("%s is %s, which is nobody's own: %s", path, id, means).with("make another, "+asRoot+", and reboot", "rm "+quoted(path)+" && systemd-machine-id-setup"))
	}
	if was, is := p.instances(path); was != "" {
		return one(unknown("%s was made when this disk was the machine %s, and it is %s now: whether other machines were made from the same image, and have the same ID, cannot be seen here", path, words(was), words(is)).
			with("images leave the file empty (docs/images.md); where this machine needs its own, "+asRoot+", and reboot", "rm "+quoted(path)+" && systemd-machine-id-setup"))
	}
	return one(ok("%s", id))
}

// instances are the machine that cloud-init took this disk for when the machine ID was there already, and the one that it is now; empty:
// there was no other.
func (p *Patient) instances(machineID string) (was, is string) {
	const folder = "/var/lib/cloud/instances"
	now, err := os.ReadFile(p.path("/var/lib/cloud/data/instance-id"))
	info, statErr := os.Stat(machineID)
	if err != nil || statErr != nil {
		return "", ""
	}
	is = strings.TrimSpace(string(now))
	entries, _ := os.ReadDir(p.path(folder))
	for _, entry := range entries {
		if entry.Name() != is && p.began(filepath.Join(folder, entry.Name())).After(info.ModTime()) {
			return entry.Name(), is
		}
	}
	return "", ""
}

// began is when cloud-init did something for the last time that it does once on a machine (its semaphores); zero: it never has.
func (p *Patient) began(instance string) (last time.Time) {
	marks, _ := filepath.Glob(filepath.Join(literal(p.path(instance)), "sem", "*"))
	for _, mark := range marks {
		if info, err := os.Stat(mark); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
