package boot

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/machine"
)

// refusals are the errors by which the kernel, a mount or the filter of system calls refuses.
var refusals = []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EROFS, syscall.EAFNOSUPPORT}

// attempted is what the probe prints of one attempt.
type attempted struct {
	Name  string
	Errno syscall.Errno
	Says  string
}

func (a attempted) refused() bool   { return slices.Contains(refusals, a.Errno) }
func (a attempted) necessary() bool { return strings.HasPrefix(a.Name, "must: ") }
func (a attempted) limit() bool     { return strings.HasPrefix(a.Name, "limit: ") } // what the unit cannot refuse

// attempts reads what the probe printed, other lines left out.
func attempts(t *testing.T, output string) []attempted {
	t.Helper()
	var all []attempted
	for line := range strings.Lines(output) {
		var one attempted
		if json.Unmarshal([]byte(line), &one) == nil && one.Name != "" {
			all = append(all, one)
		}
	}
	if len(all) < 50 {
		t.Fatalf("the probe made %d attempts:\n%s", len(all), output)
	}
	return all
}

// attempts are those of the probe that runs as the agent. The journal may be behind.
func (n *node) attempts() []attempted {
	n.t.Helper()
	eventually(n.t, "the journal has the probe's last attempt", func() bool { return strings.Contains(n.Journal(agentUnit), lastAttempt) })
	return attempts(n.t, n.Journal(agentUnit))
}

const lastAttempt = "must: listen on a port of its own"

// probed is a machine with the probe in the agent's place, under the unit as it is shipped and the drop-in, and beside it what the probe
// looks for: a process of root's, containerd, a pod's folder, a server with a name.
func probed(t *testing.T, dropIn string, cgroupV2 bool) *node {
	t.Helper()
	address, err := serverWithAName()
	must(t, err)
	n := newNode(t, options{noKubelet: true, cgroupV2: cgroupV2, prepare: func(n *node) {
		probe, err := os.ReadFile(buildProbe(t))
		must(t, err)
		n.Write("/usr/bin/bootstrap-agent", string(probe), 0o755)
		must(t, os.Remove(n.Path("/etc/systemd/system/multi-user.target.wants/"+agentUnit))) // it starts when all the rest is there
		must(t, os.MkdirAll(n.Path("/var/lib/kubelet/pods"), 0o750))
		n.Write("/etc/systemd/system/target.service", "[Service]\nExecStart=/bin/sleep 1234567\n", 0o644)
		n.Write("/etc/systemd/system/powerless.service", "[Service]\nCapabilityBoundingSet=\nExecStart=/bin/sleep infinity\n", 0o644)
		n.Write("/etc/resolv.conf", "nameserver "+machine.Gateway.String()+"\n", 0o644)
		if dropIn != "" {
			n.Write("/etc/systemd/system/"+agentUnit+".d/test.conf", dropIn, 0o644)
		}
	}})
	n.Start()
	n.AwaitBoot(time.Minute)
	n.Run("touch", "/tmp/of-another")
	n.Run("systemctl", "start", "target.service", "powerless.service", "containerd.service")
	n.Write("/etc/kubernetes/probe-target", fmt.Sprint(n.MainPID("target.service")), 0o600)
	n.Write("/etc/kubernetes/probe-powerless", fmt.Sprint(n.MainPID("powerless.service")), 0o600)
	n.Write("/etc/kubernetes/probe-server", address, 0o600)
	n.Run("systemctl", "start", agentUnit)
	return n
}

func buildProbe(t *testing.T) string {
	t.Helper()
	must(t, build("1", "probe", "./probe"))
	return filepath.Join(built, "probe")
}

// serverWithAName is a server that machines reach, name and port; a name server beside it knows the name. Both stay to the end.
var serverWithAName = sync.OnceValues(func() (string, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(machine.Gateway.String(), "0"))
	if err != nil {
		return "", err
	}
	names, err := net.ListenPacket("udp", net.JoinHostPort(machine.Gateway.String(), "53"))
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	go func() {
		query := make([]byte, 512)
		for {
			size, from, err := names.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = names.WriteTo(answer(query[:size]), from)
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return "api.example.test:" + port, err
})

// answer is a name server's: the address of the tests for any name, RFC 1035 section 4.
func answer(query []byte) []byte {
	question := query[12:]
	end := slices.Index(question, 0) + 5 // the name's end, type and class
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[:end]...)
	if question[end-3] != 1 { // AAAA
		return reply
	}
	reply[7] = 1
	reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4) // the name of the question, A, IN, a minute
	return append(reply, machine.Gateway.To4()...)
}

// mounted is a line of mountinfo, proc_pid_mountinfo(5).
type mounted struct {
	id, parent, place string
	flags             []string
	writable          bool
	line              string
}

// mounts are those that a process sees, hidden ones left out.
func (n *node) mounts(pid int) []mounted {
	n.t.Helper()
	var all []mounted
	for line := range strings.Lines(n.Run("cat", fmt.Sprintf("/proc/%d/mountinfo", pid))) {
		fields := strings.Fields(line)
		flags := strings.Split(fields[5], ",")
		writable := flags[0] == "rw" && !strings.HasPrefix(fields[len(fields)-1], "ro")
		all = append(all, mounted{fields[0], fields[1], fields[4], flags, writable, line})
	}
	return slices.DeleteFunc(slices.Clone(all), func(m mounted) bool {
		return slices.ContainsFunc(all, func(over mounted) bool { // mounted on it, or on the same and above it
			return over.parent == m.id && over.place == m.place || over.parent == m.parent && strings.HasPrefix(m.place, over.place+"/")
		})
	})
}

// onlyTheseAreWritable looks through all that is mounted where the agent runs. What can be written cannot be executed.
func (n *node) onlyTheseAreWritable(folders ...string) {
	n.t.Helper()
	found := 0
	for _, m := range n.mounts(n.MainPID(agentUnit)) {
		switch {
		case !m.writable, strings.HasPrefix(m.place, "/run/host/"): // nspawn's, mounted twice: systemd takes the one for the other
		case !slices.Contains(folders, m.place):
			n.t.Errorf("the agent may write to: %s", m.line)
		case !slices.Contains(m.flags, "noexec"):
			n.t.Errorf("the agent may execute what it writes to: %s", m.line)
		default:
			found++
		}
	}
	if found < 5 {
		n.t.Errorf("only %d places can be written", found)
	}
}
