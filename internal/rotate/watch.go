package rotate

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// together is how many events are taken at once at most.
const together = 256

// Watcher says "look again" when what some paths lead to may have changed: the file itself, the folders above it, also those that
// are not there yet, and every link on the way. It says so for writes, renames, removals, links, modes and owners; not for reads.
//
// Nobody is told of a write through another hard link or from another machine (NFS), of a file system mounted over a folder, or of
// one that goes away. So whoever uses a Watcher looks by itself once a minute too, and calls Set then, which finds the new folder.
type Watcher struct {
	changed chan struct{}

	mu      sync.Mutex
	paths   []string
	events  *fsnotify.Watcher // nil as long as the kernel gives none
	folders map[string]*folder
	err     error
	closed  bool
	running sync.WaitGroup
}

// Watch returns a Watcher of nothing; see [Watcher.Set]. It must be closed.
func Watch() *Watcher { return &Watcher{changed: make(chan struct{}, 1)} }

// Changed holds one value as soon as something has changed since the last one was taken, however many changes there were.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Err says why some of the paths are not watched, nil when all of them are. Then the files are to be looked at every second; each
// Set tries again.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Set makes paths the ones that are watched; one that is a folder stands for every name in it, not for those below. It is meant to
// be called before each wait: with the same paths it costs some tens of system calls, finds what no event told, and says "look
// again" only if there is something new to watch. Paths are absolute; an empty one is none.
func (w *Watcher) Set(paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.paths = slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == "" })
	if w.events == nil && !w.start() {
		return
	}
	if w.survey() {
		w.signal()
	}
}

// Close ends the watch and waits until its goroutines have ended.
func (w *Watcher) Close() {
	w.mu.Lock()
	if w.events != nil && !w.closed {
		_ = w.events.Close() // of a descriptor that was only read
	}
	w.closed = true
	w.mu.Unlock()
	w.running.Wait()
}

func (w *Watcher) start() bool {
	events, err := fsnotify.NewBufferedWatcher(together)
	if err != nil {
		w.err = limit("files", err)
		return false
	}
	w.events = events
	lost := make(chan struct{}, 1)
	w.running.Go(func() { w.listen(events.Events, lost) })
	// Errors are taken by a goroutine that waits for nothing: fsnotify holds its own lock while it hands over some of them.
	w.running.Go(func() {
		for range events.Errors { // the queue has overflowed, or a folder went while it was let go of
			put(lost)
		}
	})
	return true
}

// listen looks again for all events together that are there at a time: a folder in heavy use costs one look for many.
func (w *Watcher) listen(events <-chan fsnotify.Event, lost <-chan struct{}) {
	for {
		select {
		case event, open := <-events:
			if !open {
				return
			}
			matters, again := w.matters(event)
			for range len(events) {
				m, a := w.matters(<-events)
				matters, again = matters || m, again || a
			}
			if matters {
				w.look(again)
			}
		case <-lost:
			w.look(true)
		}
	}
}

// matters says whether an event is one of a name that leads to one of the paths, which a watched folder's own is too; and whether the
// way may be another one now, which a write does not make it.
func (w *Watcher) matters(event fsnotify.Event) (matters, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := w.folders[filepath.Dir(event.Name)]
	matters = in != nil && (in.all || in.names[filepath.Base(event.Name)])
	return matters, matters && event.Op != fsnotify.Write
}

// look says "look again", after the new folders are watched, so that nothing goes unseen between the two.
func (w *Watcher) look(again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if again && !w.closed {
		w.survey()
	}
	w.signal()
}

func (w *Watcher) signal() { put(w.changed) }

func put(into chan<- struct{}) {
	select {
	case into <- struct{}{}:
	default:
	}
}

// survey goes the way to every path anew and says whether there was something on it that was not watched before.
func (w *Watcher) survey() bool {
	s := survey{folders: map[string]*folder{}, inodes: map[inode]*folder{}, watch: w.watch}
	for _, path := range w.paths {
		s.follow(path)
	}
	for path := range w.folders {
		if s.folders[path] == nil {
			_ = w.events.Remove(path) // it may be gone, and its watch with it
		}
	}
	before := w.folders
	w.folders, w.err = s.folders, errors.Join(s.errs...)
	return s.beyond(before)
}

// watch is asked for again at each survey: it costs one system call, and a folder that was made anew may have the old one's inode.
func (w *Watcher) watch(s *survey, path string, is inode) error {
	for name, old := range w.folders {
		other := name == path && old.at == path && old.inode != is
		moved := old.inode == is && old.at != path && s.folders[old.at] == nil
		if other || moved {
			_ = w.events.Remove(old.at) // fsnotify keeps one path for an inode, and the events would come under that
		}
	}
	return w.events.Add(path)
}

// limit says in words which limit of the kernel's was hit: "no space left on device" is not about a disk.
func limit(what string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("watch %s: no more inotify watches (sysctl fs.inotify.max_user_watches): %w", what, err)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("watch %s: no more inotify instances (sysctl fs.inotify.max_user_instances) or open files: %w", what, err)
	}
	return fmt.Errorf("watch %s: %w", what, err)
}
