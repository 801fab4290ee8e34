package join

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Output is one of the things that can be printed.
type Output string

// What can be printed.
const (
	Secret          Output = "secret"
	Kubeconfig      Output = "kubeconfig"
	UserData        Output = "user-data"
	RBACManifests   Output = "rbac"
	StaticTokenLine Output = "static-token-line"
	TokenText       Output = "token"
	CACertHash      Output = "ca-cert-hash"
)

// Outputs are all of them, in the order of the documentation.
func Outputs() []Output {
	return []Output{Secret, Kubeconfig, UserData, RBACManifests, StaticTokenLine, TokenText, CACertHash}
}

// ParseOutputs reads what is to be printed. Manifests for kubectl apply can be printed together, anything else alone.
func ParseOutputs(names []string) ([]Output, error) {
	var outputs []Output
	for _, name := range names {
		o := Output(name)
		switch {
		case !slices.Contains(Outputs(), o):
			return nil, fmt.Errorf("%q cannot be printed; what can be is %s", Conceal(name), listed(Outputs()))
		case slices.Contains(outputs, o):
			return nil, fmt.Errorf("%s is there twice", o)
		}
		outputs = append(outputs, o)
	}
	if len(outputs) > 1 {
		for _, o := range outputs {
			if o != Secret && o != RBACManifests {
				return nil, fmt.Errorf("%s is a file of its own and cannot be printed together with another; only secret and rbac can, for kubectl apply; for one token in several calls: --token-file", o)
			}
		}
	}
	return outputs, nil
}

func listed(outputs []Output) string {
	var names []string
	for _, o := range outputs {
		names = append(names, string(o))
	}
	return strings.Join(names, ", ")
}

// NeedsServer says whether the output holds where the API server is.
func (o Output) NeedsServer() bool { return o == Kubeconfig || o == UserData }

// NeedsCA says whether the output holds something of the CA.
func (o Output) NeedsCA() bool { return o.NeedsServer() || o == CACertHash }

// HasToken says whether the output holds the token.
func (o Output) HasToken() bool { return o != RBACManifests && o != CACertHash }

// Print returns the outputs as one text.
func (i Invitation) Print(outputs []Output) (string, error) {
	var texts []string
	for _, o := range outputs {
		text, err := i.print(o)
		if err != nil {
			return "", err
		}
		texts = append(texts, text)
	}
	return documents(texts...), nil
}

func (i Invitation) print(o Output) (string, error) {
	switch o {
	case Secret:
		return i.Secret(), nil
	case Kubeconfig:
		if i.Discovery {
			return "", errors.New("with --discovery a node gets no kubeconfig, since it finds out server and CA itself; leave --discovery out, or print token")
		}
		return i.Kubeconfig()
	case UserData:
		return i.UserData()
	case RBACManifests:
		return RBAC(i.Groups)
	case StaticTokenLine:
		if i.Discovery {
			return "", errors.New("with --discovery the token has to be a Secret: kube-controller-manager signs cluster-info with no other; leave --discovery out, or print secret")
		}
		return i.StaticTokenLine(), nil
	case TokenText:
		return i.TokenFile(), nil
	case CACertHash:
		return strings.Join(Hashes(i.Cluster.CA), "\n") + "\n", nil
	}
	return "", fmt.Errorf("%q cannot be printed", string(o))
}
