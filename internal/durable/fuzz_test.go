package durable

import (
	"path/filepath"
	"strings"
	"testing"
)

// namesOfOurs are the files that no sweep may ever take for a temporary one.
var namesOfOurs = []string{
	"kubelet-client-current.pem", "kubelet-client-2026-03-01-12-00-00.pem", "kubelet-server.pending.pem", "kubelet.crt", "kubelet.key.orig",
	"kubelet-apiserver-ca.crt", ".bootstrap-agent.lock", ".rotate-client", ".bootstrap.kubeconfig.used", "bootstrap.kubeconfig",
}

// FuzzIsTemp looks for a name whose temporary file would never be swept, and for one that is swept though temp never made it.
func FuzzIsTemp(f *testing.F) {
	for _, name := range namesOfOurs {
		f.Add(name)
		f.Add("." + name + ".ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp")
		f.Add("." + name + ".ABCDEFGHIJKLMNOPQRSTUVWXY1.tmp")
		f.Add("." + name + ".ABCDEFGHIJKLMNOPQRSTUVWXY.tmp")
	}
	f.Add("..ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp")
	f.Add(".a.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp\n")
	f.Fuzz(func(t *testing.T, name string) {
		for _, ours := range namesOfOurs {
			if IsTemp(ours) {
				t.Fatalf("%q counts as a temporary file", ours)
			}
		}
		if got, expected := IsTemp(name), lookedAtByHand(name); got != expected {
			t.Errorf("IsTemp(%q) is %v, by hand it is %v", name, got, expected)
		}
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return // the kernel has no such names
		}
		made := temp(filepath.Join("/folder", name))
		if filepath.Dir(made) != "/folder" || !IsTemp(filepath.Base(made)) {
			t.Errorf("the temporary file for %q is %q, which no sweep would find", name, made)
		}
	})
}

// lookedAtByHand is IsTemp without a pattern: a dot, a name, a dot, 26 characters of base32, ".tmp".
func lookedAtByHand(name string) bool {
	rest, isTmp := strings.CutSuffix(name, ".tmp")
	if !isTmp || len(rest) < len("..")+1+26 || rest[0] != '.' || rest[len(rest)-27] != '.' {
		return false
	}
	return strings.Trim(rest[len(rest)-26:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
