package metrics_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// badConfigurations are such that nobody may be served under, and what is said about them. The files that they name are those of
// [goodFiles].
var badConfigurations = map[string]struct{ text, says string }{
	"empty, as one that is being written": {"", "protects nothing"},
	"comments only":                       {"# later\n", "protects nothing"},
	"headers only":                        {"http_server_config: {headers: {X-Frame-Options: deny}}", "protects nothing"},
	"no YAML":                             {"\t{", "yaml"},
	"an unknown field":                    {passwordNeeded + "basic_auth_user: {}\n", "basic_auth_user"},
	"a password in clear":                 {"basic_auth_users: {prometheus: hunter2}", "htpasswd"},
	"a password in the place of users":    {"basic_auth_users: hunter2hunter2", "cannot unmarshal"},
	"no certificate":                      {"tls_server_config: {key_file: server.pem}", "cert"},
	"no key":                              {"tls_server_config: {cert_file: server.pem}", "key"},
	"a certificate that is not there":     {"tls_server_config: {cert_file: none.pem, key_file: server.pem}", "none.pem"},
	"a certificate that is none":          {"tls_server_config: {cert_file: ca.key, key_file: server.pem}", "PEM"},
	"a key of another certificate":        {"tls_server_config: {cert_file: ca.pem, key_file: server.pem}", "private key"},
	"a CA that is not there":              {strings.ReplaceAll(certificateNeeded(""), "ca.pem", "none.pem"), "none.pem"},
	"a CA that is none":                   {strings.ReplaceAll(certificateNeeded(""), "ca.pem", "ca.key"), "holds no certificate"},
	"verification without a CA":           {strings.ReplaceAll(certificateNeeded(""), "  client_ca_file: ca.pem\n", ""), "no client_ca_file"},
	"a CA without verification":           {strings.ReplaceAll(certificateNeeded(""), "  client_auth_type: RequireAndVerifyClientCert\n", ""), "Client Auth"},
	"a verification that there is not":    {strings.ReplaceAll(certificateNeeded(""), "RequireAnd", "Sometimes"), "ClientAuth"},
	"a header that must not be set":       {passwordNeeded + "http_server_config: {headers: {Set-Cookie: a}}", "Set-Cookie"},
	"a cipher that there is not":          {"tls_server_config: {cert_file: server.pem, key_file: server.pem, cipher_suites: [ROT13]}", "ROT13"},
}

func goodFiles(t *testing.T) (authority, map[string]string) {
	t.Helper()
	ca := newAuthority(t, "cluster")
	return ca, map[string]string{"server.pem": ca.serverPair("node"), "ca.pem": ca.pem, "ca.key": "no pem"}
}

func TestUnderABadWebConfigurationNobodyIsServedUntilItIsMended(t *testing.T) {
	t.Parallel()
	_, files := goodFiles(t)
	for name, bad := range badConfigurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, web := newSite(t)
			for name, text := range files {
				s.write(name, text)
			}
			web.ConfigFile = s.write("web.yaml", bad.text)
			if err := metrics.CheckConfig(web.ConfigFile); err == nil || !strings.Contains(err.Error(), bad.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("config check says %v, expected %q and no password", err, bad.says)
			}
			s.run(web)
			for attempts := 1.0; attempts <= 3; attempts++ {
				until(t, "a failed attempt", func() bool { return s.failures("configuration") == attempts && s.clock.HasWaiters() })
				if s.servedTimes() != 0 {
					t.Fatalf("it is served: %q", s.log.lines)
				}
				if attempts == 3 {
					s.write("web.yaml", passwordNeeded)
				}
				s.clock.Step(time.Minute)
			}
			if got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", nil); got.status != http.StatusUnauthorized {
				t.Errorf("mended, without a password: %v", got)
			}
			if got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", right); !got.complete() {
				t.Errorf("mended: %v", got)
			}
			if lines := s.log.with("level=WARN"); len(lines) != 1 || !strings.Contains(lines[0], "web.yaml") || !strings.Contains(lines[0], bad.says) || strings.Contains(lines[0], "hunter") {
				t.Errorf("3 failures are said as %q", lines)
			}
		})
	}
}

func TestAWebConfigurationThatCannotBeReadServesNobody(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	web.ConfigFile = filepath.Join(s.folder, "web.yaml")
	if err := os.Mkdir(web.ConfigFile, 0o700); err != nil { // root may read every file
		t.Fatal(err)
	}
	s.run(web)
	until(t, "a failure", func() bool { return s.failures("configuration") == 1 && s.clock.HasWaiters() })
	if err := os.Remove(web.ConfigFile); err != nil {
		t.Fatal(err)
	}
	s.clock.Step(time.Minute)
	until(t, "another failure", func() bool { return s.failures("configuration") == 2 })
	if s.servedTimes() != 0 {
		t.Errorf("it is served: %q", s.log.lines)
	}
	until(t, "both are said", func() bool { return len(s.log.with("level=WARN")) == 2 })
	if len(s.log.with("level=WARN", "is a directory")) != 1 || len(s.log.with("level=WARN", "no such file")) != 1 {
		t.Errorf("%q", s.log.lines)
	}
}

// A new node has no serving certificate in its first seconds: that is no trouble.
func TestACertificateThatTheAgentHasYetToMakeIsWaitedFor(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	s, web := newSite(t)
	s.metrics.Stands(status.Standing{NotReady: "the node has no client certificate yet"})
	s.write("ca.pem", files["ca.pem"])
	web.ConfigFile = s.write("web.yaml", certificateNeeded(""))
	s.run(web)
	until(t, "it waits", s.clock.HasWaiters)
	if lines := s.log.with("level=WARN"); s.failures("configuration") != 0 || len(lines) != 0 || len(s.log.with("level=INFO", "server.pem")) != 1 {
		t.Errorf("%v failures, %q", s.failures("configuration"), s.log.lines)
	}
	s.metrics.Stands(status.Standing{}) // with an identity, and still without that file
	s.clock.Step(time.Second)
	until(t, "it is trouble", func() bool {
		return s.failures("configuration") == 1 && len(s.log.with("level=WARN", "server.pem")) == 1
	})
	s.write("server.pem", ca.serverPair("node"))
	s.clock.Step(time.Minute)
	if got := ask(client(ca.trust(ca.clientPair(-time.Hour, 9*time.Hour))), "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
		t.Errorf("%v", got)
	}
}

// A configuration is changed in place, byte by byte, as an editor may: at no moment is somebody served who may not.
func TestAFileThatIsBeingWrittenLetsNobodyIn(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	for name, whole := range map[string]string{"passwords": passwordNeeded, "client certificates": certificateNeeded(""), "both": certificateNeeded(passwordNeeded)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := sample.Random(t)
			s := serveWith(t, whole, files)
			for length := range len(whole) {
				if os.Getenv("SOAK") == "" && random.IntN(4) > 0 && length > 0 && whole[length-1] != '\n' {
					continue
				}
				address, before := s.address(), s.servedTimes()
				if err := os.WriteFile(filepath.Join(s.folder, "web.yaml"), []byte(whole[:length]), 0o600); err != nil {
					t.Fatal(err)
				}
				for _, scheme := range []string{"http://", "https://"} {
					if got := ask(client(ca.trust()), "GET", scheme+address+"/metrics", nil); leaks(got.body) || got.status == http.StatusOK {
						t.Fatalf("%s, the first %d of %d bytes (%q): %v", scheme, length, len(whole), whole[:length], got)
					}
				}
				s.write("web.yaml", whole)
				until(t, "it is served anew", func() bool {
					s.clock.Step(30 * time.Second)
					return s.servedTimes() > before
				})
			}
		})
	}
}

func TestAConfigurationThatIsBrokenLaterEndsServingAndAMendedOneGoesOn(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	trusted := client(ca.trust(ca.clientPair(-time.Hour, 20*time.Hour)))
	for name, change := range map[string]struct{ file, broken string }{
		"the web configuration":   {"web.yaml", "tls_server_config: ["},
		"the serving certificate": {"server.pem", "no pem"},
		"the clients' CA":         {"ca.pem", "no pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveWith(t, certificateNeeded(""), files)
			good, err := os.ReadFile(filepath.Join(s.folder, change.file))
			if err != nil {
				t.Fatal(err)
			}
			s.write(change.file, change.broken)
			until(t, "it is counted", func() bool {
				s.clock.Step(time.Second)
				return s.failures("configuration") > 0
			})
			if got := ask(trusted, "GET", "https://"+s.address()+"/metrics", nil); got.status != 0 {
				t.Errorf("broken: %v", got)
			}
			s.write(change.file, string(good))
			until(t, "it is served again", func() bool {
				s.clock.Step(time.Second)
				return len(s.log.with("metrics are served again")) == 1
			})
			if lines := s.log.with("level=WARN", "reason=configuration"); len(lines) != 1 {
				t.Errorf("said as %q", lines)
			}
			if got := ask(trusted, "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
				t.Errorf("mended: %v", got)
			}
		})
	}
}

func TestANewWebConfigurationIsUsedWithoutARestart(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	s := serveWith(t, passwordNeeded, files)
	if got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", right); !got.complete() {
		t.Fatalf("%v", got)
	}
	s.write("web.yaml", certificateNeeded(""))
	if got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", right); leaks(got.body) {
		t.Errorf("served under a configuration that is there no more: %v", got)
	}
	until(t, "TLS", func() bool {
		s.clock.Step(time.Second)
		return len(s.log.with("metrics are served", "tls=true", "client_certificates=true", "passwords=false")) == 1
	})
	if got := ask(client(ca.trust(ca.clientPair(-time.Hour, 9*time.Hour))), "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
		t.Errorf("%v", got)
	}
}

// A file that is written slowly is read when it has been as it is for 2 s, by the machine's clock.
func TestAFileThatWasJustWrittenIsNotReadYet(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	s.clock.SetTime(time.Now())
	web.ConfigFile = s.write("web.yaml", passwordNeeded)
	s.run(web)
	until(t, "it waits", s.clock.HasWaiters)
	s.clock.SetTime(time.Now().Add(1500 * time.Millisecond))
	if s.servedTimes() != 0 {
		t.Fatal("it is served at once")
	}
	s.clock.Step(2 * time.Second)
	s.address()
}
