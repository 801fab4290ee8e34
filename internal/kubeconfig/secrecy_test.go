package kubeconfig_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// pieceSize is how long a piece of a secret must be to count as told.
const pieceSize = 6

// leaks returns the first piece of the secret that is in text.
func leaks(text, secret string) string {
	for i := range len(secret) - pieceSize + 1 {
		if piece := secret[i : i+pieceSize]; strings.Contains(text, piece) {
			return piece
		}
	}
	return ""
}

// keyLines are the parts of a key's PEM that are secret.
func keyLines(pem string) []string {
	lines := strings.Split(strings.TrimSpace(pem), "\n")
	return lines[1 : len(lines)-1]
}

// assertSilent loads text as a bootstrap kubeconfig: whatever is wrong with it, the error has no piece of a secret.
func assertSilent(t *testing.T, f folder, name, text string, secrets []string) (refused bool) {
	t.Helper()
	f.bootstrap(text)
	_, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	if err == nil {
		return false
	}
	for _, secret := range secrets {
		if piece := leaks(err.Error(), secret); piece != "" {
			t.Errorf("%s: %q of the secret is in the error: %v\n%s", name, piece, err, text)
		}
	}
	return true
}

func TestNoErrorHasAPieceOfTheSecret(t *testing.T) {
	t.Parallel()
	pair := client()
	keySecrets := append(keyLines(pair.key), b64(pair.key))
	bases := []struct {
		name, text string
		// secret is what mutations put elsewhere.
		secret  string
		secrets []string
	}{
		{"token", withToken(token), token, []string{token}},
		{"long token", withToken(longToken), longToken, []string{longToken}},
		{"token file", kubeconfigOf(goodCluster(), "tokenFile: token"), token, []string{token}},
		{
			"embedded key", kubeconfigOf(goodCluster(), "client-certificate-data: "+b64(pair.certificate)+"\nclient-key-data: "+b64(pair.key)),
			b64(pair.key), keySecrets,
		},
		{
			"pasted key", kubeconfigOf(goodCluster(), "client-certificate-data: "+b64(pair.certificate)+"\nclient-key-data: |\n  "+strings.ReplaceAll(strings.TrimSpace(pair.key), "\n", "\n      ")),
			strings.Join(keyLines(pair.key), ""), keySecrets,
		},
	}
	f := newFolder(t)
	f.write("token", "two "+token)
	for _, base := range bases {
		cases, refused := mutations(base.text, base.secret), 0
		for _, c := range cases {
			if assertSilent(t, f, base.name+", "+c.name, c.text, base.secrets) {
				refused++
			}
		}
		t.Logf("%s: %d of %d mutations were refused", base.name, refused, len(cases))
		// mutations that break nothing prove nothing
		if refused < 100 {
			t.Errorf("%s: only %d of %d mutations were refused", base.name, refused, len(cases))
		}
	}
}

// longToken has the form of a service account's token, too long for a bootstrap token's pattern.
var longToken = "eyJhbGciOiJSUzI1NiIsImtpZCI6Ijk4NyJ9." + strings.Repeat("hT7wQz3Kx9", 12) + "-_" + strings.Repeat("Vb2Nm8Lp4R", 6)

// fields are places where a secret can land by mistake, as lines of a cluster, a user or the top.
var fields = map[string][]string{
	"cluster": {
		"server: %s", "server: https://%s@10.0.0.1", "server: https://10.0.0.1/?token=%s", "server: http://%s", "server: %s:6443",
		"tls-server-name: %s", "proxy-url: %s", "proxy-url: http://u:%s@", "certificate-authority: %s", "certificate-authority: ./%s", "certificate-authority-data: %s",
		"insecure-skip-tls-verify: %s", "disable-compression: %s", "extensions: %s", "unknown: %s",
	},
	"user": {
		"token: %s %[1]s", "token: [%s]", "token: {a: %s}", "token: \"%s", "token: Bearer %s", "token: %s\\n", "token:%s", "tokenFile: %s", "tokenFile: ./%s", "tokenFile: [%s]",
		"client-certificate: %s\n    client-key-data: a2V5", "client-certificate-data: %s", "client-key: %s", "client-key: ./%s", "client-key-data: %s", "client-key-data: '%s='",
		"username: %s", "password: %s", "as: %s", "as-uid: %s", "as-groups: [%s]", "as-groups: %s", "as-user-extra: {%s: [a]}",
		"auth-provider: {name: %s}", "auth-provider: {config: {token: %s}}", "exec: %s", "exec: {command: a, interactiveMode: Always, args: [%s]}",
		"exec: {env: [{name: a, value: %s}]}", "exec: {apiVersion: %s}", "exec: {command: a, interactiveMode: %s, env: %[1]s}", "unknown: %s", "%s", "%s: a", "- %s", "? %s", "*%s", "&%s a", "!%s a",
	},
	"": {"current-context: %s", "apiVersion: %s", "kind: %s", "preferences: %s", "%s", "%s: a", "- %s", "token: %s", "\t%s", "users: %s", "contexts: [{name: %s, context: {}}]\ncurrent-context: %[1]s"},
}

type mutation struct{ name, text string }

// mutations are what becomes of a good kubeconfig by mistakes of people and half-finished writing.
func mutations(good, secret string) []mutation {
	all := append(misplaced(secret), whole(good, secret)...)
	lines := strings.SplitAfter(strings.TrimSuffix(good, "\n"), "\n")
	for i, line := range lines {
		before, after := strings.Join(lines[:i], ""), strings.Join(lines[i+1:], "")
		change := func(what, now string) {
			all = append(all, mutation{fmt.Sprintf("line %d %s", i+1, what), before + now + after})
		}
		text := strings.TrimSuffix(line, "\n")
		indent := text[:len(text)-len(strings.TrimLeft(text, " -"))]
		key, value, hasValue := strings.Cut(text, ": ")
		change("deleted", "")
		change("twice", text+"\n"+line)
		change("indented by one", " "+line)
		change("indented by two", "  "+line)
		change("indented with a tab", "\t"+line)
		change("moved to the left", strings.TrimLeft(line, " "))
		change("joined with the next", text)
		change("commented out", "#"+line)
		change("without its list's dash", strings.Replace(line, "- ", "  ", 1))
		change("without its colon", strings.Replace(line, ":", "", 1))
		change("with an open quote", strings.Replace(line, ": ", ": \"", 1))
		change("with a NUL", strings.Replace(line, ": ", ": \x00", 1))
		change("followed by the secret", line+indent+secret+"\n")
		change("followed by the secret as a key", line+indent+secret+": a\n")
		change("followed by the secret in a list", line+indent+"- "+secret+"\n")
		change("followed by the secret in an open quote", line+indent+"\""+secret+"\n")
		for at := 0; at < len(text); at += 1 + at/20 { // of a long line not every byte
			all = append(all, mutation{fmt.Sprintf("cut in line %d after %d bytes", i+1, at), before + text[:at]})
		}
		if hasValue {
			for what, now := range map[string]string{
				"a list": "[" + value + "]", "a map": "{" + value + ": " + value + "}", "a number": "555555", "null": "null", "true": "true",
				"the secret": secret, "the secret as a number": "!!int " + secret, "the secret as an alias": "*" + secret, "a block": "|\n" + value,
			} {
				change("with "+what+" as its value", key+": "+now+"\n")
			}
		}
	}
	return all
}

// misplaced puts the secret where it does not belong.
func misplaced(secret string) (all []mutation) {
	for place, formats := range fields {
		for _, format := range formats {
			field := strings.TrimSuffix(fmt.Sprintf(format, secret), "%!(EXTRA string="+secret+")")
			cluster, user, top := goodCluster(), "token: "+token, ""
			switch place {
			case "cluster":
				if strings.HasPrefix(field, "certificate-authority") {
					cluster = "server: https://10.0.0.1"
				}
				name, _, _ := strings.Cut(field, ":")
				cluster = regexp.MustCompile("(?m)^"+name+":.*\n?").ReplaceAllString(cluster, "") + "\n" + field
			case "user":
				user = field
			default:
				top = field + "\n"
				name, _, _ := strings.Cut(field, ":")
				all = append(all, mutation{"the secret instead, at the top: " + format, regexp.MustCompile("(?m)^"+regexp.QuoteMeta(name)+":.*\n").ReplaceAllString(kubeconfigOf(cluster, user), "") + top})
			}
			all = append(all, mutation{"the secret in " + place + ": " + format, kubeconfigOf(strings.TrimSpace(cluster), user) + top})
		}
	}
	for _, name := range []string{"name: the-context", "name: the-cluster", "name: the-user", "cluster: the-cluster", "user: the-user"} {
		key, _, _ := strings.Cut(name, ":")
		all = append(all, mutation{"the secret as " + name, strings.Replace(kubeconfigOf(goodCluster(), "token: "+token), name, key+": "+secret, 1)})
	}
	return all
}

// whole are mistakes about the file as such.
func whole(good, secret string) []mutation {
	return []mutation{
		{"the bare secret", secret},
		{"the bare secret with a line feed", secret + "\n"},
		{"the secret as JSON", `"` + secret + `"`},
		{"the secret as a JSON list", `["` + secret + `"]`},
		{"the secret in JSON that breaks off", `{"users": [{"name": "u", "user": {"token": "` + secret},
		{"the secret as the kind in JSON", `{"apiVersion": "v1", "kind": "` + secret + `"}`},
		{"the secret as a JSON number", `{"apiVersion": "v1", "kind": "Config", "users": ` + secret + `}`},
		{"an environment file", "TOKEN=" + secret + "\n"},
		{"two documents", good + "---\n" + good},
		{"twice", good + good},
		{"Windows line feeds", strings.ReplaceAll(good, "\n", "\r\n")},
		{"old Mac line feeds", strings.ReplaceAll(good, "\n", "\r")},
		{"no line feeds", strings.ReplaceAll(good, "\n", " ")},
		{"tabs", strings.ReplaceAll(good, "  ", "\t")},
		{"a byte order mark", "\ufeff" + good},
		{"zeros, as a file system leaves them after a crash", good[:len(good)/2] + strings.Repeat("\x00", len(good)/2)},
		{"UTF-16", strings.Join(strings.Split(good, ""), "\x00")},
		{"a bad byte", strings.Replace(good, secret, secret+"\xff", 1)},
		{"a control character", strings.Replace(good, secret, secret+"\x1b", 1)},
		{"a template", strings.ReplaceAll(good, secret, "{{ "+secret+" }}")},
	}
}

// intoAFolder finds a path into a folder: what stands there is the name of a file, and may be told.
var intoAFolder = regexp.MustCompile(`/[^/\s]+/[^/\s]*` + regexp.QuoteMeta(token))

// FuzzLoadBootstrap looks for a text around a token with which LoadBootstrap panics, or tells a piece of the token.
func FuzzLoadBootstrap(f *testing.F) {
	for _, base := range []string{withToken(token), kubeconfigOf(goodCluster(), "tokenFile: "+token)} {
		for i, m := range mutations(base, token) {
			if before, after, found := strings.Cut(m.text, token); found && i%7 == 0 {
				f.Add(before, after)
			}
		}
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + token + after
		if intoAFolder.MatchString(text) {
			return
		}
		b, err := load(t, text)
		if (b == nil) == (err == nil) {
			t.Errorf("neither a credential nor an error, or both: %v", err)
		}
		if err != nil && leaks(err.Error(), token) != "" {
			t.Errorf("a piece of the token is in the error: %v", err)
		}
	})
}

func load(t *testing.T, text string) (*kubeconfig.Bootstrap, error) {
	t.Helper()
	f := newFolder(t)
	f.bootstrap(text)
	return kubeconfig.LoadBootstrap(f.bootstrapFile())
}
