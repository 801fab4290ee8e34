package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// The agent remembers what it last saw whole, and writes it again when it is damaged or gone. There is one limit: a person who takes the
// node's identity away means it.

const (
	// settlesIn is how long a damaged file is given: it may be in the middle of being written.
	settlesIn = 2 * time.Second
	// resetTakes is within what time a person who takes the identity away has removed both halves of it, the client certificate and the
	// kubeconfig. For so long nothing that is gone is written again.
	resetTakes = 10 * time.Second
	// healsAtMost bounds the pause before a file that is damaged again and again is written again.
	healsAtMost = 5 * time.Minute
	// healedFor is how long a file must be whole for its healing to be forgotten.
	healedFor = 10 * time.Minute
)

// keepsake is what the agent remembers of the node's files.
type keepsake struct {
	client, serving, kubelet, serverCA, clientCA kept
	// reset is set by an operator's reset until the node has an identity again; spent are the credentials that lay there then.
	reset time.Time
	spent map[string]bool
	// again: the cert-dir is ours again since the reset, and can be taken away once more.
	again bool
}

// kept is one file that is remembered. Its zero value remembers nothing.
type kept struct {
	pair *certdir.Pair // of a certificate
	ours []byte        // the certificate that we have put in place ourselves, the last time
	text []byte        // of any other file
	// modified is the file's time, which it keeps: a kubelet that was started since has read it.
	modified time.Time
	// since is when it was first seen damaged or gone; zero: it is whole.
	since time.Time
	gone  bool
	// useless: it has expired, and nothing would be won by writing it again. That somebody takes it away still means something.
	useless bool
	// healedAt is when it was last written again; times counts.
	healedAt time.Time
	times    int
}

func (k *kept) remembered() bool { return k.pair != nil || k.text != nil }

// whole notes that the file is as it should be.
func (k *kept) whole(pair *certdir.Pair, text []byte, now time.Time) {
	k.pair, k.text, k.since, k.gone, k.useless = pair, text, time.Time{}, false, false
	if now.Sub(k.healedAt) > healedFor {
		k.times = 0
	}
}

// lost notes that the file is damaged, or gone.
func (k *kept) lost(gone bool, now time.Time) {
	if !k.remembered() {
		return
	}
	if k.since.IsZero() || k.gone != gone {
		k.since, k.gone = now, gone
	}
}

// healAt is when the file is written again; zero: it need not be.
func (k *kept) healAt() time.Time {
	if k.since.IsZero() || k.useless {
		return time.Time{}
	}
	wait := settlesIn
	if k.gone {
		wait = resetTakes
	}
	return k.since.Add(min(wait<<min(k.times, 10), healsAtMost))
}

func (k *keepsake) all() []*kept {
	return []*kept{&k.client, &k.serving, &k.kubelet, &k.serverCA, &k.clientCA}
}

// times are when something is to be written again.
func (k *keepsake) times() []time.Time {
	var times []time.Time
	for _, one := range k.all() {
		times = append(times, one.healAt())
	}
	return times
}

// noteLosses compares what is there with what is remembered, and after an operator's reset hides what is not to be used any more.
func (a *Agent) noteLosses(o *status.Observed) {
	if a.lock == nil { // it is not begun yet
		return
	}
	k := &a.keep
	if a.isStray(*o) {
		o.Client.Pair, o.Client.PairErr = nil, errStray
	}
	a.notePair(&k.client, o.Client, o.Now)
	if a.cfg.Serving != string(serving.Off) { // else the kubelet's names are its own, and what we had there goes
		a.notePair(&k.serving, o.Serving, o.Now)
	}
	var text []byte
	if o.Kubelet != nil {
		text = o.Kubelet.Text
	}
	noteFile(&k.kubelet, a.cfg.Kubeconfig, text, o.Now)
	noteFile(&k.serverCA, a.dir.ServerCA(), o.ServerCA, o.Now)
	noteFile(&k.clientCA, a.dir.ClientCA(), o.ClientCA, o.Now)
	k.again = k.again || !k.reset.IsZero() && a.dir.Holds(a.lock)
	if (k.reset.IsZero() || k.again) && a.isReset(*o) {
		a.reset(*o)
	}
	if !k.reset.IsZero() && o.Client.Pair != nil && o.Kubelet != nil {
		k.reset, k.again = time.Time{}, false
		a.log.Info("the node has an identity again")
	}
	a.hideSpent(o)
	a.client.healing, a.client.healingWay = !k.client.healAt().IsZero(), !k.kubelet.healAt().IsZero()
	a.credential.healingWay = a.client.healingWay
	a.serving.healing = !k.serving.healAt().IsZero()
}

// notePair remembers a pair that can be used. One that cannot be, or that has taken the place of one which can be used and is expired
// itself, is damaged.
func (a *Agent) notePair(k *kept, c status.Certificate, now time.Time) {
	k.useless = k.pair != nil && !now.Before(k.pair.Leaf.NotAfter)
	switch {
	case c.Unread != nil:
	case c.Usable(now) && !rotted(k.pair, c.Pair):
		if k.pair == nil || !bytes.Equal(k.pair.Leaf.Raw, c.Pair.Leaf.Raw) {
			a.noteLife(c)
			a.adopt(k, c)
		}
		k.whole(c.Pair, nil, now)
	case c.Pair == nil && certdir.Gone(c.PairErr):
		k.lost(true, now)
	default:
		k.lost(false, now)
	}
}

// isStray says whether the identity of another node has taken the place of this node's own, which is remembered and good: a copy gone
// astray. Without anything to go back to it stays in use, for the node's name may be what is wrong.
func (a *Agent) isStray(o status.Observed) bool {
	k := a.keep.client
	return o.ForOtherNode() && k.pair != nil && o.Now.Before(k.pair.Leaf.NotAfter) && k.pair.Leaf.Subject.CommonName == "system:node:"+o.Node
}

var errStray = errors.New("it is another node's")

// rotted says whether a pair is the remembered one with a byte changed that does not keep it from being read: no signer gives another
// certificate for the same key the same number, or the same signature.
func rotted(remembered, found *certdir.Pair) bool {
	if remembered == nil || bytes.Equal(remembered.Leaf.Raw, found.Leaf.Raw) || !bytes.Equal(remembered.Leaf.RawSubjectPublicKeyInfo, found.Leaf.RawSubjectPublicKeyInfo) {
		return false
	}
	return remembered.Leaf.SerialNumber.Cmp(found.Leaf.SerialNumber) == 0 || bytes.Equal(remembered.Leaf.Signature, found.Leaf.Signature)
}

// adopt says that somebody else, a kubelet that rotates perhaps, has put another pair in place.
func (a *Agent) adopt(k *kept, c status.Certificate) {
	if k.pair != nil && !bytes.Equal(k.ours, c.Pair.Leaf.Raw) && c.Issued() {
		a.log.Info("adopted a certificate that somebody else has put in place", "certificate", c.Kind, "file", c.Pair.File,
			"until", c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}

// noteLife warns of a certificate that is used up before a kubelet can be relied on to have read its successor.
func (a *Agent) noteLife(c status.Certificate) {
	life := c.Pair.Leaf.NotAfter.Sub(rotate.Received(c.Pair.Leaf, c.Pair.ModTime))
	if c.Issued() && life < rotate.ShortLife {
		a.log.Warn("the certificate lives only for a short time: a kubelet re-reads its client certificate every 5 minutes", "certificate", c.Kind,
			"life", life.Round(time.Second).String(), "remedy", "have the signer issue for longer (kube-controller-manager --cluster-signing-duration), an hour at least")
	}
}

// noteFile remembers what was found good in a file; nil: nothing was. One that cannot be used, though its bytes are those that could,
// suffers from something else.
func noteFile(k *kept, path string, good []byte, now time.Time) {
	file, err := durable.ReadTrusted(path, 1<<20)
	untrusted := errors.Is(err, durable.ErrUntrusted)
	switch {
	case good != nil && !untrusted: // these bytes and no others: the file may have been damaged since they were judged
		k.whole(nil, good, now)
		if err == nil {
			k.modified = file.Info.ModTime()
		}
	case certdir.Unread(err), err == nil && bytes.Equal(file.Data, k.text):
	case untrusted && durable.TrustFolder(filepath.Dir(path)) != nil: // it is the folder's trouble, which no writing mends
	default:
		k.lost(errors.Is(err, fs.ErrNotExist), now)
	}
}

// heal writes again what has been damaged or gone for long enough. The kubelet's links never wait: they must not dangle.
func (a *Agent) heal(o status.Observed) (changed bool) {
	if a.lock == nil {
		return false
	}
	if o.Now.Before(a.files.retryAt) {
		return false
	}
	if (o.Serving.Pair == nil || !o.Serving.Linked) && o.Serving.Unread == nil && a.repairLinks() {
		return true
	}
	if o.Now.Before(a.files.retryAt) { // that could not be done
		return false
	}
	for _, file := range a.healable() {
		k := file.kept
		if at := k.healAt(); at.IsZero() || o.Now.Before(at) || !a.keep.reset.IsZero() {
			continue
		}
		healed := a.disk(&a.files, "write again "+file.what, file.restore)
		if healed {
			k.since, k.healedAt = time.Time{}, o.Now
			k.times++
			a.log.Warn("wrote a file again from memory", "file", file.what, "was", was[k.gone])
		}
		return healed
	}
	if a.files.failure == rotate.LocalTrouble && a.keep.reset.IsZero() { // what is there to see now may still be lost in a power cut
		a.disk(&a.files, syncFiles, func() error { return nil })
	}
	return false
}

var was = map[bool]string{true: "gone", false: "damaged"}

// healable are the files that can be written again, in the order in which they are: what the kubeconfig names first.
func (a *Agent) healable() []struct {
	what    string
	kept    *kept
	restore func() error
} {
	k := &a.keep
	return []struct {
		what    string
		kept    *kept
		restore func() error
	}{
		{a.dir.ServerCA(), &k.serverCA, func() error { return a.Disk.WriteFileOf(a.dir.ServerCA(), k.serverCA.text, 0o644, k.serverCA.modified) }},
		{a.dir.ClientCA(), &k.clientCA, func() error { return a.Disk.WriteFileOf(a.dir.ClientCA(), k.clientCA.text, 0o644, k.clientCA.modified) }},
		{a.dir.Current(certdir.Client), &k.client, func() error { return a.dir.Restore(certdir.Client, k.client.pair) }},
		{a.dir.Current(certdir.Serving), &k.serving, func() error { return a.dir.Restore(certdir.Serving, k.serving.pair) }},
		{a.cfg.Kubeconfig, &k.kubelet, func() error { return a.Disk.WriteFileOf(a.cfg.Kubeconfig, k.kubelet.text, 0o600, k.kubelet.modified) }},
	}
}

// settleRotateNow takes away a "rotate now" that has been obeyed, or cannot be.
func (a *Agent) settleRotateNow(o status.Observed) (changed bool) {
	if a.cfg.Once { // it is for the service
		return false
	}
	for _, c := range []struct {
		status.Certificate
		m       *memory
		rotates bool
	}{{o.Client, &a.client, a.clientAim(o).rotates}, {o.Serving, &a.serving, a.servingAim(o).rotates}} {
		underWay := c.Pending != nil && c.Pending.Ended == nil
		nothing := !c.Usable(o.Now) || !c.Issued()
		if !c.RotateNow || c.rotates && !underWay && !nothing || o.Now.Before(c.m.retryAt) || c.m.healing {
			continue
		}
		return a.disk(c.m, "take away what asks for a rotation", func() error {
			if !c.rotates {
				a.log.Warn("asked for another certificate, and its rotation is switched off", "certificate", c.Kind)
			}
			return a.dir.ForgetRotate(prefixOf(c.Kind))
		})
	}
	return false
}
