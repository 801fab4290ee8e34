package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// maxInput is far above any CA bundle or kubeconfig.
const maxInput = 1 << 20

// invitation reads and checks all that was given, also what the outputs do not need, and demands what they do. words are for a person.
func (j *joining) invitation(outputs []join.Output) (i join.Invitation, words []string, err error) {
	if i.Groups, err = join.CheckGroups(j.groups); err != nil {
		return i, nil, fmt.Errorf("--group: %w", err)
	}
	if i.Token, err = j.token(); err != nil {
		return i, nil, err
	}
	i.Until, i.Discovery = now().Add(time.Duration(j.ttl)).Truncate(time.Second), j.discovery
	i.Cluster, words, err = j.cluster(
		j.dir != "" || slices.ContainsFunc(outputs, join.Output.NeedsServer),
		j.dir != "" || slices.ContainsFunc(outputs, join.Output.NeedsCA))
	return i, words, err
}

func (j *joining) token() (discovery.Token, error) {
	if j.tokenFile == "" {
		return join.NewToken()
	}
	if _, err := discovery.ParseToken(j.tokenFile); err == nil {
		return discovery.Token{}, errors.New("--token-file is the token itself, which everybody on this machine can now read in the list of processes: make another one; the flag takes the name of a file, or - for standard input")
	}
	text, err := j.read("token-file", j.tokenFile)
	if err != nil {
		return discovery.Token{}, err
	}
	token, err := discovery.ParseToken(string(text))
	if err != nil {
		return discovery.Token{}, fmt.Errorf("--token-file %s: %w; one is made by: bootstrap-agent join-config --print=token", join.Conceal(j.tokenFile), err)
	}
	return token, nil
}

// cluster is where the nodes join: what the flags say, and else what the kubeconfig does.
func (j *joining) cluster(needsServer, needsCA bool) (c join.Cluster, words []string, err error) {
	place, err := j.place()
	if err != nil {
		return c, nil, err
	}
	whose := "--server: "
	if c.Server = j.server; c.Server == "" && place.Server != "" {
		whose = "--kubeconfig " + join.Conceal(j.kubeconfig) + ": "
		c.Server, c.TLSServerName = place.Server, place.TLSServerName
		if place.Proxied {
			words = append(words, "note: the kubeconfig leads through a proxy, which is left out: nodes have their own way to "+c.Server)
		}
	}
	switch {
	case c.Server != "":
		if err := c.Check(); err != nil {
			return c, nil, fmt.Errorf("%s%w", whose, err)
		}
		if join.OnlyHere(c.Server) {
			words = append(words, "note: "+c.Server+" is this machine alone; give --server as the nodes reach it")
		}
	case needsServer:
		return c, nil, errors.New("which API server is to be joined is not said; give --server=https://HOST:6443, or --kubeconfig=FILE")
	}
	var more []string
	if c.CA, more, err = j.authorities(place, needsCA); err != nil {
		return c, nil, err
	}
	return c, append(words, more...), nil
}

func (j *joining) place() (kubeconfig.Place, error) {
	if j.kubeconfig == "" {
		return kubeconfig.Place{}, nil
	}
	data, err := j.read("kubeconfig", j.kubeconfig)
	if err != nil {
		return kubeconfig.Place{}, err
	}
	path, err := filepath.Abs(j.kubeconfig)
	if err != nil {
		return kubeconfig.Place{}, err
	}
	place, err := kubeconfig.PlaceIn(path, data, j.context)
	if err != nil {
		return place, fmt.Errorf("--kubeconfig %s: %w", join.Conceal(j.kubeconfig), err)
	}
	return place, nil
}

// authorities are the cluster's CA.
func (j *joining) authorities(place kubeconfig.Place, needed bool) (ca []*x509.Certificate, words []string, err error) {
	var from string
	bundle := place.CA
	switch {
	case j.caFile != "":
		from = "--ca-file " + join.Conceal(j.caFile)
		bundle, err = j.read("ca-file", j.caFile)
	case len(bundle) > 0:
		from = "--kubeconfig " + join.Conceal(j.kubeconfig) + ": certificate-authority-data"
	case place.CAFile != "":
		from = "--kubeconfig " + join.Conceal(j.kubeconfig) + ": certificate-authority"
		bundle, err = j.read("kubeconfig", place.CAFile)
	case !needed:
		return nil, nil, nil
	case place.Unverified:
		return nil, nil, fmt.Errorf("--kubeconfig %s says insecure-skip-tls-verify and has no CA, and nodes join nobody whom they cannot verify; give --ca-file=FILE", join.Conceal(j.kubeconfig))
	default:
		return nil, nil, errors.New("the CA that nodes are to verify the API server with is not said; give --ca-file=FILE (on kubeadm's control plane nodes: /etc/kubernetes/pki/ca.crt), or --kubeconfig=FILE")
	}
	if err != nil {
		return nil, nil, err
	}
	ca, outside, err := join.Authorities(bundle, now())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", from, err)
	}
	for _, one := range outside {
		words = append(words, "note: "+from+": "+one+"; it is left out")
	}
	return ca, words, nil
}

// read reads a file that a flag names, or standard input. A pipe is as good as a file.
func (j *joining) read(flag, path string) ([]byte, error) {
	in := j.in
	if path != "-" || flag == "kubeconfig" {
		f, err := os.Open(path)
		if err != nil {
			return nil, unreadable(flag, path, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, unreadable(flag, path, err)
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("--%s %s: larger than the %d bytes that such a file can need", flag, join.Conceal(path), maxInput)
	}
	return data, nil
}

func unreadable(flag, path string, err error) error {
	if failed, is := errors.AsType[*fs.PathError](err); is {
		err = failed.Err // without the name: it may be no name
	}
	return fmt.Errorf("--%s %s cannot be read: %w", flag, join.Conceal(path), err)
}
