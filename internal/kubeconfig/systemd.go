package kubeconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SystemdCredential is the name of the systemd credential that holds a bootstrap kubeconfig, as in
// LoadCredential=bootstrap.kubeconfig:/path (systemd.exec(5)).
const SystemdCredential = "bootstrap.kubeconfig"

// SystemdTokenCredential is the name of the systemd credential that holds a discovery token.
const SystemdTokenCredential = "discovery.token"

// systemdCredentials is where systemd puts the credentials of all units, each into a folder of its name.
const systemdCredentials = "/run/credentials"

// Where returns the file that is the bootstrap kubeconfig now: path, or the systemd credential in credentialsDirectory when
// nothing is at path, nor aside. A file that a person puts at path always wins, and what cannot be looked at counts as there.
func Where(path, credentialsDirectory string) string {
	return where(path, credentialsDirectory, SystemdCredential)
}

// WhereToken is [Where] for the discovery token; path may be empty, and then the answer is too when there is no credential.
func WhereToken(path, credentialsDirectory string) string {
	return where(path, credentialsDirectory, SystemdTokenCredential)
}

func where(path, credentialsDirectory, name string) string {
	if credentialsDirectory == "" || path != "" && (!absent(path) || !absent(AsideName(path))) {
		return path
	}
	credential := filepath.Join(credentialsDirectory, name)
	if _, err := os.Lstat(credential); err != nil {
		return path
	}
	return credential
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// IsSystemdCredential says whether path lies among systemd's credentials: those of this unit in credentialsDirectory, or those of
// any. Only their source can change or remove them.
func IsSystemdCredential(path, credentialsDirectory string) bool {
	below := func(folder string) bool {
		return folder != "" && strings.HasPrefix(filepath.Clean(path), strings.TrimSuffix(folder, "/")+"/")
	}
	return below(credentialsDirectory) || below(systemdCredentials)
}
