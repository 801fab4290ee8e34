package kubeconfig

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// bearerToken is what RFC 6750 lets a bearer token consist of; anything else breaks the header.
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`)

func (b *Bootstrap) readCredential(user *clientcmdapi.AuthInfo) error {
	source, err := sourceOf(user)
	if err != nil {
		return err
	}
	b.Source = source
	switch source {
	case InlineToken:
		b.Credential.Token, err = checkToken("token", user.Token)
	case TokenFile:
		b.SecretFile = user.TokenFile
		var text []byte
		if text, err = b.readSecret("tokenFile", user.TokenFile); err == nil {
			b.Credential.Token, err = checkToken("tokenFile "+user.TokenFile, string(bytes.TrimSpace(text)))
		}
	case EmbeddedKey:
		b.Credential.KeyPEM = user.ClientKeyData
		err = b.readCertificate(user)
	case KeyFile:
		b.SecretFile = user.ClientKey
		if b.Credential.KeyPEM, err = b.readSecret("client-key", user.ClientKey); err == nil {
			err = b.readCertificate(user)
		}
	case ExecPlugin:
		b.Credential.Exec = user.Exec
		err = checkExec(user.Exec)
	}
	return err
}

var errNoSource = errors.New("the user has no credential: give one of token, tokenFile, client-certificate with client-key, exec")

// sourceOf finds the one credential of a user. Two are refused: nobody could say which of them has been disposed of.
func sourceOf(user *clientcmdapi.AuthInfo) (Source, error) {
	if user.Username != "" || user.Password != "" || user.AuthProvider != nil {
		return "", errors.New("username, password and auth-provider are not supported by the API server any more; give a token")
	}
	if user.Impersonate != "" || len(user.ImpersonateGroups) > 0 || user.ImpersonateUID != "" {
		return "", errors.New("impersonation is not a way to bootstrap; remove the as fields")
	}
	present := []struct {
		there  bool
		source Source
	}{
		{user.Token != "", InlineToken},
		{user.TokenFile != "", TokenFile},
		{len(user.ClientKeyData) > 0, EmbeddedKey},
		{user.ClientKey != "", KeyFile},
		{user.Exec != nil, ExecPlugin},
	}
	var found []string
	var source Source
	for _, p := range present {
		if p.there {
			found = append(found, string(p.source))
			source = p.source
		}
	}
	switch len(found) {
	case 1:
		return source, nil
	case 0:
		return "", errNoSource
	}
	return "", fmt.Errorf("the user has more than one credential (%s); keep one", strings.Join(found, ", "))
}

func checkToken(field, token string) (string, error) {
	if !bearerToken.MatchString(token) {
		return "", fmt.Errorf("%s is malformed: a bearer token has letters, digits and -._~+/ only; a bootstrap token looks like 6 characters, a dot, 16 characters", field)
	}
	return token, nil
}

func (b *Bootstrap) readSecret(field, path string) ([]byte, error) {
	file, err := readNamed(b.Path, field, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoCredential, calling(b.Path, field, path))
	}
	if err != nil {
		return nil, err
	}
	b.used[path], b.SecretMode = file.Data, file.Info.Mode().Perm()
	return file.Data, nil
}

func (b *Bootstrap) readCertificate(user *clientcmdapi.AuthInfo) error {
	certificate := user.ClientCertificateData
	if len(certificate) == 0 {
		if user.ClientCertificate == "" {
			return errors.New("has a client key but no client certificate")
		}
		file, err := readNamed(b.Path, "client-certificate", user.ClientCertificate)
		if err != nil {
			return err
		}
		certificate = file.Data
	}
	// the text of tls errors names block types and never their contents
	if _, err := tls.X509KeyPair(certificate, b.Credential.KeyPEM); err != nil {
		return fmt.Errorf("client certificate and key do not make a pair: %w", err)
	}
	b.Credential.CertificatePEM = certificate
	return nil
}

// Plugin returns the exec credential plugin that the kubeconfig at path names in its current context; empty: none, as far as it can be read.
func Plugin(path string) string {
	file, err := durable.ReadTrusted(path, maxSize)
	if err != nil {
		return ""
	}
	_, user, err := current(path, file.Data)
	if err != nil || user.Exec == nil {
		return ""
	}
	return user.Exec.Command
}

func checkExec(exec *clientcmdapi.ExecConfig) error {
	if exec.Command == "" {
		return errors.New("exec.command is missing")
	}
	if exec.InteractiveMode == clientcmdapi.AlwaysExecInteractiveMode {
		return errors.New("exec.interactiveMode is Always: nobody can answer a service")
	}
	return nil
}
