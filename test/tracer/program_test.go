package tracer_test

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// what the test binary is told to be instead of the tests, and in which folder.
const role, folder = "TRACER_TEST_ROLE", "TRACER_TEST_FOLDER"

func TestMain(m *testing.M) {
	if play, ok := roles[os.Getenv(role)]; ok {
		play(os.Getenv(folder))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var roles = map[string]func(dir string){
	"one of each": oneOfEach,
	"writer":      func(dir string) { writeFiles(dir, "a", 8) },
	"writers":     writeSideBySide,
	"caller":      callServer,
	"signalled":   awaitSignal,
	"reader":      onlyRead,
	"failing":     func(string) { os.Exit(7) },
	"hanging":     func(string) { writeSideBySide(os.Getenv(folder)); time.Sleep(time.Minute) },
}

// files is how many files each of so many threads of "writers" makes.
const files, threads = 5, 6

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// oneOfEach changes files in every way that the agent does.
func oneOfEach(dir string) {
	check(os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	f, err := os.OpenFile(filepath.Join(dir, ".name.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	check(err)
	check(f.Chmod(0o640))
	_, err = f.WriteString("content")
	check(err)
	_, err = f.WriteAt([]byte("C"), 0)
	check(err)
	check(f.Sync())
	check(f.Truncate(3))
	check(syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	check(f.Close())
	check(os.Rename(f.Name(), filepath.Join(dir, "name-2026-03-01-12-00-00.pem")))
	check(os.Symlink("name-2026-03-01-12-00-00.pem", filepath.Join(dir, "current")))
	check(os.Remove(filepath.Join(dir, "current")))
	d, err := os.Open(dir)
	check(err)
	check(d.Sync())
	check(os.Chdir(dir))
	check(os.WriteFile("relative", nil, 0o600))
}

func writeFiles(dir, name string, count int) {
	for i := range count {
		check(os.WriteFile(filepath.Join(dir, name+strconv.Itoa(i)), []byte("content"), 0o600))
	}
}

// writeSideBySide writes from several threads of the operating system at once.
func writeSideBySide(dir string) {
	var all sync.WaitGroup
	for n := range threads {
		all.Go(func() {
			runtime.LockOSThread()
			writeFiles(dir, string(rune('a'+n)), files)
		})
	}
	all.Wait()
}

// callServer asks the server, whose address lies in the folder, and waits for its answer.
func callServer(dir string) {
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	check(err)
	connection, err := net.Dial("tcp", string(address))
	check(err)
	_, err = connection.Write([]byte("question"))
	check(err)
	_, err = connection.Read(make([]byte, 100))
	check(err)
	check(os.WriteFile(filepath.Join(dir, "answered"), nil, 0o600))
}

// awaitSignal says by a file that it can be signalled.
func awaitSignal(dir string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	check(os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600))
	<-signals
	os.Exit(3)
}

// onlyRead does what nobody else can see.
func onlyRead(dir string) {
	_, err := os.ReadDir(dir)
	check(err)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	check(err)
	_, err = null.WriteString("nothing")
	check(err)
	fmt.Println("said")
	fmt.Fprintln(os.Stderr, "logged")
	time.Sleep(time.Millisecond)
}
