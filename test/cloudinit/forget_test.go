package cloudinit

import (
	"slices"
	"strings"
	"testing"

	shipped "github.com/bootstrap-agent/bootstrap-agent/deploy/cloud-init"
)

const instance = "/var/lib/cloud/instances/i-1/"

// leftBehind is a machine after its first boot, with what cloud-init keeps; each file by whether it is to go. The programs that the
// script asks are stand-ins: the real ones are asked on booted machines, in test/e2e/boot.
func leftBehind(t *testing.T) (d debian, goes, stays []string) {
	t.Helper()
	d = debian{t: t, root: roots(t)[0], files: t.TempDir()}
	for _, name := range []string{
		instance + "user-data.txt", instance + "user-data.txt.i", instance + "cloud-config.txt", instance + "vendor-data2.txt",
		instance + "obj.pkl", instance + "scripts/runcmd", instance + "scripts/vendor/part-001", instance + "handlers/part-handler-000",
		"/var/lib/cloud/seed/nocloud/user-data", "/var/lib/cloud/seed/config_drive/openstack/latest/user_data",
		"/run/cloud-init/combined-cloud-config.json", "/run/cloud-init/instance-data-sensitive.json",
	} {
		d.write(name, "token: "+token+"\n", 0o600)
		goes = append(goes, name)
	}
	for _, name := range []string{
		instance + "sem/config_runcmd", instance + "boot-finished", "/var/lib/cloud/data/instance-id", "/var/lib/cloud/scripts/per-boot/ours",
		"/var/log/cloud-init-output.log", "/var/lib/cloud/data/result.json", "/etc/kubernetes/bootstrap.kubeconfig",
	} {
		d.write(name, "nothing to hide\n", 0o644)
		stays = append(stays, name)
	}
	script, err := shipped.Files.ReadFile("forget-user-data.sh")
	if err != nil {
		t.Fatal(err)
	}
	d.write("/forget", string(script), 0o755)
	d.write("/usr/bin/cloud-init", "#!/bin/sh\nexit 2\n", 0o755) // ended, with errors
	d.write("/usr/bin/journalctl", "#!/bin/sh\n", 0o755)
	d.write("/usr/bin/bootstrap-agent", "#!/bin/sh\n[ \"$*\" = 'wait --for=client' ]\n", 0o755)
	return d, goes, stays
}

// forget runs the script, and lists the files that are there afterwards.
func forget(d debian) (said string, files []string, code int) {
	d.t.Helper()
	output, code := d.run("/bin/sh", "-c", `/forget 2>&1; code=$?; echo ----; find /var/lib/cloud /var/log /run /etc/cloud /etc/kubernetes -type f; exit $code`)
	said, list, _ := strings.Cut(output, "----\n")
	return said, strings.Split(list, "\n"), code
}

const disabled = "/etc/cloud/cloud-init.disabled"

func TestForgettingUserDataRemovesEachCopyAndNothingElse(t *testing.T) {
	t.Parallel()
	d, goes, stays := leftBehind(t)
	said, files, code := forget(d)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	for _, name := range goes {
		if slices.Contains(files, name) {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range append(stays, disabled) {
		if !slices.Contains(files, name) {
			t.Errorf("%s is not there", name)
		}
	}
	if strings.Contains(said, "quoted") || strings.Contains(said, "journal") {
		t.Errorf("no log quotes a token, and it says: %s", said)
	}
}

// Where user-data had a mistake cloud-init has quoted the token, for everybody to read.
func TestForgettingUserDataRemovesTheLogsThatQuoteATokenAndNamesTheJournal(t *testing.T) {
	t.Parallel()
	d, _, stays := leftBehind(t)
	quoting := []string{"/var/log/cloud-init.log", "/var/lib/cloud/data/status.json"}
	for _, name := range quoting {
		d.write(name, "     ... oken: "+token+"}}]]\n", 0o644)
	}
	d.write("/usr/bin/journalctl", "#!/bin/sh\necho cloud-init: "+token+"\n", 0o755)
	said, files, code := forget(d)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	for _, name := range quoting {
		if slices.Contains(files, name) || !strings.Contains(said, name) {
			t.Errorf("%s quotes the token; there: %v", name, slices.Contains(files, name))
		}
	}
	for _, name := range stays {
		if !slices.Contains(files, name) {
			t.Errorf("%s is not there", name)
		}
	}
	if !strings.Contains(said, "journalctl --rotate") {
		t.Errorf("how the journal is cleaned is not said: %s", said)
	}
	if strings.Contains(said, token) {
		t.Error("it says the token")
	}
}

// A node that has not joined may need its user-data once more.
func TestNothingIsForgottenBeforeTheNodeHasItsIdentity(t *testing.T) {
	t.Parallel()
	d, goes, stays := leftBehind(t)
	d.write("/usr/bin/bootstrap-agent", "#!/bin/sh\nexit 1\n", 0o755)
	said, files, code := forget(d)
	if code == 0 {
		t.Errorf("exit code 0: %s", said)
	}
	for _, name := range append(goes, stays...) {
		if !slices.Contains(files, name) {
			t.Errorf("%s is gone", name)
		}
	}
	if slices.Contains(files, disabled) {
		t.Error("cloud-init is disabled")
	}
}
