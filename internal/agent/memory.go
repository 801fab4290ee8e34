package agent

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// memory is what the agent remembers about one certificate, or the credential, between two looks at the disk. Losing it in a
// crash costs time, never a certificate or a second request.
type memory struct {
	name    csr.Kind
	running bool
	cancel  func()
	// generation tells the reports of the task under way from those of one that was abandoned.
	generation int

	// retryAt is when the next attempt may begin; failures counts those in a row of one kind.
	retryAt  time.Time
	failure  rotate.Failure
	failures int
	// cannot is what could not be done with the files, if that was the failure.
	cannot string

	// provedLeaf is the certificate, still pending, that the API server has accepted.
	provedLeaf []byte
	// accepted is when the API server had the request, by our clock.
	accepted time.Time
	// created is when the API server accepted it for the first time, by our clock; zero: that was before this process, or is not known.
	created time.Time
	// approved is when we heard that it was approved: from then on only the signer's work is missing.
	approved time.Time
	// resent is when a request that the cluster had cleaned up was last sent again at once. It is not again for a day, whatever the
	// API server says about when the object was made.
	resent time.Time
	// trouble is what stands in the way, for STATUS= and the log; it ends with the next success.
	trouble string
	// ended is the last end of a request in this process's life.
	ended *csr.Ended
	// asNode: what was asked last was asked with the node's own identity.
	asNode bool
	// healing: a file of the certificate is damaged or gone, and is going to be written again from memory.
	healing bool
	// healingWay: the kubelet's kubeconfig is, so that where the cluster is cannot be told for a moment (client, credential).
	healingWay bool
	// lacksSince is since when the certificate in use lacks a wanted name; namesAsked is when another was last asked for because of that.
	lacksSince, namesAsked time.Time
	// differsSince is since when the request is not what is wanted; mismatchSince since when the node has another name.
	differsSince, mismatchSince time.Time
}

// credentialMemory is what is remembered of the bootstrap kubeconfig, by its fingerprint.
type credentialMemory struct {
	memory
	// seen is the one that was there at the last look; used is the one that the client's request was last sent with.
	seen, used string
	// usedID is the ID of the bootstrap token in used, which is no secret; "" if it is no bootstrap token.
	usedID string
	// sameCluster: it leads to the cluster that knows this node.
	sameCluster string
	// settled: all that was to do about it is done, or only a person can do more.
	settled string
	// replacesBy: it is to replace the identity, which its cluster does not accept.
	replacesBy string
	// refusedSince is since when the node's own cluster does not accept the identity.
	refusedSince time.Time
}

type addressMemory struct {
	memory
	ips     []net.IP
	known   bool
	foundAt time.Time
}

// fail plans the next attempt after a failure and returns its time.
func (m *memory) fail(kind rotate.Failure, now time.Time, asked time.Duration, trouble string) time.Time {
	if m.failure != kind {
		m.failures = 0
	}
	m.failure = kind
	m.retryAt = now.Add(rotate.Wait(kind, m.failures, rand.Float64(), asked))
	m.failures++
	m.trouble = trouble
	return m.retryAt
}

// What may succeed without anything else being done, and then ends its own failure and no other.
const (
	readFiles = "read the files"
	syncFiles = "sync what is on the disk"
)

// can ends a failure to do this with the files.
func (m *memory) can(what string) {
	if m.failure == rotate.LocalTrouble && m.cannot == what {
		m.succeed()
	}
}

// failDisk is fail for trouble with the files.
func (m *memory) failDisk(now time.Time, what string, err error) time.Time {
	m.cannot = what
	return m.fail(rotate.LocalTrouble, now, 0, fmt.Sprintf("cannot %s: %v", what, durable.WithRemedy(err)))
}

// succeed forgets failures.
func (m *memory) succeed() {
	m.failure, m.failures, m.retryAt, m.trouble = "", 0, time.Time{}, ""
}

// noteUnread ends the waiting when what could not be read can be.
func (m *memory) noteUnread(err error) {
	if err == nil {
		m.can(readFiles)
	}
}

func (m *memory) proved(p *csr.Pending) bool {
	return m.provedLeaf != nil && bytes.Equal(m.provedLeaf, leafBytes(p.CertificatePEM))
}

func leafBytes(certificates []byte) []byte {
	block, _ := pem.Decode(certificates)
	if block == nil {
		return nil
	}
	return block.Bytes
}

// compareWish notes since when the request under way is not what is wanted.
func (m *memory) compareWish(p *csr.Pending, wish *csr.Wish, now time.Time) {
	if p == nil || wish == nil || p.Wish.Covers(*wish) {
		m.differsSince = time.Time{}
	} else if m.differsSince.IsZero() {
		m.differsSince = now
	}
}

// noteLacking notes since when the certificate in use lacks a wanted name.
func (m *memory) noteLacking(lacking []string, now time.Time) {
	if len(lacking) == 0 {
		m.lacksSince = time.Time{}
	} else if m.lacksSince.IsZero() {
		m.lacksSince = now
	}
}

// lacksName says whether a wanted name has been missing for so long that it is no address which comes and goes.
func (m *memory) lacksName(now time.Time) bool {
	return !m.lacksSince.IsZero() && now.Sub(m.lacksSince) >= differenceLasts
}

// lacksLong is lacksName as far as it may lead to a request: at most once an hour.
func (m *memory) lacksLong(now time.Time) bool {
	return m.lacksName(now) && (m.namesAsked.IsZero() || now.Sub(m.namesAsked) >= giveUpEvery)
}

func (m *memory) noteMismatch(mismatch bool, now time.Time) {
	if !mismatch {
		m.mismatchSince = time.Time{}
	} else if m.mismatchSince.IsZero() {
		m.mismatchSince = now
	}
}

func (m *memory) mismatched(now time.Time) bool {
	return !m.mismatchSince.IsZero() && now.Sub(m.mismatchSince) >= nameMismatch
}
