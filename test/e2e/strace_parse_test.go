package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// changing are the system calls that change files or have a change survive. A question mark: not every architecture has it.
const changing = "?open,?openat,?openat2,?creat,?write,?writev,?pwrite64,?pwritev,?pwritev2,?sendfile,?splice,?copy_file_range," +
	"?fallocate,?truncate,?ftruncate,?fsync,?fdatasync,?sync_file_range,?sync,?syncfs,?rename,?renameat,?renameat2,?link,?linkat," +
	"?symlink,?symlinkat,?unlink,?unlinkat,?rmdir,?mkdir,?mkdirat,?mknod,?mknodat,?chmod,?fchmod,?fchmodat,?fchmodat2," +
	"?chown,?lchown,?fchown,?fchownat,?utime,?utimes,?utimensat,?futimesat,?setxattr,?lsetxattr,?fsetxattr,?removexattr,?io_uring_setup"

// straced is a file operation in strace's log: "PID name(arguments" of which a descriptor begins "7</path>", and a call that was
// not over when another thread made one ends in "<unfinished ...>".
var (
	straced    = regexp.MustCompile(`^\d+ +(\w+)\((.*)`)
	quoted     = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	descriptor = regexp.MustCompile(`^\d+<([^>]*)>`)
	writing    = regexp.MustCompile(`\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND)\b`)
)

// words of durable.Op for the kernel's calls. Others keep their name, and so are found in no record.
var words = map[string]string{
	"openat": "open", "fchmod": "chmod", "renameat": "rename", "symlinkat": "symlink", "unlinkat": "unlink", "mkdirat": "mkdir",
	"utimensat": "utimes",
}

// parseStrace returns the operations on files in strace's log. isFolder tells an fsync of a folder from that of a file.
func parseStrace(log string, isFolder func(path string) bool) []durable.Op {
	var ops []durable.Op
	for line := range strings.Lines(log) {
		found := straced.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		op, ok := parseCall(found[1], found[2], isFolder)
		again := len(ops) > 0 && op.Call == "unlink" && ops[len(ops)-1].Path == op.Path && strings.Contains(line, "AT_REMOVEDIR")
		if ok && !again { // os.Remove tries rmdir when unlink fails
			ops = append(ops, op)
		}
	}
	return ops
}

func parseCall(name, arguments string, isFolder func(string) bool) (op durable.Op, ok bool) {
	op.Call = name
	if word := words[name]; word != "" {
		op.Call = word
	}
	var names []string
	for _, found := range quoted.FindAllStringSubmatch(arguments, -1) {
		names = append(names, found[1])
	}
	if open := descriptor.FindStringSubmatch(arguments); open != nil {
		names = []string{open[1]} // what else is quoted is content
	}
	if len(names) == 0 {
		return op, true // sync, or nothing that is known: in no record
	}
	op.Path = names[len(names)-1]
	if len(names) > 1 {
		op.From = names[0]
	}
	switch {
	case name == "openat" && !writing.MatchString(arguments):
		return op, false
	case name == "renameat2" && strings.Contains(arguments, "RENAME_NOREPLACE"):
		op.Call = "rename-noreplace"
	case name == "fsync" && isFolder(op.Path):
		op.Call = "fsync-dir"
	}
	return op, onDisk(op.Path)
}

// onDisk tells files from pipes, sockets, devices and the kernel's own files.
func onDisk(path string) bool {
	return filepath.IsAbs(path) && !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/proc/") && !strings.HasPrefix(path, "/sys/")
}

// told are operations as text, without what differs from one join to another. The lock file's are left out: it is written in place,
// for others to read while the agent lives, and no crash matters to it.
func told(n *node, ops []durable.Op) []string {
	var texts []string
	for _, op := range ops {
		if filepath.Base(op.Path) == ".bootstrap-agent.lock" {
			continue
		}
		text := op.Call + " " + relative(n, op.Path)
		if op.From != "" {
			text += " from " + relative(n, op.From)
		}
		texts = append(texts, text)
	}
	return texts
}

func relative(n *node, path string) string {
	return tracer.Name(strings.TrimPrefix(strings.Replace(path, n.dir, "NODE", 1), "/"))
}

// concern is the certificate, or the credential, that an operation is about; the sync of a folder belongs to what came before it.
func concern(text, before string) string {
	switch {
	case strings.HasPrefix(text, "fsync-dir "):
		return before
	case strings.Contains(text, "bootstrap.kubeconfig"):
		return "credential"
	case strings.Contains(text, "kubelet-server") || strings.Contains(text, "kubelet.crt") || strings.Contains(text, "kubelet.key"):
		return "serving"
	case strings.Contains(text, "kubelet-client") || strings.Contains(text, "kubelet-apiserver-ca") || strings.Contains(text, "kubelet.kubeconfig"):
		return "client"
	}
	return "else"
}

// byConcern sorts operations: what belongs to one concern keeps its order, while that between concerns follows the network's pace.
func byConcern(texts []string) map[string][]string {
	sorted := map[string][]string{}
	before := "else"
	for _, text := range texts {
		before = concern(text, before)
		sorted[before] = append(sorted[before], text)
	}
	return sorted
}

func TestTheOperationsInAnStraceLogAreRead(t *testing.T) {
	t.Parallel()
	log := `12 openat(AT_FDCWD</root>, "/d/.a.tmp", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600 <unfinished ...>
13 write(5<anon_inode:[eventfd]>, ""..., 8) = 8
12 <... openat resumed>)                = 7</d/.a.tmp>
12 openat(AT_FDCWD</root>, "/d", O_RDONLY|O_CLOEXEC) = 8</d>
12 fchmod(7</d/.a.tmp>, 0600)          = 0
13 write(7</d/.a.tmp>, "/etc"..., 12)       = 12
13 fsync(7</d/.a.tmp>)                 = 0
12 write(2<pipe:[1]>, ""..., 8) = 8
12 renameat(AT_FDCWD</root>, "/d/.a.tmp", AT_FDCWD</root>, "/d/a") = 0
14 fsync(8</d>)                        = 0
12 symlinkat("a", AT_FDCWD</root>, "/d/b") = 0
12 renameat2(AT_FDCWD</root>, "/d/b", AT_FDCWD</root>, "/d/c", RENAME_NOREPLACE) = 0
12 unlinkat(AT_FDCWD</root>, "/d/gone", 0) = -1 ENOENT (No such file or directory)
12 unlinkat(AT_FDCWD</root>, "/d/gone", AT_REMOVEDIR) = -1 ENOENT (No such file or directory)
12 unlinkat(AT_FDCWD</root>, "/d/sub", AT_REMOVEDIR) = 0
12 mkdirat(AT_FDCWD</root>, "/d/new", 0700) = 0
12 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=12, si_uid=0} ---
12 chmod("/d/a", 0644)                 = 0
12 ftruncate(7</d/a>, 0)               = 0
12 utimensat(AT_FDCWD</root>, "/d/.a.tmp", [UTIME_OMIT, {tv_sec=1772366400, tv_nsec=0} /* 2026-03-01T12:00:00+0000 */], 0) = 0
12 write(9<socket:[77]>, ""..., 8) = 8
12 +++ exited with 0 +++
`
	expected := []string{
		"open /d/.a.tmp", "chmod /d/.a.tmp", "write /d/.a.tmp", "fsync /d/.a.tmp", "rename /d/a from /d/.a.tmp", "fsync-dir /d",
		"symlink /d/b from a", "rename-noreplace /d/c from /d/b", "unlink /d/gone", "unlink /d/sub", "mkdir /d/new", "chmod /d/a", "ftruncate /d/a",
		"utimes /d/.a.tmp",
	}
	var got []string
	for _, op := range parseStrace(log, func(path string) bool { return path == "/d" }) {
		text := op.Call + " " + op.Path
		if op.From != "" {
			text += " from " + op.From
		}
		got = append(got, text)
	}
	if !slices.Equal(got, expected) {
		t.Errorf("read %s\nexpected %s", fmt.Sprintf("%q", got), fmt.Sprintf("%q", expected))
	}
}
