package agent

import (
	"os"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

type count = map[csr.Kind]int

// rotations are the ways in which a daemon comes to write: its certificates' time has come, the way on is another one, or somebody has
// changed something.
func rotations() []writing {
	rows := []writing{
		{name: "a client certificate whose time has come", before: then((*recording).clientDue), stays: &stay{asks: count{csr.Client: 1}}},
		{name: "a client certificate that is to rotate now", before: then(rotateNow(certdir.Client)), stays: &stay{asks: count{csr.Client: 1}}},
		{name: "a serving certificate whose time has come", before: then((*recording).servingDue), stays: &stay{asks: count{csr.Serving: 1}}},
		{name: "a serving certificate that is to rotate now", before: then(rotateNow(certdir.Serving)), stays: &stay{asks: count{csr.Serving: 1}}},
		{name: "a serving certificate that lacks a name", before: then((*recording).otherAddress), stays: &stay{asks: count{csr.Serving: 1}}},
		{name: "a serving certificate for another node", before: then((*recording).servesOther), stays: &stay{asks: count{csr.Serving: 1}}},
		{name: "both certificates whose time has come", before: then((*recording).clientDue, (*recording).servingDue), stays: &stay{asks: count{csr.Client: 1, csr.Serving: 1}}},
		{name: "a placeholder whose time has come", before: then((*recording).placeholderDue), stays: &stay{asks: count{csr.Serving: 1}}},
		{name: "an identity that expired while it was to be followed", credential: true, before: then((*recording).expiredOnTheWay), stays: &stay{moves: true, asks: count{csr.Client: 1}}},
		{name: "a move to another cluster", credential: true, before: then((*recording).movesToOther), stays: &stay{moves: true, asks: count{csr.Client: 1, csr.Serving: 1}}},
		{name: "the same cluster, which accepts the identity no more", credential: true, before: then((*recording).refusedAtHome), stays: &stay{moves: true, asks: count{csr.Client: 1}}},
		{name: "another node name", credential: true, before: then((*recording).renamed), stays: &stay{moves: true, asks: count{csr.Client: 1, csr.Serving: 1}}},
		{name: "a serving pair whose link is gone", harmed: true, before: then(unlink(certdir.Serving)), stays: &stay{}},
		{name: "a client pair whose link is gone", harmed: true, before: then(unlink(certdir.Client)), stays: &stay{}},
		{name: "both asked to rotate, and switched off", before: then(rotateNow(certdir.Client), rotateNow(certdir.Serving), (*recording).switchedOff), stays: &stay{}},
		{name: "switched off while a client request is under way", before: then(asksAsNode(csr.Client), (*recording).switchedOff), stays: &stay{}},
		{name: "switched off while a serving request is under way", before: then(asksAsNode(csr.Serving), (*recording).switchedOff), stays: &stay{}},
		{name: "an operator's reset, and another credential", before: then(), stays: &stay{
			hurts: true, asks: count{csr.Client: 1}, meanwhile: []func(*recording, durable.Disk){takeIdentity, joinAgain},
		}},
		{name: "the cert-dir taken away, and another credential", before: then(), stays: &stay{
			hurts: true, asks: count{csr.Client: 1, csr.Serving: 1}, meanwhile: []func(*recording, durable.Disk){takeCertDir, joinAgain},
		}},
	}
	return append(rows, healings()...)
}

// healings are the files that the agent remembers, each damaged and gone.
func healings() []writing {
	var rows []writing
	for _, file := range []struct {
		name string
		path func(*recording) string
	}{
		{"the client pair", func(r *recording) string { return r.dataFile(certdir.Client) }},
		{"the client link", func(r *recording) string { return r.dir.Current(certdir.Client) }},
		{"the serving pair", func(r *recording) string { return r.dataFile(certdir.Serving) }},
		{"the serving link", func(r *recording) string { return r.dir.Current(certdir.Serving) }},
		{"the kubeconfig", func(r *recording) string { return r.cfg.Kubeconfig }},
		{"the API server's CA", func(r *recording) string { return r.dir.ServerCA() }},
		{"the CA of who may call", func(r *recording) string { return r.dir.ClientCA() }},
	} {
		for how, change := range []func(disk durable.Disk, path string) error{
			func(disk durable.Disk, path string) error { return disk.Remove(path) },
			func(disk durable.Disk, path string) error { return disk.WriteFile(path, []byte("nothing"), 0o600) },
		} {
			meanwhile := func(r *recording, disk durable.Disk) { _ = change(disk, file.path(r)) }
			rows = append(rows, writing{
				name: file.name + []string{" gone", " damaged"}[how], harmed: true, before: then(),
				stays: &stay{hurts: true, meanwhile: []func(*recording, durable.Disk){meanwhile}},
			})
		}
	}
	return rows
}

// then is a node that has joined, whose requests the cluster has cleaned up since, and what became of it.
func then(changes ...func(*recording)) func(*recording) {
	return func(r *recording) {
		r.t.Helper()
		r.cfg.KubeletAddress = "127.0.0.1:1" // nobody is there
		must(r.t, os.Mkdir(filepath.Join(r.top, "run"), 0o700))
		r.joined()
		r.cfg.Once = false
		for _, kind := range bothKinds {
			r.api.forget(r.node, kind)
		}
		for _, change := range changes {
			change(r)
		}
	}
}

func (r *recording) dataFile(kind certdir.Kind) string {
	path, err := filepath.EvalSymlinks(r.dir.Current(kind))
	must(r.t, err)
	return path
}

func (r *recording) servingWish() csr.Wish {
	return csr.Wish{Kind: csr.Serving, NodeName: r.node, KeyAlgorithm: "ecdsa-p256", DNSNames: []string{r.node}, IPAddresses: []string{"192.0.2.10"}}
}

// aged puts a pair of an hour in place that has been there for so long.
func (r *recording) aged(wish csr.Wish, age time.Duration) {
	r.t.Helper()
	p, err := csr.New(wish, apiserver.Endpoint{})
	must(r.t, err)
	since := time.Now().Add(-age)
	p.CertificatePEM = r.api.ca.issue(p, since)
	r.replace(wish.Kind, p.PairPEM(), since)
}

// replace puts a pair in the place of the current one, as if it had been there since then.
func (r *recording) replace(kind csr.Kind, pair []byte, since time.Time) {
	r.t.Helper()
	before := r.dataFile(prefixOf(kind))
	must(r.t, r.dir.Commit(prefixOf(kind), pair, since))
	must(r.t, os.Remove(before))
	file := r.dataFile(prefixOf(kind))
	must(r.t, os.Chtimes(file, since, since.Add(time.Second)))
}

// dueAge is that of a certificate of an hour that is to be followed by another, with minutes left.
const dueAge = 52 * time.Minute

// clientDue is a node of which a person has chosen who may call the kubelet: a rotation changes nothing but the pair.
func (r *recording) clientDue() {
	r.aged(r.clientWish(), dueAge)
	must(r.t, r.dir.WriteCA(r.dir.ClientCA(), append([]byte("# chosen by a person\n"), r.api.ca.pem...)))
}

func (r *recording) servingDue() { r.aged(r.servingWish(), dueAge) }

func rotateNow(kind certdir.Kind) func(*recording) {
	return func(r *recording) { must(r.t, r.dir.AskToRotate(kind)) }
}

// otherAddress is a machine that has another address than its certificate.
func (r *recording) otherAddress() { r.cfg.NodeIP = "192.0.2.11" }

func (r *recording) servesOther() {
	wish := r.servingWish()
	wish.NodeName = "worker-9"
	r.aged(wish, time.Minute)
}

func (r *recording) placeholderDue() {
	since := time.Now().AddDate(0, 0, -29)
	pair, err := serving.Placeholder(r.node, serving.Names{DNS: []string{r.node}}, since)
	must(r.t, err)
	r.replace(csr.Serving, pair, since)
}

// credentialAgain puts one there as the admin would, for the cluster that is asked from now on.
func (r *recording) credentialAgain() {
	r.write(r.t, r.cfg.BootstrapKubeconfig, bootstrapKubeconfig(r.api.url, r.api.ca.pem))
}

// expiredOnTheWay is a node that could not reach its API server while its identity could still ask for the next one.
func (r *recording) expiredOnTheWay() {
	r.aged(r.clientWish(), 2*time.Hour)
	asksAsNode(csr.Client)(r)
	r.credentialAgain()
}

// asksAsNode is a rotation of which the request was stored.
func asksAsNode(kind csr.Kind) func(*recording) {
	return func(r *recording) {
		wish := r.clientWish()
		if kind == csr.Serving {
			wish = r.servingWish()
		}
		r.pending(wish, func(p *csr.Pending) { p.AsNode, p.Made = true, time.Now().Add(-time.Minute) })
	}
}

// movesToOther is a node whose disk, with its identity, was put into another cluster.
func (r *recording) movesToOther() {
	validity := r.api.validity
	r.api = newAPIStandInOf(r.t, newAuthority())
	r.api.validity = validity
	r.ca = r.api.ca.pem
	r.credentialAgain()
}

func (r *recording) refusedAtHome() {
	pair, err := r.dir.Read(certdir.Client)
	must(r.t, err)
	r.api.mu.Lock()
	r.api.refused[string(pair.Leaf.Raw)] = true
	r.api.mu.Unlock()
	r.credentialAgain()
}

func (r *recording) renamed() {
	r.node += "-renamed"
	r.cfg.HostnameOverride = r.node
	r.credentialAgain()
}

func unlink(kind certdir.Kind) func(*recording) {
	return func(r *recording) { must(r.t, os.Remove(r.dir.Current(kind))) }
}

func (r *recording) switchedOff() {
	r.cfg.RotateCertificates, r.cfg.RotateServerCertificates = false, false
}

func takeIdentity(r *recording, disk durable.Disk) {
	_ = disk.Remove(r.dir.Current(certdir.Client))
	_ = disk.Remove(r.cfg.Kubeconfig)
}

func takeCertDir(r *recording, disk durable.Disk) {
	_ = os.Remove(r.lockFile())
	entries, err := os.ReadDir(r.cfg.CertDir)
	must(r.t, err)
	for _, entry := range entries {
		_ = disk.Remove(filepath.Join(r.cfg.CertDir, entry.Name()))
	}
	_ = disk.Remove(r.cfg.CertDir)
}

// joinAgain brings a credential that was not there before.
func joinAgain(r *recording, disk durable.Disk) {
	text := append([]byte("# another one\n"), bootstrapKubeconfig(r.api.url, r.api.ca.pem)...)
	_ = disk.WriteFile(r.cfg.BootstrapKubeconfig, text, 0o600)
}
