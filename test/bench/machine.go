package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// describeMachine says what the times depend on besides the programs: how busy the machine is, by this bench and by others, and
// what it costs to bring a small file to the disk that holds dir, which a join does over and over.
func describeMachine(dir string) (string, error) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	minute, _, _ := strings.Cut(string(load), " ")
	var fsync sample
	for range 21 {
		took, err := syncOnce(filepath.Join(dir, "fsync"))
		if err != nil {
			return "", err
		}
		fsync = append(fsync, float64(took))
	}
	return fmt.Sprintf("%d CPUs with a load average of %s; one fsync takes %.1f ms", runtime.NumCPU(), minute, fsync.median()/milliseconds.of), nil
}

// syncOnce times the fsync of a file of the size of a certificate with its key.
func syncOnce(path string) (time.Duration, error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, 1<<10)); err != nil {
		return 0, err
	}
	begin := time.Now()
	err = file.Sync()
	return time.Since(begin), err
}
