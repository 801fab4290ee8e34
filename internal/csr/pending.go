package csr

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/util/keyutil"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// Pending is a request under way, as the pending file keeps it: enough to go on after any crash, even when the bootstrap
// kubeconfig is gone.
type Pending struct {
	Wish Wish `json:"wish"`
	// Settings are the settings that led to the wish; another value means that a person has changed the configuration.
	Settings string `json:"settings,omitempty"`
	// Endpoint is where the request is sent, and where the identity is proved.
	Endpoint apiserver.Endpoint `json:"endpoint"`
	// Name of the CertificateSigningRequest.
	Name string `json:"name"`
	// Made is when the key was made, by our clock.
	Made time.Time `json:"made,omitzero"`
	// UID and Accepted are of the object, once the API server has it.
	UID      string    `json:"uid,omitempty"`
	Accepted time.Time `json:"accepted,omitzero"`
	// Key is how many keys came to nothing before this one, for the same wish.
	Key int `json:"key,omitempty"`
	// Deletions is how often the object was deleted by somebody; it is not sent again before AgainAt, by our clock.
	Deletions int       `json:"deletions,omitempty"`
	AgainAt   time.Time `json:"againAt,omitzero"`
	// Ended says how the request came to nothing, and when.
	Ended *Ended `json:"ended,omitempty"`
	// GivenUp is when a request for another wish was last given up in favour of this one.
	GivenUp time.Time `json:"givenUp,omitzero"`
	// AsNode: it was made to be sent with the node's own identity, so that an object which somebody else sent is none of ours.
	AsNode bool `json:"asNode,omitempty"`
	// Replaces: it is for an identity in the place of one that can be used and that its cluster does not accept any more.
	Replaces bool `json:"replaces,omitempty"`
	// RefusedSince is since when the issued certificate is not accepted.
	RefusedSince time.Time `json:"refusedSince,omitzero"`

	// KeyPEM, RequestPEM and CertificatePEM (leaf first; once issued) stand in PEM blocks of their own.
	KeyPEM         []byte `json:"-"`
	RequestPEM     []byte `json:"-"`
	CertificatePEM []byte `json:"-"`
}

// Ended is the end of a request that brought no certificate.
type Ended struct {
	Outcome Result    `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

const stateBlock = "BOOTSTRAP AGENT STATE"

// New makes a key and signs a request for wish with it. Nothing is sent.
func New(wish Wish, endpoint apiserver.Endpoint) (*Pending, error) {
	key, err := NewKey(wish.KeyAlgorithm)
	if err != nil {
		return nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, fmt.Errorf("encode the %s key: %w", wish.Kind, err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, wish.template(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the %s request: %w", wish.Kind, err)
	}
	name, err := nameOf(wish, key.Public())
	if err != nil {
		return nil, err
	}
	return &Pending{
		Wish: wish, Endpoint: endpoint, Name: name, KeyPEM: keyPEM,
		RequestPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
	}, nil
}

// nameOf makes the object's name from the node, the kind, and a hash of the public key and of all that is asked, so that every
// restart finds the same object, and another wish or key never does.
func nameOf(wish Wish, public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encode the %s public key: %w", wish.Kind, err)
	}
	asked, err := json.Marshal(wish)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(der, asked...))
	return fmt.Sprintf("%s-kubelet-%s-%s", wish.NodeName, wish.Kind, hex.EncodeToString(sum[:10])), nil
}

// PublicKey returns the key that the certificate will be for.
func (p *Pending) PublicKey() (crypto.PublicKey, error) {
	request, err := p.request()
	if err != nil {
		return nil, err
	}
	return request.PublicKey, nil
}

func (p *Pending) request() (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(p.RequestPEM)
	if block == nil {
		return nil, errors.New("holds no request")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// Headers of the state block: sums of what must be whole together, and of the certificate, without which the rest is still good.
const (
	requestSum     = "Request-Sha256"
	certificateSum = "Certificate-Sha256"
)

// Encode returns the pending file's content.
func (p *Pending) Encode() ([]byte, error) {
	state, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	issued := certificatesOf(p.CertificatePEM)
	sums := map[string]string{requestSum: sumOf(state, p.KeyPEM, p.RequestPEM), certificateSum: sumOf(issued)}
	var file bytes.Buffer
	fmt.Fprintf(&file, "%s request of bootstrap-agent, not yet answered. Holds a private key.\n", p.Wish.Kind)
	if err := pem.Encode(&file, &pem.Block{Type: stateBlock, Headers: sums, Bytes: state}); err != nil {
		return nil, err
	}
	for _, part := range [][]byte{p.KeyPEM, p.RequestPEM, issued} {
		file.Write(part)
	}
	return file.Bytes(), nil
}

func sumOf(parts ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return hex.EncodeToString(sum[:])
}

// certificatesOf returns the certificates of a PEM text in order, and nothing else that may stand in it.
func certificatesOf(text []byte) []byte {
	var certificates []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificates = append(certificates, pem.EncodeToMemory(block)...)
		}
	}
	return certificates
}

// DecodePending reads a pending file. What is incomplete or does not fit together is an error: such a file is of no use. A damaged
// certificate alone is none: it counts as not there, so that the same request brings it again.
func DecodePending(file []byte) (*Pending, error) {
	p := &Pending{CertificatePEM: certificatesOf(file)}
	state := &pem.Block{}
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == stateBlock:
			state = block
		case block.Type == "CERTIFICATE REQUEST":
			p.RequestPEM = pem.EncodeToMemory(block)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			p.KeyPEM = pem.EncodeToMemory(block)
		}
	}
	if state.Headers[requestSum] != sumOf(state.Bytes, p.KeyPEM, p.RequestPEM) || json.Unmarshal(state.Bytes, p) != nil {
		return nil, errors.New("it is damaged or cut off")
	}
	if state.Headers[certificateSum] != sumOf(p.CertificatePEM) {
		p.CertificatePEM = nil
	}
	return p, p.check()
}

func (p *Pending) check() error {
	request, err := p.request()
	if err != nil {
		return fmt.Errorf("its request is damaged: %w", err)
	}
	key, err := keyutil.ParsePrivateKeyPEM(p.KeyPEM)
	if err != nil {
		return errors.New("its private key is missing or damaged")
	}
	signer, ok := key.(crypto.Signer)
	if !ok || !publicKeysEqual(signer.Public(), request.PublicKey) {
		return errors.New("its request was made with another key")
	}
	name, err := nameOf(p.Wish, request.PublicKey)
	if err != nil || name != p.Name {
		return errors.New("its name does not follow from its key and wish")
	}
	return nil
}

func publicKeysEqual(a, b crypto.PublicKey) bool {
	comparable, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(b)
}
