package powercut

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// effect is one change, and what has to be synced for it to be durable.
type effect struct {
	text  string
	apply func(*Disk)
	// folder, for a change of a name; else file, for one of what is in a file.
	folder string
	file   int
	// syncedAt is after how many operations it was durable; 0: never.
	syncedAt int
}

// Log is what was done to a disk, operation by operation, as [durable.Disk] tells it. It may go on over several lives of the
// program that does it: what was not synced when one was killed is still not synced in the next.
type Log struct {
	mu      sync.Mutex
	initial *Disk
	now     *Disk // with every effect
	ops     []string
	effects []effect
	// upTo is, for each operation, how many effects there are after it.
	upTo []int
}

// NewLog begins a log with what stands below top.
func NewLog(top string) (*Log, error) {
	initial, err := ReadDisk(top)
	if err != nil {
		return nil, err
	}
	return &Log{initial: initial, now: initial.clone()}, nil
}

// Len is how many operations were recorded.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ops)
}

// Call is the k-th operation's, from 0.
func (l *Log) Call(k int) string {
	call, _, _ := strings.Cut(l.ops[k], " ")
	return call
}

// Record notes an operation that is about to be made and will not be kept from it. One that the file system refuses (a name that
// is taken) changes nothing.
func (l *Log) Record(op durable.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := strings.TrimPrefix(op.Path, l.initial.top+"/")
	l.ops = append(l.ops, op.Call+" "+name)
	at := len(l.ops)
	folder := filepath.Dir(op.Path)
	i, there := l.now.names[op.Path]
	switch op.Call {
	case "open":
		l.add(op, folder, l.named(op.Path, inode{mode: op.Mode &^ 0o022}))
	case "symlink":
		l.add(op, folder, l.named(op.Path, inode{kind: fs.ModeSymlink, mode: fs.ModePerm, content: []byte(op.From)}))
	case "mkdir":
		if !there {
			l.add(op, folder, l.named(op.Path, inode{kind: fs.ModeDir, mode: op.Mode}))
		}
	case "write":
		l.write(op, i)
	case "chmod":
		l.effect(effect{text: "chmod " + op.Path, file: i, apply: func(d *Disk) { d.inodes[i].mode = op.Mode }})
	case "utimes":
		l.effect(effect{text: "utimes " + op.Path, file: i, apply: func(d *Disk) { d.inodes[i].modified = op.Time }})
	case "fsync":
		l.synced(at, func(e effect) bool { return e.folder == "" && e.file == i })
	case "fsync-dir":
		l.synced(at, func(e effect) bool { return e.folder == op.Path })
	case "unlink":
		if there {
			l.add(op, folder, func(d *Disk) { delete(d.names, op.Path) })
		}
	case "rename", "rename-noreplace":
		if from, ok := l.now.names[op.From]; ok && (op.Call == "rename" || !there) {
			l.add(op, folder, func(d *Disk) { delete(d.names, op.From); d.names[op.Path] = from })
		}
	default:
		panic("unknown operation " + op.Call)
	}
	l.upTo = append(l.upTo, len(l.effects))
}

// named makes a new inode, which has its name once the effect is applied.
func (l *Log) named(path string, node inode) func(*Disk) {
	l.now.inodes = append(l.now.inodes, node)
	l.initial.inodes = append(l.initial.inodes, node)
	i := len(l.now.inodes) - 1
	return func(d *Disk) { d.names[path] = i }
}

// write is of two effects: a page of a file may reach the disk before the one in front of it.
func (l *Log) write(op durable.Op, i int) {
	half := len(op.Data) / 2
	for n, part := range [][2]int{{0, half}, {half, len(op.Data)}} {
		l.effect(effect{text: fmt.Sprintf("half %d of %s", n+1, op.Path), file: i, apply: func(d *Disk) {
			content := make([]byte, max(part[1], len(d.inodes[i].content)))
			copy(content, d.inodes[i].content)
			copy(content[part[0]:], op.Data[part[0]:part[1]])
			d.inodes[i].content = content
		}})
	}
}

func (l *Log) add(op durable.Op, folder string, apply func(*Disk)) {
	l.effect(effect{text: op.Call + " " + op.Path, folder: folder, file: -1, apply: apply})
}

func (l *Log) effect(e effect) {
	e.apply(l.now)
	l.effects = append(l.effects, e)
}

func (l *Log) synced(at int, covered func(effect) bool) {
	for i := range l.effects {
		if e := &l.effects[i]; e.syncedAt == 0 && covered(*e) {
			e.syncedAt = at
		}
	}
}
