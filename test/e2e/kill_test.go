package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// death is a kill -9 that has hit.
type death struct {
	node string
	at   time.Time
	// point is the system call; phase is what the disk of the dead agent tells of its story.
	point, phase string
	// after: the call was made.
	after bool
}

func (d death) String() string {
	when := "before"
	if d.after {
		when = "after"
	}
	return fmt.Sprintf("%-6s %s, %s", when, d.point, d.phase)
}

// deaths are those of a test.
type deaths struct {
	mu  sync.Mutex
	all []death
	// lives is how many agents were started, spared how many of those that were to be killed ended before that.
	lives, spared int
}

func (s *deaths) add(d death) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d)
}

func (s *deaths) count(number *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*number++
}

// histogram says how often something came about, one line each.
func (s *deaths) histogram(of func(death) string) string {
	counts := map[string]int{}
	for _, d := range s.all {
		counts[of(d)]++
	}
	var lines strings.Builder
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&lines, "%5d %s\n", counts[text], text)
	}
	return lines.String()
}

// limit ends an agent that does not end by itself. What it waits for here comes within a second.
const limit = time.Minute

// live is the life of an agent: run --once, killed where it is told. The code is that of its own end, -1 when it was killed.
func (n *node) live(toll *deaths, kill tracer.Kill, args ...string) (code int, trace tracer.Trace) {
	n.t.Helper()
	return n.liveUntil(nil, toll, kill, append([]string{"--once"}, args...)...)
}

// liveUntil is the life of one that stays, and is taken for ended with 0 as soon as it is done.
func (n *node) liveUntil(done func() bool, toll *deaths, kill tracer.Kill, args ...string) (code int, trace tracer.Trace) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.t.Context()), limit)
	defer cancel()
	started, finished := make(chan struct{}), make(chan bool, 1)
	go func() { finished <- endsWhen(ctx, started, done, cancel) }()
	start := sync.OnceFunc(func() { close(started) })
	var said bytes.Buffer
	c := n.command(ctx, []string{"run"}, args...)
	c.Stdout, c.Stderr = &said, &said
	trace, err := tracer.Run(c, kill, func(tracer.Call) { start() })
	expired := ctx.Err() != nil
	cancel()
	isDone := <-finished
	fmt.Fprintln(&n.said, c.Args, said.String())
	must(n.t, err)
	toll.count(&toll.lives)
	switch {
	case trace.Killed:
		last := trace.Calls[len(trace.Calls)-1]
		toll.add(death{n.name, time.Now(), n.point(last), n.phase(), kill.After})
		return -1, trace
	case kill.Call > 0:
		toll.count(&toll.spared)
	}
	if isDone && trace.Status.Signaled() {
		return 0, trace
	}
	if trace.Status.Signaled() {
		n.t.Fatalf("the agent was killed by %s, within %s: %t\n%s", trace.Status.Signal(), limit, !expired, said.String())
	}
	return trace.Status.ExitStatus(), trace
}

// endsWhen ends something that has started as soon as it is done, and says whether it was.
func endsWhen(ctx context.Context, started <-chan struct{}, done func() bool, end func()) bool {
	select {
	case <-started:
	case <-ctx.Done():
	}
	for ; done != nil && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if done() {
			end()
			return true
		}
	}
	return false
}

// topFolder is synced when the kubeconfig is written, and when folders are made.
const topFolder = "fsync the folder of the kubeconfig, or one above"

// point is a call's, without the name of the test's own folder, or of one above.
func (n *node) point(call tracer.Call) string {
	if strings.HasPrefix(n.dir+"/", strings.TrimSuffix(call.On, "/")+"/") {
		return topFolder
	}
	return call.Point()
}

// phase is how far the node has come.
func (n *node) phase() string {
	for _, kind := range []struct {
		name string
		file certdir.Kind
	}{{"client", certdir.Client}, {"serving", certdir.Serving}} {
		content, _ := n.certDir().ReadPending(kind.file)
		p, err := csr.DecodePending(content)
		switch _, pairErr := n.certDir().Read(kind.file); {
		case err == nil && len(p.CertificatePEM) > 0:
			return kind.name + " certificate issued"
		case err == nil && p.UID != "":
			return kind.name + " request accepted"
		case err == nil:
			return kind.name + " request stored"
		case pairErr != nil || kind.file == certdir.Serving && !n.servingIssued():
			return "no " + kind.name + " request"
		}
	}
	return "complete"
}

// assertWhole shows that the node has all that it came for, by one request each, and that nothing else is left, on its disk or in
// the cluster.
func (n *node) assertWhole() {
	n.t.Helper()
	client, serving := n.csr(csr.Client), n.csr(csr.Serving)
	if who := n.whoAmI(); who != "system:node:"+n.name {
		n.t.Fatalf("the API server takes the holder of the kubelet's kubeconfig for %s", who)
	}
	if !n.servingIssued() || !n.certDir().Linked() {
		n.t.Fatal("the kubelet has no issued serving certificate")
	}
	n.assertGone(n.bootstrapFile())
	if left := n.secretsLeft(); len(left) > 0 {
		n.t.Fatalf("a bootstrap secret is left in %q", left)
	}
	n.assertNothingLeftOver()
	for _, request := range []string{client.Name, serving.Name} { // so that lists stay short
		must(n.t, n.cp.Delete(context.WithoutCancel(n.t.Context()), request))
	}
}

func (n *node) whoAmI() string {
	n.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", n.kubeconfig())
	must(n.t, err)
	must(n.t, rest.LoadTLSFiles(config))
	config.CertFile, config.KeyFile = "", "" // or client-go looks at them for ever
	client, err := kubernetes.NewForConfig(config)
	must(n.t, err)
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(n.t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	must(n.t, err)
	return review.Status.UserInfo.Username
}

// assertNothingLeftOver allows what a node has, and at most one previous client pair. What killed agents were just making, and
// what they made in vain, may stay until the next start a minute later, which takes it away.
func (n *node) assertNothingLeftOver() {
	n.t.Helper()
	left := n.leftOver()
	if len(left) > 0 && !slices.ContainsFunc(left, func(name string) bool { return !madeInVain(name) }) {
		n.ageFiles()
		n.expect(n.once(), 0)
		left = n.leftOver()
	}
	if len(left) > 0 {
		n.t.Errorf("left over: %q", left)
	}
}

// madeInVain says whether name is a temporary file's or a client pair's.
func madeInVain(name string) bool {
	return durable.IsTemp(filepath.Base(name)) || tracer.Name(name) == "pki/kubelet-client-<time>.pem"
}

// leftOver are the files beside those that a node has.
func (n *node) leftOver() (names []string) {
	allowed := map[string]int{
		"pki": 1, "kubelet.kubeconfig": 1, "pki/.bootstrap-agent.lock": 1, "pki/kubelet-apiserver-ca.crt": 1, "pki/kubelet-client-ca.crt": 1,
		"pki/kubelet-client-current.pem": 1, "pki/kubelet-server-current.pem": 1, "pki/kubelet.crt": 1, "pki/kubelet.key": 1,
		"pki/kubelet-client-<time>.pem": 2, "pki/kubelet-server-<time>.pem": 1,
	}
	for _, name := range n.files() {
		if key := tracer.Name(name); allowed[key] == 0 {
			names = append(names, name)
		} else {
			allowed[key]--
		}
	}
	return names
}

// ageFiles makes all files two minutes old.
func (n *node) ageFiles() {
	n.t.Helper()
	then := time.Now().Add(-2 * time.Minute)
	for _, name := range n.files() {
		if info, err := os.Lstat(n.path(name)); err == nil && info.Mode().IsRegular() {
			must(n.t, os.Chtimes(n.path(name), then, then))
		}
	}
}

func either(chance *rand.Rand) bool { return chance.IntN(2) == 0 }

// heard is the last that the API server had heard of a node's agents when one was killed, told by its audit log.
func heard(requests []controlplane.Request, d death) string {
	last := "nothing"
	for _, r := range requests {
		if r.Time.After(d.at) || r.User != "system:node:"+d.node && !strings.HasPrefix(r.Name, d.node+"-kubelet-") {
			continue
		}
		last = r.Verb + " " + r.Resource
		switch _, kind, named := strings.Cut(r.Name, d.node+"-kubelet-"); {
		case named:
			last = r.Verb + " " + kind[:strings.IndexByte(kind, '-')] + " request"
		case r.Resource == "certificatesigningrequests": // refused, as one that is there already, and so without a name
			last = r.Verb + " serving request"
		}
	}
	return last
}
