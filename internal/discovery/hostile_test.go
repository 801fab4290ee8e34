package discovery

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hostility is something that is wrong with a cluster, or done by somebody on the way to it.
type hostility struct {
	name   string
	do     func(v *town)
	reason Reason
	// says is a part of what is said of it, remedy of the remedy; an empty one means that there is none.
	says, remedy string
	// requests is how often cluster-info was asked for, at whichever server.
	requests int
	// as is another one that is told in the same words.
	as string
}

var addresses = regexp.MustCompile(`127\.0\.0\.1:[0-9]+|[0-9:.]+->|[0-9a-f]{64}|[0-9]{4}-[0-9T:-]+Z`)

func TestEachHostileServerIsRefusedInItsOwnWordsAndSentNothingSecret(t *testing.T) {
	t.Parallel()
	all := slices.Concat(hostileTokens(), hostileAnswers(), hostileContents(), hostileNamed(), hostileConnections())
	said := make([]string, len(all))
	t.Run("each", func(t *testing.T) {
		for i, h := range all {
			t.Run(h.name, func(t *testing.T) {
				t.Parallel()
				said[i] = h.meet(t)
			})
		}
	})
	first := map[string]string{}
	for i, h := range all {
		if by := first[said[i]]; by != h.as {
			t.Errorf("%s is told in the words of %q, expected those of %q: %s", h.name, by, h.as, said[i])
		}
		if h.as == "" {
			first[said[i]] = h.name
		}
	}
	t.Logf("%d kinds of hostility, %d refusals", len(all), len(first))
	assertThePageTells(t, said)
}

// assertThePageTells shows that each row of the page on discovery is what is said of some hostility.
func assertThePageTells(t *testing.T, said []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/discovery.md")
	must(t, err)
	_, table, _ := strings.Cut(string(page), "<!-- refusals")
	table, _, _ = strings.Cut(table, "<!-- end of refusals")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(cells[2], "`") {
			continue
		}
		text := func(i int) string { return strings.Trim(strings.TrimSpace(cells[i]), "`") }
		if rows++; !slices.ContainsFunc(said, func(words string) bool {
			return strings.HasPrefix(words, text(2)+": ") && strings.Contains(words, text(3)) && strings.Contains(words, text(4))
		}) {
			t.Errorf("nothing is refused with the words of the page: %s", line)
		}
	}
	if rows < 30 {
		t.Errorf("the page has %d rows", rows)
	}
}

// meet shows how the agent finds no cluster, and returns in what words.
func (h hostility) meet(t *testing.T) (words string) {
	t.Helper()
	v := newTown(t)
	h.do(v)
	found, err := v.discover()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v, %v", found.Endpoint.Server, err)
	}
	if e.Reason != h.reason || !strings.Contains(e.Error(), h.says) || !strings.Contains(e.Remedy, h.remedy) || (h.remedy == "") != (e.Remedy == "") {
		t.Errorf("%s: %v; %s\nexpected %s: %s; %s", e.Reason, e, e.Remedy, h.reason, h.says, h.remedy)
	}
	if len(e.Error()) > 2<<10 || strings.Contains(e.Error()+e.Remedy, v.wish.Token.Secret) {
		t.Errorf("it says too much: %s", e)
	}
	v.assertNothingSecretSent(h.requests)
	return addresses.ReplaceAllString(string(e.Reason)+": "+e.Error()+"; "+e.Remedy, "ADDRESS")
}

// assertNothingSecretSent shows that all servers of the town together were asked so many times for cluster-info, and sent nothing else.
func (v *town) assertNothingSecretSent(requests int) {
	v.t.Helper()
	asked := 0
	for _, s := range v.all {
		s.assertTrustedWithNothing(v.wish.Token)
		asked += s.asked()
	}
	if asked != requests {
		v.t.Errorf("%d requests, expected %d", asked, requests)
	}
}

func TestARogueCABesideThePinnedOneIsFoundOutAndLeftOut(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	v.publish(v.kubeconfig(v.api.url, v.rogue, v.ca, v.rogue.signs("below")))
	found, err := v.discover()
	must(t, err)
	if string(found.Endpoint.CA) != string(EncodeBundle(bundleOf(v.ca))) || found.Endpoint.Server != v.api.url || found.Asked != v.api.url {
		t.Errorf("found %s under %s", found.Endpoint.Server, found.Endpoint.CA)
	}
	if len(found.Dropped) != 2 || found.Dropped[0].Subject != "CN=rogue" {
		t.Errorf("dropped are %v", found.Dropped)
	}
	v.assertNothingSecretSent(2)
}

// The server that is named may be another one than those that are asked, which need no good certificate.
func TestServersAreAskedInTurnUntilOneLeadsToTheCluster(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	balancer := v.stands(v.rogue.server())
	v.wish.Servers = []string{v.shut(), balancer.url, v.shut()}
	found, err := v.discover()
	must(t, err)
	if found.Asked != balancer.url || found.Endpoint.Server != v.api.url || balancer.asked() != 1 || v.api.asked() != 1 {
		t.Errorf("found %s at %s by %d and %d requests", found.Endpoint.Server, found.Asked, balancer.asked(), v.api.asked())
	}
	v.assertNothingSecretSent(2)
}

func TestOfManyServersTheMostTellingErrorCounts(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	v.wish.Token.ID = "zzzzzz"
	dead := []string{v.shut(), v.shut()}
	v.wish.Servers = []string{dead[0], v.api.url, dead[1]}
	_, err := v.discover()
	var e *Error
	if !errors.As(err, &e) || e.Reason != NotSigned || !strings.HasPrefix(e.Error(), "cluster-info at "+v.api.url) {
		t.Fatal(err)
	}
	for _, server := range dead {
		if !strings.Contains(e.Error(), server) {
			t.Errorf("nothing is said of %s: %v", server, e)
		}
	}
	if strings.Count(e.Error(), v.api.url) != 1 || e.Remedy == "" {
		t.Errorf("%v; %s", e, e.Remedy)
	}
}

func TestWithoutAPinOrAServerNobodyIsAsked(t *testing.T) {
	t.Parallel()
	v := newTown(t)
	for _, wish := range []Wish{{Servers: v.wish.Servers, Token: v.token}, {Pins: v.wish.Pins, Token: v.token}} {
		v.wish = wish
		if _, err := v.discover(); err == nil {
			t.Error("a cluster is found")
		}
	}
	v.assertNothingSecretSent(0)
}
