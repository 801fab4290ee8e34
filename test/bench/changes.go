package main

import (
	"bytes"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// change is what happened to a file, and when that was seen.
type change struct {
	path string
	mask uint32 // of inotify(7)
	at   time.Time
}

// changes tells of the files in some folders, as soon as the kernel does: looking again and again would take from the machine
// what is measured.
type changes struct {
	seen   chan change
	file   *os.File
	folder map[int32]string
}

func watchChanges(folders ...string) (*changes, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	c := &changes{seen: make(chan change, 1024), file: os.NewFile(uintptr(fd), "inotify"), folder: map[int32]string{}}
	for _, folder := range folders {
		wd, err := unix.InotifyAddWatch(fd, folder, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_DELETE)
		if err != nil {
			c.close()
			return nil, &os.PathError{Op: "inotify_add_watch", Path: folder, Err: err}
		}
		c.folder[int32(wd)] = folder
	}
	go c.read()
	return c, nil
}

func (c *changes) close() { c.file.Close() }

func (c *changes) read() {
	buffer := make([]byte, 64<<10)
	for {
		size, err := c.file.Read(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		for rest := buffer[:size]; len(rest) >= unix.SizeofInotifyEvent; {
			event := (*unix.InotifyEvent)(unsafe.Pointer(&rest[0]))
			end := unix.SizeofInotifyEvent + int(event.Len)
			name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
			c.seen <- change{filepath.Join(c.folder[event.Wd], name), event.Mask, now}
			rest = rest[end:]
		}
	}
}
