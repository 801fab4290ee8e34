package doctor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// readSome returns the first bytes of a regular file, limit at most. It does not wait at a pipe.
func readSome(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: %w", path, errNotRegular)
	}
	return io.ReadAll(io.LimitReader(file, limit))
}

// machine is the file system of the patient's machine.
type machine struct{ p *Patient }

// Open does not wait for the other end of a pipe.
func (m machine) Open(name string) (fs.File, error) {
	return os.OpenFile(m.p.path("/"+name), os.O_RDONLY|unix.O_NONBLOCK, 0)
}

var errNotRegular = errors.New("no regular file")
