package design_test

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// rule forbids something in the code that is not a test.
type rule struct {
	name string
	why  string
	// in and except are folders; the rule holds below in, but not below except.
	in, except []string
	// imports are import paths that must not appear; one that ends in a star forbids all that begin so.
	imports []string
	// uses are functions, methods, types and variables that must not be named, in the form of [fullName]; a star as above.
	uses []string
	// also finds what names alone do not tell.
	also func(*code) []string
	// breaks are programs that the rule must report, keeps such that it must not.
	breaks, keeps []string
}

var ours = []string{"internal", "cmd"}

var rules = []rule{
	{
		name: "only internal/durable changes files", in: ours, except: []string{"internal/durable"},
		why: "one place knows temp file, fsync, rename, fsync of the folder; a write elsewhere loses data at a crash",
		uses: []string{
			"os.WriteFile", "os.Create*", "os.Rename", "os.Remove*", "os.Symlink", "os.Link", "os.Mkdir*", "os.Chmod", "os.Chown", "os.Lchown",
			"os.Truncate", "os.Chtimes", "os.CopyFS", "os.OpenRoot", "os.OpenInRoot",
			"(*os.File).Chmod", "(*os.File).Chown", "(*os.File).Truncate", "io/ioutil.WriteFile", "io/ioutil.Temp*",
			"golang.org/x/sys/unix.Rename*", "golang.org/x/sys/unix.Unlink*", "golang.org/x/sys/unix.Rmdir", "golang.org/x/sys/unix.Symlink*",
			"golang.org/x/sys/unix.Link*", "golang.org/x/sys/unix.Mkdir*", "golang.org/x/sys/unix.Mknod*", "golang.org/x/sys/unix.Mkfifo*",
			"golang.org/x/sys/unix.Chmod", "golang.org/x/sys/unix.Fchmod*", "golang.org/x/sys/unix.Chown", "golang.org/x/sys/unix.Lchown",
			"golang.org/x/sys/unix.Fchown*", "golang.org/x/sys/unix.Truncate", "golang.org/x/sys/unix.Ftruncate", "golang.org/x/sys/unix.Fallocate",
			"golang.org/x/sys/unix.Creat", "golang.org/x/sys/unix.Openat2", "golang.org/x/sys/unix.Utime*", "golang.org/x/sys/unix.Futime*",
			"golang.org/x/sys/unix.Syscall*", "golang.org/x/sys/unix.RawSyscall*",
			"syscall.Rename*", "syscall.Unlink*", "syscall.Rmdir", "syscall.Symlink", "syscall.Link", "syscall.Mkdir*", "syscall.Mknod*", "syscall.Chmod",
			"syscall.Fchmod*", "syscall.Chown", "syscall.Lchown", "syscall.Fchown*", "syscall.Truncate", "syscall.Ftruncate", "syscall.Creat",
			"syscall.Utime*", "syscall.Futime*", "syscall.Syscall*", "syscall.RawSyscall*",
			"k8s.io/client-go/tools/clientcmd.WriteToFile", "k8s.io/client-go/tools/clientcmd.ModifyConfig", "k8s.io/client-go/util/cert.WriteCert",
			"k8s.io/client-go/util/keyutil.WriteKey", "k8s.io/client-go/util/keyutil.LoadOrGenerateKeyFile",
			"github.com/prometheus/client_golang/prometheus.WriteToTextfile",
		},
		also: opensForWriting,
		breaks: []string{
			`import "os"; func f() { os.Remove("a") }`,
			`import disk "os"; func f() { disk.MkdirAll("a", 0) }`,
			`import . "os"; func f() { Rename("a", "b") }`,
			`import "os"; var remove = os.Remove`,
			`import "os"; func f(file *os.File) { file.Chmod(0) }`,
			`import "os"; func f() { os.OpenFile("a", os.O_RDWR, 0) }`,
			`import "os"; func f(flags int) { os.OpenFile("a", flags, 0) }`,
			`import "os"; const flags = os.O_APPEND; func f() { os.OpenFile("a", flags, 0) }`,
			`import "golang.org/x/sys/unix"; func f() { unix.Renameat2(0, "a", 0, "b", 0) }`,
			`import "golang.org/x/sys/unix"; func f() { unix.Open("a", unix.O_RDONLY|unix.O_CREAT, 0) }`,
			`import "golang.org/x/sys/unix"; func f() { unix.Openat(0, "a", unix.O_WRONLY, 0) }`,
			`import "k8s.io/client-go/tools/clientcmd"; var write = clientcmd.WriteToFile`,
		},
		keeps: []string{
			`import ("os"; "golang.org/x/sys/unix"); func f() { os.ReadFile("a"); os.OpenFile("a", os.O_RDONLY|unix.O_NOFOLLOW, 0); os.Open("a") }`,
			`import "golang.org/x/sys/unix"; func f() { unix.Open("a", unix.O_RDONLY|unix.O_CLOEXEC, 0) }`,
			`type disk struct{}; func (disk) Remove(string) {}; func f() { disk{}.Remove("a") }`,
		},
	},
	{
		name: "the wall clock is read only through the clock that was passed in", in: []string{"internal"},
		why: "what depends on time is tested with a fake clock (k8s.io/utils/clock); cmd makes the real one",
		uses: []string{
			"time.Now", "time.Sleep", "time.After*", "time.Tick", "time.NewTimer", "time.NewTicker", "time.Since", "time.Until",
			"k8s.io/utils/clock.RealClock", "k8s.io/apimachinery/pkg/util/wait.Poll*", "k8s.io/apimachinery/pkg/util/wait.Until*",
			"k8s.io/apimachinery/pkg/util/wait.JitterUntil*", "k8s.io/apimachinery/pkg/util/wait.NonSlidingUntil*",
			"k8s.io/apimachinery/pkg/util/wait.Forever", "k8s.io/apimachinery/pkg/util/wait.ExponentialBackoff*",
		},
		breaks: []string{
			`import "time"; func f() { time.Sleep(1) }`,
			`import "time"; func f() { <-time.After(1) }`,
			`import "time"; var now = time.Now`,
			`import "time"; func f(t time.Time) bool { return time.Since(t) > 0 }`,
			`import "k8s.io/utils/clock"; var c clock.Clock = clock.RealClock{}`,
		},
		keeps: []string{
			`import "time"; func f(a, b time.Time) bool { return a.After(b) && time.Unix(0, 0).Before(a.Add(time.Second)) }`,
			`import "k8s.io/utils/clock"; func f(c clock.Clock) { c.Sleep(1); c.Now(); c.Since(c.Now()) }`,
		},
	},
	{
		name: "no other program is started", in: ours,
		why:     "the agent runs as root beside a node's key; exec credential plugins are client-go's",
		imports: []string{"os/exec"},
		uses:    []string{"os.StartProcess", "syscall.Exec", "syscall.ForkExec", "syscall.StartProcess", "golang.org/x/sys/unix.Exec"},
		breaks: []string{
			`import "os/exec"; var _ exec.Cmd`,
			`import "os"; var start = os.StartProcess`,
		},
		keeps: []string{`import "os"; func f() int { return os.Getpid() }`},
	},
	{
		name: "clients come from internal/apiserver", in: ours, except: []string{"internal/apiserver"},
		why: "one constructor refuses redirects, which would take the token elsewhere, and always checks TLS",
		imports: []string{
			"k8s.io/client-go/rest*", "k8s.io/client-go/transport*", "k8s.io/client-go/informers*", "k8s.io/client-go/util/certificate*",
			"sigs.k8s.io/controller-runtime*",
		},
		uses: []string{"net/http.Get", "net/http.Head", "net/http.Post*", "net/http.DefaultClient", "net/http.DefaultTransport"},
		also: makes("net/http.Client", "net/http.Transport"),
		breaks: []string{
			`import "k8s.io/client-go/rest"; func f(c *rest.Config) { rest.HTTPClientFor(c) }`,
			`import "k8s.io/client-go/rest"; func f(c *rest.Config) {}`,
			`import _ "k8s.io/client-go/transport"`,
			`import "net/http"; var c = &http.Client{}`,
			`import "net/http"; var c = new(http.Client)`,
			`import "net/http"; var c http.Client`,
			`import web "net/http"; type t struct { web.Transport }`,
			`import "net/http"; func f() { http.Get("a") }`,
		},
		keeps: []string{
			`import "net/http"; func f(c *http.Client, r *http.Request) { c.Do(r); http.StatusText(200) }`,
			`import "net/http"; var s = http.Server{}`,
			`import "k8s.io/client-go/util/cert"; var parse = cert.ParseCertsPEM`,
		},
	},
	{
		name: "kubeconfig files are internal/kubeconfig's", in: ours, except: []string{"internal/kubeconfig", "internal/apiserver", "internal/discovery", "internal/join"},
		why:     "one place judges a kubeconfig: whose it is, https, a CA, TLS verification on; apiserver needs only its types; that in cluster-info is no file; join makes some",
		imports: []string{"k8s.io/client-go/tools/clientcmd*"},
		breaks:  []string{`import "k8s.io/client-go/tools/clientcmd"; var load = clientcmd.LoadFromFile`},
		keeps:   []string{`import "k8s.io/client-go/util/keyutil"; var parse = keyutil.ParsePrivateKeyPEM`},
	},
	{
		name: "no clientset", in: ours,
		why: "a scheme with the groups in use is half the size: 14 MB binary and resident, against 27 and 22",
		imports: []string{
			"k8s.io/client-go/kubernetes*", "k8s.io/client-go/dynamic*", "k8s.io/client-go/metadata*", "k8s.io/client-go/discovery*",
		},
		breaks: []string{
			`import _ "k8s.io/client-go/kubernetes"`,
			`import _ "k8s.io/client-go/kubernetes/scheme"`,
		},
		keeps: []string{`import _ "k8s.io/client-go/rest"`},
	},
	{
		name: "only cmd ends the process", in: []string{"internal"},
		why: "whoever decides what an error means must see it; deferred work must run",
		uses: []string{
			"os.Exit", "syscall.Exit", "golang.org/x/sys/unix.Exit", "log.Fatal*", "log.Panic*", "(*log.Logger).Fatal*", "(*log.Logger).Panic*",
			"k8s.io/klog/v2.Fatal*", "k8s.io/klog/v2.Exit*", "runtime.Goexit",
		},
		breaks: []string{
			`import "os"; func f() { os.Exit(1) }`,
			`import "log"; func f() { log.Fatalf("a") }`,
			`import "log"; func f(l *log.Logger) { l.Fatalln("a") }`,
		},
		keeps: []string{`import "log/slog"; func f() { slog.Error("a") }`},
	},
	{
		name: "no init and no state outside of values", in: ours,
		why:  "nothing happens because a package was imported, and no test has anything to set back",
		also: packageState,
		breaks: []string{
			`func init() {}`,
			`var count int`,
			`var retries = 3`,
			`import "time"; var now = time.Now`,
			`import "sync"; var mutex = sync.Mutex{}`,
			`import "sync/atomic"; var ready = [1]atomic.Bool{}`,
			`var cache = map[string]int{}; func f() { cache["a"] = 1 }`,
			`var names = []string{"a"}; func f() { names = append(names, "b") }`,
			`var names = []string{"a"}; func f() { for _, names[0] = range names {} }`,
			`var table = map[string]int{"a": 1}; func f() { delete(table, "a") }`,
			`var pair = struct{ a int }{1}; func f() *int { return &pair.a }`,
			`var table = &struct{ a int }{1}`,
			`var list = []int{1}; func f() *[]int { return &list }`,
			`import "net/http"; func f() { http.DefaultTransport = nil }`,
			`import "os"; var name = []string{os.Getenv("A")}`,
			`var channel = make(chan int)`,
			`package main; var count = 1`,
		},
		keeps: []string{
			`import ("errors"; "fmt"); var ErrGone = errors.New("gone"); var ErrOften = fmt.Errorf("often %w", ErrGone)`,
			`import "regexp"; var name = regexp.MustCompile("a")`,
			`import "time"; var steps = []time.Duration{time.Second, 2 * time.Second, time.Duration(3)}`,
			`var checks = []struct{ name string; run func() error }{{"a", a}, {"b", func() error { return nil }}}; func a() error { return nil }`,
			`import "io"; type t struct{}; func (t) Read([]byte) (int, error) { return 0, nil }; var _ io.Reader = (*t)(nil)`,
			`import ("embed"; _ "embed"); 
//go:embed *.tmpl
var templates embed.FS`,
			`import "k8s.io/apimachinery/pkg/runtime/schema"; var csrs = schema.GroupVersion{Group: "a"}.WithResource("b")`,
			`import "net/http"; func f() *http.RoundTripper { return &http.DefaultTransport }`,
			`package main; var version = "dev"; func main() {}`,
			`var table = []int{1}; func f() { table := []int{2}; table[0] = 3; for _, x := range table { _ = x } }`,
		},
	},
}

// pure are the calls that may make a package-level value: the same answer every time, and nothing that can be changed.
var pure = []string{
	"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "net/netip.MustParse*",
	"(k8s.io/apimachinery/pkg/runtime/schema.GroupVersion).With*",
}

func (r rule) holdsIn(pkg string) bool {
	below := func(folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
	return slices.ContainsFunc(r.in, below) && !slices.ContainsFunc(r.except, below)
}

// find returns every place in c that breaks the rule.
func (r rule) find(c *code) []string {
	var found []string
	for _, f := range c.files {
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if slices.ContainsFunc(r.imports, func(pattern string) bool { return matches(pattern, path) }) {
				found = append(found, c.at(spec, "imports %s", path))
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || c.info.Uses[id] == nil {
				return true
			}
			name := fullName(c.info.Uses[id])
			if slices.ContainsFunc(r.uses, func(pattern string) bool { return matches(pattern, name) }) {
				found = append(found, c.at(id, "uses %s", name))
			}
			return true
		})
	}
	if r.also != nil {
		found = append(found, r.also(c)...)
	}
	return found
}

// packagesInRules are those whose types the rules and their samples need.
func packagesInRules() []string {
	paths := map[string]bool{}
	for _, r := range rules {
		for _, name := range r.uses {
			paths[packageOf(name)] = true
		}
		for _, text := range slices.Concat(r.breaks, r.keeps) {
			for _, spec := range parseSample(token.NewFileSet(), text).Imports {
				if path, _ := strconv.Unquote(spec.Path.Value); spec.Name == nil || spec.Name.Name != "_" {
					paths[path] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(paths))
}
