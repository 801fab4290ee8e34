package metrics

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
	"golang.org/x/sys/unix"
)

// ConfigError says why a web configuration cannot be used. It quotes nothing of the file but names of fields, users and files.
type ConfigError struct {
	Path, Remedy string
	Err          error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("web configuration %s: %v", e.Path, e.Err) }

// Unwrap returns what came back.
func (e *ConfigError) Unwrap() error { return e.Err }

// CheckConfig returns a [ConfigError] if exporter-toolkit's file at path cannot be used, or protects nothing. An empty path is no file,
// and well.
func CheckConfig(path string) error {
	_, err := judge(path)
	return err
}

// protection is what a web configuration asks of clients. The zero value: nothing.
type protection struct {
	tls, password bool
	// clientCertificate: one that is verified.
	clientCertificate bool
	// guesses is how many unknown passwords may be tried in [guessWindow].
	guesses int
}

// judge returns what the file asks for; empty: there is none.
func judge(path string) (protection, error) {
	if path == "" {
		return protection{}, nil
	}
	asked, err := read(path)
	if err != nil {
		return protection{}, &ConfigError{Path: path, Err: err, Remedy: remedyOf(err)}
	}
	return asked, nil
}

var quotedValue = regexp.MustCompile("`[^`]*`")

func read(path string) (protection, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return protection{}, err
	}
	var config web.Config
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return protection{}, errors.New(quotedValue.ReplaceAllString(err.Error(), "…")) // it may be a password in the wrong place
	}
	config.TLSConfig.SetDirectory(filepath.Dir(path))
	asked := protection{tls: config.TLSConfig.IsEnabled(), password: len(config.Users) > 0}
	if !asked.tls && !asked.password {
		return asked, errors.New("it asks for neither TLS (tls_server_config) nor passwords (basic_auth_users), so it protects nothing")
	}
	cost := leastCost
	for user, hash := range config.Users {
		costs, err := bcryptCost(string(hash))
		if err != nil {
			return asked, fmt.Errorf("basic_auth_users: the password of %q %w", user, err)
		}
		cost = max(cost, costs)
	}
	asked.guesses = guessesFor(cost)
	asked.clientCertificate = config.TLSConfig.ClientAuth == "RequireAndVerifyClientCert"
	for _, file := range []string{config.TLSConfig.TLSCertPath, config.TLSConfig.TLSKeyPath, config.TLSConfig.ClientCAs} {
		if _, err := os.Stat(file); file != "" && errors.Is(err, os.ErrNotExist) {
			return asked, fmt.Errorf("%w: %w", errNoCertificate, err)
		}
	}
	if err := checkClientCA(config.TLSConfig); err != nil {
		return asked, err
	}
	return asked, web.Validate(path)
}

// errNoCertificate is that of a file which the configuration names and which is not there.
var errNoCertificate = errors.New("tls_server_config")

// checkClientCA finds what exporter-toolkit takes: without a CA Go would verify against those of the machine, so that whoever bought a
// certificate would be let in.
func checkClientCA(config web.TLSConfig) error {
	if !strings.Contains(config.ClientAuth, "Verify") {
		return nil
	}
	text, name := []byte(config.ClientCAsText), "client_ca"
	if config.ClientCAs != "" {
		var err error
		if text, err = os.ReadFile(config.ClientCAs); err != nil {
			return fmt.Errorf("client_ca_file: %w", err)
		}
		name = "client_ca_file (" + config.ClientCAs + ")"
	}
	if len(text) == 0 && config.ClientCAs == "" {
		return errors.New("client_auth_type is " + config.ClientAuth + ", but there is no client_ca_file to verify with")
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return errors.New(name + " holds no certificate")
	}
	return nil
}

// bcryptCost returns the logarithm of the work that a check of the password takes.
func bcryptCost(hash string) (int, error) {
	const length, cost = 60, len("$2y$")
	if len(hash) == length && strings.HasPrefix(hash, "$2") {
		if n, err := strconv.Atoi(hash[cost : cost+2]); err == nil {
			return n, nil
		}
	}
	return 0, errors.New("is no bcrypt hash: make one with htpasswd -nBC 10 USER")
}

func remedyOf(err error) string {
	if errors.Is(err, os.ErrPermission) {
		return "give the file to root, or let all read it: the agent is root without the right to pass over modes"
	}
	return "mend the file and look with bootstrap-agent config check; it is read again by itself"
}

// state tells one content of a file from another without reading it. The time of the last change cannot be set.
type state struct {
	device, inode  uint64
	size           int64
	changed, wrote unix.Timespec
}

// stateOf returns the zero state for a file that is not there. Links are followed.
func stateOf(path string) state {
	var stat unix.Stat_t
	if path == "" || unix.Stat(path, &stat) != nil {
		return state{}
	}
	return state{device: stat.Dev, inode: stat.Ino, size: stat.Size, changed: stat.Ctim, wrote: stat.Mtim}
}

// age is how long the file has been as it is; a clock that was set makes it of any age.
func (s state) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(s.changed.Unix())).Abs()
}
