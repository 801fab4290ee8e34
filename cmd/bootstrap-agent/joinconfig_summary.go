package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

// maxUserData is the least that a cloud takes: EC2, before it encodes them.
const maxUserData = 16 << 10

// summary says what was made and what is to be done with it. No secret is in it: the ID of a token is the name of its Secret.
func (j *joining) summary(i join.Invitation, outputs []join.Output, folder join.Folder, files []join.File) []string {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	until := i.Until.UTC().Format(time.RFC3339)
	static := slices.Contains(outputs, join.StaticTokenLine)
	if j.dir != "" || slices.ContainsFunc(outputs, join.Output.HasToken) && !static {
		say("token %s for %s, good until %s", i.Token.ID, groupsOf(i), until)
	}
	if static {
		say("token %s for %s; a static token has no end: take its line out again, and restart kube-apiserver", i.Token.ID, groupsOf(i))
	}
	if join.Long(time.Duration(j.ttl)) && !static {
		say("note: for more than a day everybody who comes upon a copy of the token can join; one for each node, with a life of minutes, is safer")
	}
	if j.dir == "" {
		return words
	}
	say("written: %s", join.Conceal(folder.Paths(files)))
	if !slices.Contains(outputs, join.Secret) {
		say("next: kubectl apply -f %s", inFolder(j.dir, join.SecretFile))
	}
	say("then start a node with %s, or %s", inFolder(j.dir, join.UserDataFile), byHand(j.dir, i.Discovery))
	return words
}

// sizeOf notices user-data that some clouds do not take, written or printed.
func sizeOf(outputs []join.Output, printed string, files []join.File) []string {
	size := 0
	if slices.Contains(outputs, join.UserData) {
		size = len(printed)
	}
	for _, file := range files {
		if file.Name == join.UserDataFile {
			size = len(file.Content)
		}
	}
	if size <= maxUserData {
		return nil
	}
	return []string{fmt.Sprintf("note: the user-data have %d bytes, and some clouds take %d; with --discovery there is no CA in them", size, maxUserData)}
}

func groupsOf(i join.Invitation) string {
	return strings.Join(append([]string{"system:bootstrappers"}, i.Groups...), ", ")
}

func byHand(dir string, discovery bool) string {
	if discovery {
		return fmt.Sprintf("put %s there as /etc/kubernetes/bootstrap.token and %s as /etc/bootstrap-agent/config.yaml", inFolder(dir, join.TokenFileName), inFolder(dir, join.ConfigFile))
	}
	return fmt.Sprintf("put %s there as /etc/kubernetes/bootstrap.kubeconfig", inFolder(dir, join.KubeconfigFile))
}

// inFolder is a path that a shell takes as it is.
func inFolder(dir, name string) string { return screen.Quote(join.Conceal(filepath.Join(dir, name))) }
