package csr

import (
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// crypto/tls takes a block with headers for the leaf, and client-go's parser passes it over: what one has checked is not what the other
// would use.
func TestAnAnswerOfWhichReadersThinkDifferentlyIsRefused(t *testing.T) {
	for _, wish := range []Wish{clientWish, servingWish} {
		p := newPending(t, wish)
		good := theSigner().issue(t, p, nil)
		block, _ := pem.Decode(good)
		header := map[string]string{"A": "b"}
		for name, text := range map[string][]byte{
			"another's with a header before ours": slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: header, Bytes: []byte("another's")}), good),
			"ours with a header":                  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: header, Bytes: block.Bytes}),
			"two in one block":                    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: slices.Concat(block.Bytes, block.Bytes)}),
			"a key behind it":                     slices.Concat(good, p.KeyPEM),
			"a trusted one":                       pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: block.Bytes}),
			"something behind it":                 slices.Concat(good, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("something")})),
		} {
			p.CertificatePEM = text
			if _, err := p.Check(); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
				t.Errorf("%s, %s: %v", wish.Kind, name, err)
			}
		}
	}
}

func TestOnlyEventsOfTheObjectItselfCount(t *testing.T) {
	p := newPending(t, clientWish)
	first := objectOf(p, "uid-1")
	changed := func(change func(*object)) *object {
		o := with(first, approved, "PEM")
		change(o)
		return o
	}
	end := events{{"MODIFIED", with(first, denied, "")}}
	notFound := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound}
	for name, c := range map[string]struct {
		events events
		result Result
	}{
		"another object":             {events{{"MODIFIED", changed(func(o *object) { o.Name, o.UID = "another", "another" })}, end[0]}, Denied},
		"another object's end":       {events{{"DELETED", changed(func(o *object) { o.Name = "another" })}, end[0]}, Denied},
		"an object without a uid":    {events{{"MODIFIED", changed(func(o *object) { o.UID = "" })}, end[0]}, Denied},
		"a uid that is none":         {events{{"MODIFIED", changed(func(o *object) { o.UID = types.UID(strings.Repeat("a", longestUID+1)) })}, end[0]}, Denied},
		"another request":            {events{{"MODIFIED", changed(func(o *object) { o.Spec.Request = []byte("another") })}}, Replaced},
		"another signer":             {events{{"MODIFIED", changed(func(o *object) { o.Spec.SignerName = "another" })}}, Replaced},
		"other usages":               {events{{"MODIFIED", changed(func(o *object) { o.Spec.Usages = nil })}}, Replaced},
		"an error that it is absent": {events{{"ERROR", notFound}}, Denied},
	} {
		s := newStandIn(t)
		s.watches = scripts([]events{c.events, end})
		outcome, err := s.asker(t, p).Ask(t.Context(), p)
		must(t, err)
		if outcome.Result != c.result {
			t.Errorf("%s: %s, expected %s; calls %q", name, outcome.Result, c.result, s.calls)
		}
	}
}

func TestAnObjectThatChangesWithoutAnEndIsToldOfOnce(t *testing.T) {
	s := newStandIn(t)
	p := newPending(t, clientWish)
	first := objectOf(p, "uid-1")
	many := events{}
	for range 100 {
		many = append(many, events{{"MODIFIED", first}}...)
	}
	s.watches = scripts([]events{append(many, events{{"MODIFIED", with(first, denied, "")}}...)})
	asker, told := s.asker(t, p), 0
	asker.Accepted = func(*object) { told++ }
	_, err := asker.Ask(t.Context(), p)
	must(t, err)
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func TestAnApprovalBetweenTwoWatchesIsToldOf(t *testing.T) {
	s := newStandIn(t)
	p := newPending(t, clientWish)
	first := objectOf(p, "uid-1")
	s.watches = []func(func(string, any)){
		func(func(string, any)) { s.there = with(first, approved, "") }, // and ends
		func(send func(string, any)) { send("MODIFIED", with(first, approved, "PEM")) },
	}
	asker, told := s.asker(t, p), []bool{}
	asker.Accepted = func(o *object) { told = append(told, Approved(o)) }
	_, err := asker.Ask(t.Context(), p)
	must(t, err)
	if !slices.Equal(told, []bool{false, true}) {
		t.Errorf("told of it as approved: %v", told)
	}
}

func TestWordsOfOthersAreFitToBeKeptAndShown(t *testing.T) {
	for words, expected := range map[string]string{
		"no":                            "no",
		"a\nb\x1b[2J\x00c\u0085":        "a b [2J c ",
		"\xff\xfe":                      "",
		strings.Repeat("a", 1<<20):      strings.Repeat("a", 1<<10),
		strings.Repeat("a", 1023) + "é": strings.Repeat("a", 1023),
	} {
		if is := Plain(words); is != expected {
			t.Errorf("%.40q: %.40q (%d bytes), expected %.40q", words, is, len(is), expected)
		}
	}
}
