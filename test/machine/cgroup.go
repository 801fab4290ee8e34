package machine

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// groupPrefix begins the name of the cgroups of one run of tests; the pid of its process follows.
const groupPrefix = "bootstrap-agent-test-"

// hierarchy is a mounted cgroup hierarchy and the folder of this process in it.
type hierarchy struct {
	folder      string
	controllers []string // of version 1
}

// hierarchies are those of the host: version 1, version 2 or both.
func hierarchies() ([]hierarchy, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for lines := bufio.NewScanner(file); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(kind) < 3 || !strings.HasPrefix(kind[0], "cgroup") {
			continue
		}
		h := hierarchy{folder: mount[4]}
		if kind[0] == "cgroup" {
			h.controllers = strings.Split(kind[2], ",")
		}
		if path, ok := ownGroup(string(own), h); ok {
			h.folder = filepath.Join(h.folder, path)
			found = append(found, h)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted, as systemd needs")
	}
	return found, nil
}

// ownGroup is the path of this process in a hierarchy, from lines like "4:memory:/a" and "0::/a".
func ownGroup(own string, h hierarchy) (string, bool) {
	for line := range strings.Lines(own) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		if parts[1] == "" && h.controllers == nil {
			return parts[2], true
		}
		for _, controller := range h.controllers {
			if parts[1] != "" && strings.Contains(","+parts[1]+",", ","+controller+",") {
				return parts[2], true
			}
		}
	}
	return "", false
}

// groups are the folders of a name in each hierarchy.
func groups(name string) []string {
	found := mounted
	if found == nil {
		found, _ = hierarchies() // none: nothing is there to be made or removed
	}
	var folders []string
	for _, h := range found {
		folders = append(folders, filepath.Join(h.folder, name))
	}
	return folders
}

// root are the cgroups of this run, below which each machine has its own.
var root string

// mounted are the hierarchies that there were when this run began: systemd-nspawn mounts another one for a moment when it starts a machine.
var mounted []hierarchy

func makeGroups(name string) error {
	root = name
	var err error
	if mounted, err = hierarchies(); err != nil {
		return err
	}
	return makeGroup(name)
}

// makeGroup makes the folders of a name. A cpuset without processors and memory takes no process.
func makeGroup(name string) error {
	for _, folder := range groups(name) {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			above, err := os.ReadFile(filepath.Join(folder, "..", file))
			if err != nil || !exists(filepath.Join(folder, "cgroup.clone_children")) {
				continue
			}
			if err := os.WriteFile(filepath.Join(folder, file), above, 0o644); err != nil {
				return err
			}
		}
		if path := filepath.Join(folder, "cgroup.clone_children"); exists(path) {
			_ = os.WriteFile(path, []byte("1"), 0o644) // only cpuset has it: groups below start with its values
		}
	}
	return nil
}

// removeGroups removes the folders of a name, from the bottom. The last processes may take a moment to leave.
func removeGroups(name string) {
	for range 50 {
		left := 0
		for _, folder := range groups(name) {
			left += removeTree(folder)
		}
		if left == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// removeTree removes the folders of a cgroup and returns how many are left.
func removeTree(folder string) int {
	var folders []string
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return nil
	})
	left := 0
	for _, folder := range slices.Backward(folders) {
		if err := syscall.Rmdir(folder); err != nil && !os.IsNotExist(err) {
			left++
		}
	}
	return left
}

// sweepGroups removes what a run has left that was killed together with the process outside.
func sweepGroups() {
	for _, folder := range groups("") {
		old, _ := filepath.Glob(filepath.Join(folder, groupPrefix+"*"))
		for _, group := range old {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(group), groupPrefix))
			if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
				removeTree(group)
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
