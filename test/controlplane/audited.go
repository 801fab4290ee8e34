package controlplane

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
)

// audited is what has been read of the audit log. Only what is new is read each time: tests ask many times a second, and parsing
// the whole log again took half of their time.
type audited struct {
	mu sync.Mutex
	// size is up to where it was read.
	size     int64
	entries  []AuditEntry
	requests []Request
	// index has the place in requests of an audit ID.
	index map[string]int
}

// read adds what the API server has written since the last time.
func (a *audited) read(path string) error {
	content, err := readFrom(path, a.size)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	// the API server may be writing the last line at this moment
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	for line := range bytes.Lines(content) {
		var entry AuditEntry
		if err := json.Unmarshal(line, &entry); err != nil {
			return fmt.Errorf("parse the audit log: %w: %s", err, line)
		}
		a.add(entry)
		a.size += int64(len(line))
	}
	return nil
}

// add makes one request of all entries with one audit ID; a later entry knows more.
func (a *audited) add(entry AuditEntry) {
	a.entries = append(a.entries, entry)
	at, seen := a.index[entry.AuditID]
	if !seen {
		if a.index == nil {
			a.index = map[string]int{}
		}
		at = len(a.requests)
		a.index[entry.AuditID] = at
		a.requests = append(a.requests, Request{})
	}
	a.requests[at] = entry.request()
}

func readFrom(path string, offset int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}
