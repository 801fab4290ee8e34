// Package cloudinit holds the user-data for nodes that join by bootstrap-agent, so that tests boot from the very files that users
// fill in.
package cloudinit

import "embed"

// Files are the user-data of this folder, user-data*.yaml, each with <VALUES> to put in, and the script that removes its copies.
//
//go:embed user-data*.yaml forget-user-data.sh
var Files embed.FS
