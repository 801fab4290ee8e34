package program

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Repository is the nearest folder above the working directory that holds a go.mod. go test runs a test in its package's
// folder, and runtime.Caller would know no path when built with -trimpath.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod in the working directory or above")
		}
		dir = filepath.Dir(dir)
	}
}
