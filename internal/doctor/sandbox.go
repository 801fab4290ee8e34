package doctor

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/unit"
)

// sandbox holds the settings against the unit as it is installed, with its drop-ins.
func sandbox(_ context.Context, p *Patient) []Result {
	s := p.readService(unit.Name)
	if s.file == "" || s.masked {
		return nil // agent-service says so
	}
	bootstrap := kubeconfig.Where(p.Config.BootstrapKubeconfig, p.Config.CredentialsDirectory)
	needs := unit.NeedsOf(p.Config, append(kubeconfig.Named(bootstrap), kubeconfig.NamedByDiscovery(p.Config.DiscoveryFile)...)...)
	needs.Exec = kubeconfig.Plugin(bootstrap)
	found := p.otherSettings(s)
	for _, path := range needs.Hidden {
		if s.hides(path) {
			found = append(found, broken("%s cannot be seen by the agent: its unit has no %s (ProtectHome=, PrivateTmp=)", path, "/home, /root, /tmp or /var/tmp of the machine's").
				with("let it lie elsewhere, and change the setting", ""))
		}
	}
	for _, folder := range p.written() {
		if s.forbids(folder) {
			found = append(found, broken("the agent's unit does not let it write in %s (ProtectSystem=, ReadWritePaths=)", folder).with(asRoot, lets(needs, folder)))
		}
	}
	if needs.Exec != "" && len(s.words("Service.NoExecPaths")) > 0 && !slices.Contains(s.words("Service.ExecPaths"), needs.Exec) {
		found = append(found, broken("the agent's unit does not let it run the credential plugin %s (NoExecPaths=)", needs.Exec).
			with(asRoot, "install -D -m 0644 -t /etc/systemd/system/"+unit.Name+".d "+unit.ExecDropIn+" && "+reload))
	}
	return orWell(found, "the unit lets the agent use every path of the settings")
}

// written are the folders that the agent changes, without links.
func (p *Patient) written() []string {
	folders := []string{endOf(p.Config.CertDir), endOf(filepath.Dir(p.Config.Kubeconfig))}
	for _, path := range []string{p.Config.BootstrapKubeconfig, p.Config.DiscoveryTokenFile} {
		if path != "" && !p.Config.KeepBootstrapKubeconfig && !kubeconfig.IsSystemdCredential(path, p.Config.CredentialsDirectory) {
			folders = append(folders, endOf(filepath.Dir(path)))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

const reload = "systemctl daemon-reload && " + restartAgent

// lets is the command that makes the unit fit: what the settings need besides the shipped unit, or what a drop-in has taken from that.
func lets(needs unit.Needs, folder string) string {
	const dropIns = "/etc/systemd/system/" + unit.Name + ".d"
	if slices.ContainsFunc(needs.Write, func(needed string) bool { return isBelow(folder, needed) }) {
		return "mkdir -p " + dropIns + " && bootstrap-agent config check --systemd >" + unit.DropIn + " && " + reload
	}
	return "mkdir -p " + dropIns + " && printf '%s\n' '[Service]' " + quoted("ReadWritePaths=-"+folder) + " >>" + dropIns + "/zzz-paths.conf && " + reload
}

// forbids says whether a service may not write in a folder: ProtectSystem= makes file systems read-only, but for ReadWritePaths=.
func (s service) forbids(folder string) bool {
	for _, path := range slices.Concat(s.words("Service.ReadWritePaths"), s.words("Service.ReadWriteDirectories")) {
		if isBelow(folder, filepath.Clean(strings.TrimLeft(path, "-+"))) {
			return false
		}
	}
	switch s.last("Service.ProtectSystem") {
	case "strict":
		return true
	case "full":
		return isBelow(folder, "/usr") || isBelow(folder, "/boot") || isBelow(folder, "/etc")
	case "yes", "true", "1", "on":
		return isBelow(folder, "/usr") || isBelow(folder, "/boot")
	}
	return false
}

// hides says whether a service has none of a folder, or another one.
func (s service) hides(path string) bool {
	if isBelow(path, "/tmp") || isBelow(path, "/var/tmp") {
		return isYes(s.last("Service.PrivateTmp"))
	}
	return !slices.Contains([]string{"", "no", "false", "off", "0"}, s.last("Service.ProtectHome"))
}

func isYes(value string) bool { return slices.Contains([]string{"yes", "true", "on", "1"}, value) }

// otherSettings is about a unit that starts the agent with other settings than doctor was given: then doctor looks at the wrong files.
func (p *Patient) otherSettings(s service) []Result {
	command := p.commandOf(s)
	if len(command) < 2 || command[1] != "run" || filepath.Base(command[0]) != "bootstrap-agent" {
		return nil
	}
	file, given, err := parseRun(command[2:])
	if err != nil {
		return one(broken("ExecStart= in %s: %v: the agent ends with exit code 2", s.file, err).with("mend its flags ("+unit.Name+" and its drop-ins)", "systemctl edit "+unit.Name))
	}
	theirs, err := config.Load(file, given)
	if err != nil {
		return one(broken("the agent ends with exit code 2: %v", err).with("mend what it names, and, "+asRoot, restartAgent))
	}
	differs := differences(theirs, p.Config)
	if len(differs) == 0 {
		return nil
	}
	return one(attention("the unit starts the agent with %s: doctor was told otherwise and looks at other files", strings.Join(differs, ", ")).
		with("give doctor what the agent is given", "bootstrap-agent doctor "+strings.Join(command[2:], " ")))
}

// parseRun reads the flags of run: the configuration file, and the settings that are given.
func parseRun(args []string) (file string, given *pflag.FlagSet, err error) {
	given = pflag.NewFlagSet("run", pflag.ContinueOnError)
	defaults := config.Default()
	config.Bind(given, &defaults)
	given.StringVar(&file, "config", "", "")
	err = given.Parse(args)
	return file, given, err
}

// differences are the settings of which two configurations differ and that say where files are, as the first one has them.
func differences(theirs, ours config.Config) []string {
	var differs []string
	for _, setting := range []struct{ name, theirs, ours string }{
		{"certDir", theirs.CertDir, ours.CertDir},
		{"kubeconfig", theirs.Kubeconfig, ours.Kubeconfig},
		{"bootstrapKubeconfig", theirs.BootstrapKubeconfig, ours.BootstrapKubeconfig},
		{"discoveryTokenFile", theirs.DiscoveryTokenFile, ours.DiscoveryTokenFile},
		{"apiServers", strings.Join(theirs.APIServers, ","), strings.Join(ours.APIServers, ",")},
		{"discoveryFile", theirs.DiscoveryFile, ours.DiscoveryFile},
		{"caFile", theirs.CAFile, ours.CAFile},
		{"hostnameOverride", theirs.HostnameOverride, ours.HostnameOverride},
		{"serving", theirs.Serving, ours.Serving},
	} {
		if setting.theirs != setting.ours {
			differs = append(differs, fmt.Sprintf("%s: %s", setting.name, cmp.Or(setting.theirs, "none")))
		}
	}
	return differs
}
