// Package rbac holds the RBAC manifests that a cluster needs for nodes to join by bootstrap-agent, so that tests apply
// the very files that users apply.
package rbac

import "embed"

// Manifests are the manifests of this folder, *.yaml.
//
//go:embed *.yaml
var Manifests embed.FS
