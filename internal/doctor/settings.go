package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// settingChecks are about doctor itself: what it can see, and what it was told.
func settingChecks() []Check {
	return []Check{
		{"rights", "Whether doctor can see what there is to be seen: it runs as root, or as the owner of the cert-dir.", rights},
		{"configuration", "The settings that are not the defaults, and those that do not do what one may think.", settings},
	}
}

func rights(_ context.Context, p *Patient) []Result {
	uid := os.Geteuid()
	if uid == 0 {
		return one(ok("doctor runs as root"))
	}
	info, err := os.Stat(p.Config.CertDir)
	if err == nil {
		if stat, is := info.Sys().(*syscall.Stat_t); is && int(stat.Uid) == uid {
			return one(ok("doctor runs as user %d, to whom %s belongs", uid, p.Config.CertDir))
		}
	}
	return one(unknown("doctor runs as user %d: what only root may read is not seen, and looks as if it were missing", uid).with(asRoot, "bootstrap-agent doctor"))
}

func settings(_ context.Context, p *Patient) []Result {
	cfg := p.Config
	var found []Result
	if cfg.Once {
		found = append(found, attention("once is set: the agent ends when the node has its certificates, and nothing is rotated").with("take it away where the agent is a service, and, "+asRoot, restartAgent))
	}
	if public(cfg.WebListenAddress) && cfg.WebConfigFile == "" {
		found = append(found, attention("whoever reaches %s may read the metrics: webConfigFile is not set", cfg.WebListenAddress).
			with("set webConfigFile (docs/metrics.md), or webListenAddress: 127.0.0.1:10261, and, "+asRoot, restartAgent))
	}
	for name, path := range map[string]string{"webConfigFile": cfg.WebConfigFile, "kubeletClientCAFile": cfg.KubeletClientCAFile, "textfile": folderOf(cfg.Textfile)} {
		if path != "" && missing(path) {
			found = append(found, attention("%s needs %s, which is not there", name, path).with("put it there, or change the setting, and, "+asRoot, restartAgent))
		}
	}
	slices.SortFunc(found, func(a, b Result) int { return strings.Compare(a.Text, b.Text) })
	return append(found, ok("%s", changed(cfg)))
}

func folderOf(file string) string {
	if file == "" {
		return ""
	}
	return filepath.Dir(file)
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// public says whether others than this machine may reach an address.
func public(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// changed lists the settings that are not the defaults. None of them is a secret.
func changed(cfg config.Config) string {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Bind(flags, &cfg)
	var set []string
	for _, setting := range config.Settings() {
		if value := flags.Lookup(setting.Flag).Value.String(); value != setting.Default {
			set = append(set, setting.Field+": "+value)
		}
	}
	if len(set) == 0 {
		return "every setting is the default"
	}
	return strings.Join(set, ", ") + "; the others are the defaults"
}
