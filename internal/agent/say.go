package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// approvalTakes is how long an automatic approval, or then the signer, may take before waiting for it is worth a line.
const approvalTakes = time.Second

// line is what one concern has to say now. Level is that of the log; lines of errors that were logged when they happened have none.
type line struct {
	text  string
	level slog.Level
	quiet bool
}

// say puts into STATUS= what is waited for, and logs each line when it changes.
func (a *Agent) say(o status.Observed) {
	concerns := []struct {
		name string
		line line
	}{
		{"bootstrap", a.bootstrapLine(o)},
		{"client", a.clientLine(o)},
		{"serving", a.servingLine(o)},
		{"kubelet", a.kubeletLine(o)},
		{"ca", a.followingLine()},
	}
	var texts []string
	for _, c := range concerns {
		if c.line.text != "" {
			texts = append(texts, c.name+": "+statusText(c.line.text))
		}
		if c.line.text != a.said[c.name] && c.line.text != "" && !c.line.quiet {
			a.log.Log(context.Background(), c.line.level, "as things stand", "about", c.name, "status", c.line.text)
		}
		a.said[c.name] = c.line.text
	}
	if text := strings.Join(texts, "; "); text != a.said["STATUS"] {
		a.said["STATUS"] = text
		a.Notify("STATUS=" + text)
	}
}

// statusLimit bounds what STATUS= says about one concern, in bytes: systemd takes no message of more than 4096 (NOTIFY_BUFFER_MAX), nor
// one that is not UTF-8, and then shows what was said before.
const statusLimit = 950

// statusText makes a text one line that systemd takes.
func statusText(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= statusLimit {
		return text
	}
	return strings.ToValidUTF8(text[:statusLimit-len("…")], "") + "…"
}

func (a *Agent) bootstrapLine(o status.Observed) line {
	switch {
	case o.Undiscovered != nil:
		return line{text: a.discoveryText(), quiet: true}
	case o.BadCredential():
		return line{text: fmt.Sprintf("not usable: %v", durable.WithRemedy(o.BootstrapErr)), level: slog.LevelError}
	case (o.Bootstrap != nil || len(o.Aside) > 0) && a.credential.trouble != "":
		return line{text: a.credential.trouble, quiet: true}
	}
	return line{}
}

func (a *Agent) clientLine(o status.Observed) line {
	switch s := decideClient(o, a.client, a.clientAim(o)); {
	case !a.keep.reset.IsZero() && s == waitCredential:
		return line{text: "the node's identity was taken away: " + a.howToJoin(), level: slog.LevelWarn, quiet: true}
	case s == waitHeal:
		return line{text: fmt.Sprintf("the client certificate's file is %s, and is written again at %s", was[a.keep.client.gone], a.keep.client.healAt().UTC().Format(time.RFC3339)), level: slog.LevelWarn}
	case s == waitBoot:
		return line{text: fmt.Sprintf("certificate signing request %s is for another cluster; the node goes there with the next boot", o.Client.Pending.Name), level: slog.LevelWarn}
	case s == waitName:
		return line{text: fmt.Sprintf("waiting for a node name: %v", o.NodeErr), level: slog.LevelWarn}
	case s == waitCredential && o.Undiscovered != nil && isMissing(o.Client.PairErr):
		return line{} // that the cluster is looked for is said about the credential
	case s == waitCredential:
		return line{text: a.wantCredential(o), level: slog.LevelWarn}
	case s == waitEnded:
		return line{text: a.endedText(o.Client.Pending), level: slog.LevelError, quiet: a.client.ended != nil} // logged when it ended, unless that was before this start
	case s == rest && o.ForOtherNode():
		return line{text: fmt.Sprintf("the identity is %s and this machine is called %q now: either name it back (or give --hostname-override), "+
			"or put %s to join under the new name", o.Client.Pair.Leaf.Subject.CommonName, o.Node, status.Credentials(a.cfg, "")), level: slog.LevelError}
	case s == rest && o.Kubelet == nil:
		return line{text: fmt.Sprintf("%v; put %s, which brings server and CA back", o.KubeletErr, status.Credentials(a.cfg, " for the cluster")), level: slog.LevelError}
	case s == rest && o.ClientCA == nil:
		return line{text: fmt.Sprintf("%s is missing; give --kubelet-client-ca-file", a.dir.ClientCA()), level: slog.LevelError}
	case s == rest, s == waitSpacing:
		return validLine(o.Client)
	}
	return a.nextLine(o, a.client, o.Client)
}

// nextLine tells of a request under way and, when it is for the successor of a certificate in use, of that one too.
func (a *Agent) nextLine(o status.Observed, m memory, c status.Certificate) line {
	next := a.requestLine(o, m, c.Pending)
	if !c.Usable(o.Now) || !c.Issued() {
		return next
	}
	valid := validLine(c)
	if next.text != "" {
		valid = line{text: valid.text + "; the next one: " + next.text, level: next.level, quiet: next.quiet}
	}
	return valid
}

func (a *Agent) wantCredential(o status.Observed) string {
	want := fmt.Sprintf("put %s (%v)", status.Credentials(a.cfg, ""), o.BootstrapErr)
	switch {
	case o.NoCredential():
	case o.Undiscovered != nil:
		want = "where the cluster of the token in " + o.BootstrapFile + " is has to be found out first"
	case o.BootstrapFile == a.cfg.DiscoveryTokenFile:
		want = "mend the discovery token" // likewise
	case o.BootstrapFile != a.cfg.BootstrapKubeconfig: // a systemd credential
		want = "put " + status.Credentials(a.cfg, "")
	default:
		want = "mend the bootstrap kubeconfig" // what is wrong with it is said about itself
	}
	switch {
	case o.Client.Pair != nil:
		return fmt.Sprintf("the client certificate expired at %s; %s", o.Client.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339), want)
	case isMissing(o.Client.PairErr):
		return "waiting for a bootstrap credential: " + want
	}
	return fmt.Sprintf("the client certificate cannot be used (%v); %s", o.Client.PairErr, want)
}

func (a *Agent) servingLine(o status.Observed) line {
	if a.cfg.Serving == string(serving.Off) {
		return line{}
	}
	joining := a.client.running && o.Client.Pending != nil
	switch s := decideServing(o, a.serving, joining, a.servingAim(o)); s {
	case waitClient:
		return line{}
	case waitHeal:
		return line{text: fmt.Sprintf("the serving certificate's file is %s, and is written again at %s", was[a.keep.serving.gone], a.keep.serving.healAt().UTC().Format(time.RFC3339)), level: slog.LevelWarn}
	case waitAddress:
		return line{text: cmp.Or(a.registered.trouble, a.addresses.trouble), quiet: true}
	case waitEnded:
		return line{text: a.endedText(o.Serving.Pending), level: slog.LevelError, quiet: a.serving.ended != nil} // logged when it ended, unless that was before this start
	case rest, waitSpacing:
		valid := validLine(o.Serving)
		if a.served.trouble != "" {
			valid.text += "; " + a.served.trouble
		}
		return valid
	default:
		return a.nextLine(o, a.serving, o.Serving)
	}
}

// validLine tells of a certificate in use, and of a damaged request beside it.
func validLine(c status.Certificate) line {
	valid := "valid until " + c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	if c.PendingErr != nil {
		return line{text: fmt.Sprintf("%s; the request on disk is of no use, the next one takes its place (%v)", valid, c.PendingErr), level: slog.LevelWarn}
	}
	return line{text: valid}
}

// requestLine tells of a request under way.
func (a *Agent) requestLine(o status.Observed, m memory, p *csr.Pending) line {
	switch {
	case p == nil:
		return line{text: m.trouble, quiet: true}
	case m.trouble != "":
		return line{text: fmt.Sprintf("%s (%s)", m.trouble, p.Name), quiet: true}
	case !m.approved.IsZero():
		if o.Now.Sub(m.approved) < approvalTakes {
			return line{}
		}
		return line{text: fmt.Sprintf("certificate signing request %s is approved and not issued yet; is its signer (kube-controller-manager) running?", p.Name), level: slog.LevelInfo}
	case !m.accepted.IsZero() && o.Now.Sub(m.accepted) >= approvalTakes:
		return line{text: fmt.Sprintf("waiting for approval of certificate signing request %s since %s: kubectl certificate approve %s",
			p.Name, p.Accepted.UTC().Format(time.RFC3339), p.Name), level: slog.LevelInfo}
	}
	return line{}
}

func isMissing(err error) bool { return errors.Is(err, certdir.ErrNoPair) }

func cutNodePrefix(commonName string) (string, bool) {
	return strings.CutPrefix(commonName, "system:node:")
}
