package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// places are where the agent keeps what must last, with what is lost there.
func (p *Patient) places() []string {
	places := []string{p.Config.CertDir, filepath.Dir(p.Config.Kubeconfig)}
	if endOf(places[0]) == endOf(places[1]) {
		return places[:1]
	}
	return places
}

// volume is what a folder lies on, as the kernel tells it.
type volume struct {
	kind     string // "" is any that lasts
	network  bool
	readOnly bool
	// upper is where an overlay keeps what is written; empty: it is none, or cannot be seen.
	overlay bool
	upper   string
}

func storage(_ context.Context, p *Patient) []Result {
	var found []Result
	for _, place := range p.places() {
		there, err := nearest(place)
		if err != nil {
			found = append(found, unknown("%v", err).with(asRoot, "bootstrap-agent doctor"))
			continue
		}
		v, err := volumeOf(there, p.path("/proc/self/mountinfo"))
		if err != nil {
			found = append(found, unknown("which file system %s lies on cannot be told: %v", there, err).with("see what the kernel says of it", "findmnt -T "+quoted(there)))
			continue
		}
		found = append(found, judgeVolume(place, there, v))
	}
	return append(found, p.immutable()...)
}

// judgeVolume says what becomes of files at place, the nearest folder of which is there.
func judgeVolume(place, there string, v volume) Result {
	const move = "put it on a disk (certDir, kubeconfig), or expect to need a new bootstrap kubeconfig after each boot"
	switch {
	case v.readOnly:
		return broken("%s lies on a file system that is mounted read-only: no certificate can be stored", place).
			with(asRoot+", when the kernel's log (dmesg) says nothing of a failing disk", `mount -o remount,rw "$(findmnt -n -o TARGET -T `+quoted(there)+`)"`)
	case v.kind != "":
		return attention("%s lies on a %s, in memory: what is there is gone after a reboot, and the node's identity with it", place, v.kind).with(move, "")
	case v.network:
		return attention("%s lies on a network file system: keys travel, locks may not hold, and the node waits for it at boot", place).with("put it on a disk of this machine (certDir, kubeconfig)", "")
	case v.overlay && v.upper == "":
		return unknown("%s lies on an overlay: whether it is there after a reboot depends on what is below, which cannot be seen from here", place).with(move, "")
	}
	return ok("%s lies on what lasts and can be written", place)
}

// Kinds of file systems, of linux/magic.h.
const (
	ramfs   = 0x858458f6
	cifs    = 0xff534d42
	smb2    = 0xfe534d42
	cephfs  = 0x00c36400
	plan9   = 0x01021997
	overlay = unix.OVERLAYFS_SUPER_MAGIC
)

func volumeOf(folder, mountinfo string) (volume, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return volume{}, err
	}
	v := volume{readOnly: stat.Flags&unix.ST_RDONLY != 0}
	switch uint32(stat.Type) {
	case unix.TMPFS_MAGIC:
		v.kind = "tmpfs"
	case ramfs:
		v.kind = "ramfs"
	case unix.NFS_SUPER_MAGIC, cifs, smb2, cephfs, plan9:
		v.network = true
	case overlay:
		v.overlay = true
		v.upper = upperOf(folder, mountinfo)
		if unix.Statfs(v.upper, &stat) == nil && uint32(stat.Type) == unix.TMPFS_MAGIC {
			v.kind = "tmpfs"
		}
	}
	return v, nil
}

// upperOf is the folder in which the overlay that folder lies on keeps what is written, if it can be seen from here: proc_pid_mountinfo(5).
func upperOf(folder, mountinfo string) string {
	text, err := os.ReadFile(mountinfo)
	if err != nil {
		return ""
	}
	best, upper := "", ""
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		point := unescape(fields[4])
		if !isBelow(folder, point) || len(point) < len(best) {
			continue
		}
		best, upper = point, optionOf(fields[len(fields)-1], "upperdir")
	}
	if _, err := os.Stat(upper); err != nil {
		return ""
	}
	return upper
}

func optionOf(options, name string) string {
	for option := range strings.SplitSeq(options, ",") {
		if value, is := strings.CutPrefix(option, name+"="); is {
			return unescape(value)
		}
	}
	return ""
}

// unescape undoes what the kernel does to blanks in paths.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// isBelow says whether path is folder or lies in it.
func isBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// immutable finds what chattr(1) has locked, which looks like a missing permission that even root cannot give.
func (p *Patient) immutable() []Result {
	dir := certdir.Dir{Path: p.Config.CertDir}
	paths := append([]string{dir.Path, filepath.Dir(p.Config.Kubeconfig), p.Config.Kubeconfig, p.Config.BootstrapKubeconfig}, dir.Pairs(certdir.Client)...)
	paths = append(append(append(paths, dir.Pairs(certdir.Serving)...), dir.Requests()...), dir.CAs()...)
	var found []Result
	for _, path := range paths {
		if locked(path) {
			found = append(found, broken("%s is marked as immutable or append-only: not even root can replace it", path).with(asRoot, "chattr -ia "+quoted(path)))
		}
	}
	return found
}

func locked(path string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MODE, &stat)
	return err == nil && stat.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}
