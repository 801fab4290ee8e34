package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// whole is a node that has everything, its agent, which has looked at it once, and what that says.
type whole struct {
	*settler
	t    *testing.T
	on   *machine
	m    *material
	said *bytes.Buffer
}

func newWhole(t *testing.T, m *material, change ...func(*machine)) *whole {
	t.Helper()
	on := newMachine(t)
	m.furnish(t, on, disk{client: "good", older: "missing", clientPending: "none", serving: "issued", servingPending: "none", kubeconfig: true})
	for _, c := range change {
		c(on)
	}
	w := &whole{settler: newSettler(t, on, durable.Disk{}), t: t, on: on, m: m, said: &bytes.Buffer{}}
	w.agent.log = slog.New(slog.NewTextHandler(w.said, nil))
	t.Cleanup(w.close)
	w.rests(w.settle())
	return w
}

// after lets time pass, and the agent look.
func (w *whole) after(d time.Duration) {
	w.t.Helper()
	w.clock.Step(d)
	w.rests(w.settle())
}

// files are the contents and times of everything on the machine, by name.
func (w *whole) files() map[string]string {
	w.t.Helper()
	files := map[string]string{}
	must(w.t, filepath.WalkDir(w.on.top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == ".bootstrap-agent.lock" {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			files[path] = "a link to " + filepath.Base(target)
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(path, ".pem") { // whose time is when it was received
			content = append(content, info.ModTime().String()...)
		}
		files[path] = string(content)
		return err
	}))
	return files
}

// differences are the names of files that differ, or are there only once.
func differences(a, b map[string]string) (names []string) {
	for name, content := range a {
		if other, there := b[name]; !there || other != content {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	return names
}

// fragileFile is one of a node's files; pair says that it holds a certificate with its key.
type fragileFile struct {
	name string
	path func(w *whole) string
	link bool
	pair certdir.Kind
}

var fragileFiles = []fragileFile{
	{"the client pair", dataFileOf(certdir.Client), false, certdir.Client},
	{"the client link", func(w *whole) string { return w.on.dir.Current(certdir.Client) }, true, ""},
	{"the serving pair", dataFileOf(certdir.Serving), false, certdir.Serving},
	{"the serving link", func(w *whole) string { return w.on.dir.Current(certdir.Serving) }, true, ""},
	{"the kubeconfig", func(w *whole) string { return w.on.cfg.Kubeconfig }, false, ""},
	{"the API server's CA", func(w *whole) string { return w.on.dir.ServerCA() }, false, ""},
	{"the clients' CA", func(w *whole) string { return w.on.dir.ClientCA() }, false, ""},
}

func dataFileOf(kind certdir.Kind) func(w *whole) string {
	return func(w *whole) string {
		file, err := filepath.EvalSymlinks(w.on.dir.Current(kind))
		must(w.t, err)
		return file
	}
}

// hurts are what can become of a file, and whether it is gone then, and no more than damaged.
func hurts(f fragileFile, m *material) map[string]func(path string) error {
	replacedBy := func(content []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, content, 0o600) }
	}
	all := map[string]func(string) error{"removed": os.Remove}
	if f.link {
		all["a link to nowhere"] = func(path string) error { return errors.Join(os.Remove(path), os.Symlink("nowhere", path)) }
		all["a link to garbage"] = func(path string) error {
			garbage := filepath.Join(filepath.Dir(path), "garbage")
			return errors.Join(os.Remove(path), os.WriteFile(garbage, []byte("garbage"), 0o600), os.Symlink("garbage", path))
		}
		return all
	}
	all["emptied"] = replacedBy(nil)
	all["overwritten"] = replacedBy([]byte("no such thing\n"))
	all["cut in half"] = func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	}
	if f.pair == "" {
		all["writable by others"] = func(path string) error { return os.Chmod(path, 0o666) }
		return all
	}
	all["with another key"] = func(path string) error {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		const key = "-----BEGIN EC"
		own, other := bytes.Index(content, []byte(key)), bytes.Index(m.older, []byte(key))
		return os.WriteFile(path, append(content[:own], m.older[other:]...), 0o600)
	}
	all["an expired one"] = replacedBy(map[certdir.Kind][]byte{certdir.Client: m.expired, certdir.Serving: m.servingExpired}[f.pair])
	if f.pair == certdir.Client {
		all["another node's"] = replacedBy(m.otherNode)
	}
	return all
}

// What is damaged is written again after two seconds, what is gone after ten, with the same bytes and, where it counts, the same time;
// not before, and nothing else is touched.
func TestWhateverIsDamagedOrGoneIsWrittenAgainAsItWas(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	tried := 0
	for _, f := range fragileFiles {
		for name, hurt := range hurts(f, m) {
			w := newWhole(t, m)
			before, path := w.files(), f.path(w)
			rotates := w.agent.observe().RotateAt(w.agent.observe().Client.Pair)
			must(t, hurt(path))
			wait := settlesIn
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // also at the end of a link
				wait = resetTakes
			}
			w.rests(w.settle())
			hurtFiles := w.files()
			w.after(wait - time.Millisecond)
			if early := differences(hurtFiles, w.files()); len(early) > 0 {
				t.Errorf("%s, %s: %q were written before %s had passed", f.name, name, early, wait)
			}
			w.after(time.Millisecond)
			left := differences(before, w.files())
			if len(left) > 0 && !(len(left) == 1 && filepath.Base(left[0]) == "garbage") {
				t.Errorf("%s, %s: after %s %q are not as they were; the agent says\n%s", f.name, name, wait, left, w.said)
			}
			if o := w.agent.observe(); o.Client.Pair == nil || !o.RotateAt(o.Client.Pair).Equal(rotates) || o.Client.Pending != nil || o.Serving.Pending != nil {
				t.Errorf("%s, %s: the planned rotation was moved, or something was asked for", f.name, name)
			}
			if said := strings.Count(w.said.String(), "wrote a file again from memory"); said != 1 {
				t.Errorf("%s, %s: said %d times", f.name, name, said)
			}
			tried++
		}
	}
	t.Logf("%d kinds of damage to %d files healed", tried, len(fragileFiles))
}

// Dangling links are what a kubelet writes a key through, so they never wait.
func TestTheKubeletsLinksNeverDangleWhileAPairIsHealed(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m)
	must(t, os.Remove(dataFileOf(certdir.Serving)(w)))
	w.rests(w.settle())
	expectKubeletUnharmed(t, w.on)
	if w.on.exists(filepath.Join(w.on.cfg.CertDir, "kubelet.crt")) {
		t.Error("kubelet.crt leads to nothing")
	}
	w.after(resetTakes)
	if o := w.agent.observe(); !o.Serving.Linked || !o.Serving.Issued() {
		t.Error("the pair and its links are not back")
	}
}

// Somebody who damages a file again and again gets it back more and more slowly, and the log stays readable.
func TestAFileThatIsDamagedWithoutEndIsHealedMoreAndMoreSlowly(t *testing.T) {
	m := newMaterial(t)
	for _, f := range fragileFiles[:1] {
		w := newWhole(t, m)
		heals, now := 0, w.clock.Now()
		for w.clock.Since(now) < 30*time.Minute {
			path := f.path(w)
			good, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, nil, 0o600))
			w.rests(w.settle())
			for range 100 {
				w.after(10 * time.Second)
				if content, _ := os.ReadFile(path); bytes.Equal(content, good) {
					heals++
					break
				}
			}
		}
		lines := strings.Count(w.said.String(), "\n")
		if heals < 5 || heals > 14 || lines > 5*heals {
			t.Errorf("%s: healed %d times in half an hour, with %d lines", f.name, heals, lines)
		}
		t.Logf("%s: damaged whenever it was healed, for half an hour: healed %d times, %d lines in the log", f.name, heals, lines)
	}
}

// A disk that takes nothing makes the agent wait, and not write and log without end.
func TestHealingInVainWaitsLongerAndLonger(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m)
	writes := 0
	w.agent.Disk.Before = func(durable.Op) error { writes++; return errors.New("no space left on device") }
	w.agent.dir.Disk = w.agent.Disk
	must(t, os.Truncate(dataFileOf(certdir.Client)(w), 0))
	for range 20 * 12 {
		w.after(5 * time.Second)
	}
	if lines := strings.Count(w.said.String(), "\n"); lines > 60 || writes > 200 {
		t.Errorf("%d writes were tried in 20 minutes, %d lines were said", writes, lines)
	}
	w.agent.Disk.Before, w.agent.dir.Disk = nil, durable.Disk{}
	w.after(2 * time.Minute)
	if !w.agent.observe().HasIdentity() {
		t.Error("the identity is not back when the disk is well")
	}
	t.Logf("%d changes of the files tried in 20 minutes", writes)
}

// With --serving=off the serving pair is the kubelet's, and nothing of ours comes back.
func TestServingThatIsSwitchedOffIsNotHealed(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m, func(on *machine) { on.cfg.Serving = string(serving.Off) })
	before, written := w.files(), 0
	w.agent.Disk.Before = func(durable.Op) error { written++; return nil }
	w.agent.dir.Disk = w.agent.Disk
	for range 30 {
		w.after(time.Minute)
		if changed := differences(before, w.files()); len(changed) > 0 || written > 0 {
			t.Fatalf("%s after it was given back to the kubelet there are %d changes: %q\n%s", w.clock.Since(noon), written, changed, w.said)
		}
	}
}

// What somebody else has put in place, and what can be used, is theirs: it is remembered from then on, and never overwritten.
func TestWhatSomebodyElseHasPutInPlaceStays(t *testing.T) {
	m := newMaterial(t)
	newer := m.pair(t, m.client.Wish, 30*time.Second)
	newerServing := m.pair(t, m.servingRequest.Wish, 30*time.Second)
	kubeconfigOf := func(server string) []byte {
		return bytes.ReplaceAll(bootstrapKubeconfig(server, theCA().pem), []byte("token: "+token), []byte("client-certificate: pki/kubelet-client-current.pem, client-key: pki/kubelet-client-current.pem"))
	}
	for name, c := range map[string]struct {
		put     func(w *whole) error
		adopted bool
	}{
		"a client pair, as a kubelet stores it":  {func(w *whole) error { return storeLikeKubelet(w.on.dir, certdir.Client, newer) }, true},
		"a serving pair, as a kubelet stores it": {func(w *whole) error { return storeLikeKubelet(w.on.dir, certdir.Serving, newerServing) }, true},
		"a client pair, written over the old one": {func(w *whole) error {
			return os.WriteFile(dataFileOf(certdir.Client)(w), newer, 0o600)
		}, true},
		"the same pair under another name": {func(w *whole) error {
			return storeLikeKubelet(w.on.dir, certdir.Client, w.m.good)
		}, false},
		"another kubeconfig": {func(w *whole) error {
			return os.WriteFile(w.on.cfg.Kubeconfig, kubeconfigOf("https://192.0.2.5"), 0o600)
		}, false},
		"another clients' CA": {func(w *whole) error { return os.WriteFile(w.on.dir.ClientCA(), w.m.realCert, 0o644) }, false},
		"another API CA":      {func(w *whole) error { return os.WriteFile(w.on.dir.ServerCA(), w.m.realCert, 0o644) }, false},
	} {
		w := newWhole(t, m)
		must(t, c.put(w))
		put := w.files()
		for _, wait := range []time.Duration{0, settlesIn, resetTakes, time.Minute} {
			w.after(wait)
			if changed := differences(put, w.files()); len(changed) > 0 {
				t.Errorf("%s: %q was changed after %s\n%s", name, changed, wait, w.said)
			}
		}
		if said := strings.Count(w.said.String(), "adopted a certificate"); said != map[bool]int{true: 1}[c.adopted] {
			t.Errorf("%s: %d times it is said that it was adopted", name, said)
		}
		for path := range put { // and it is what is written again from then on
			if strings.Contains(path, "current.pem") || strings.HasSuffix(path, ".kubeconfig") {
				must(t, os.Remove(path))
				w.rests(w.settle())
				w.after(resetTakes)
				if changed := differences(put, w.files()); len(changed) > 0 {
					t.Errorf("%s: after %s was removed, %q are not what was put in place", name, path, changed)
				}
			}
		}
	}
}

// storeLikeKubelet is what client-go's FileStore does: the data file, then the link, which is not there for a moment.
func storeLikeKubelet(dir certdir.Dir, kind certdir.Kind, pair []byte) error {
	file := filepath.Join(dir.Path, fmt.Sprintf("%s-%s.pem", kind, time.Now().Add(time.Hour).Format("2006-01-02-15-04-05")))
	updated := filepath.Join(dir.Path, string(kind)+"-updated.pem")
	return errors.Join(os.WriteFile(file, pair, 0o600), os.Symlink(file, updated), os.Remove(dir.Current(kind)), os.Rename(updated, dir.Current(kind)))
}

// Nothing would be won by a certificate that is over: a node that waits for a credential does not have it written without end.
func TestAPairThatHasExpiredIsNotWrittenAgain(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m)
	w.after(2 * time.Hour)
	w.after(time.Minute)
	must(t, os.Remove(w.on.dir.Current(certdir.Client)))
	w.rests(w.settle())
	for range 10 {
		w.after(time.Minute)
	}
	if w.on.exists(w.on.dir.Current(certdir.Client)) || strings.Contains(w.said.String(), "wrote a file again from memory") {
		t.Errorf("it was written again:\n%s", w.said)
	}
}
