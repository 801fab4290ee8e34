package scenarios

// Fate is what becomes of one kind of bootstrap credential once the node's identity is proved and on the disk.
type Fate struct {
	// Name is how the row is called, in tests and documentation.
	Name string
	// What credential it is, and where it lies.
	What string
	// Becomes is what becomes of it.
	Becomes Becomes
	// Says is part of what the agent logs about it, once in its life, at Level; nothing where there is nothing to say.
	Level, Says string
	// Status is the exit code of the status command afterwards; where it is not 0, a finding names the file.
	Status int
	// Remedy is what a person may want to do.
	Remedy string
}

// Becomes is what becomes of a credential.
type Becomes string

// What becomes of credentials.
const (
	Deleted Becomes = "deleted"
	Kept    Becomes = "kept, as it should be"
	Stays   Becomes = "stays, and should not"
	Unused  Becomes = "not used"
)

// Exit codes of status.
const (
	well      = 0
	broken    = 3
	attention = 4
)

const (
	deletedText = "deleted the used bootstrap credential"
	stuckText   = "the used bootstrap credential is still on the disk"
	stuck       = "make the file system let it go, or remove the file; the agent tries again every hour"
	systemdText = "it is a systemd credential, which only its source can remove"
	byHand      = "remove the file if nothing else needs it"
)

// Fates is the table.
var Fates = []Fate{
	{"token", "`token` in the kubeconfig", Deleted, "INFO", deletedText, well, ""},
	{"embedded-key", "`client-key-data` in the kubeconfig", Deleted, "INFO", deletedText, well, ""},
	{"linked-kubeconfig", "the kubeconfig is a link to a file in its folder", Deleted, "INFO", deletedText, well, ""},
	{"token-file", "`tokenFile` in the kubeconfig's folder", Deleted, "INFO", deletedText, well, "the kubeconfig that names it stays: there is no secret in it"},
	{"linked-token-file", "`tokenFile` is a link to a file in the kubeconfig's folder", Deleted, "INFO", deletedText, well, "as above"},
	{"discovery-token", "the file of a discovery token", Deleted, "INFO", deletedText, well, "a discovery file stays: there is no secret in it"},
	{"linked-discovery-token", "the file of a discovery token is a link to a file in its folder", Deleted, "INFO", deletedText, well, "as above"},

	{"exec-plugin", "`exec`", Kept, "INFO", "an exec plugin is no secret", well, ""},
	{"keep", "any, with `--keep-bootstrap-kubeconfig`", Kept, "", "", well, ""},
	{"systemd-default", "the systemd credential `bootstrap.kubeconfig`, with no file at `--bootstrap-kubeconfig`", Kept, "INFO", systemdText, well, "remove it from the unit's `LoadCredential=`, and its source"},
	{"systemd-credential", "`--bootstrap-kubeconfig` names a file below `$CREDENTIALS_DIRECTORY`", Kept, "INFO", systemdText, well, "as above"},
	{"systemd-token-file", "`tokenFile` below `$CREDENTIALS_DIRECTORY`", Kept, "INFO", systemdText, well, "as above"},
	{"systemd-both", "`tokenFile: token` in the systemd credential `bootstrap.kubeconfig`, which is another one", Kept, "INFO", systemdText, well, "as above"},
	{"systemd-discovery-token", "the systemd credential `discovery.token`, with no file at `--discovery-token-file`", Kept, "INFO", systemdText, well, "as above"},

	{"key-by-path", "`client-key`, a file", Stays, "WARN", "a client key given by path is not ours to delete", attention, byHand},
	{"token-file-elsewhere", "`tokenFile` in another folder", Stays, "WARN", "a tokenFile outside the kubeconfig's folder is not ours to delete", attention, byHand},
	{"token-file-below", "`tokenFile` in a folder below the kubeconfig's", Stays, "WARN", "a tokenFile outside the kubeconfig's folder is not ours to delete", attention, byHand},
	{"token-file-linked-away", "`tokenFile` is a link into another folder", Stays, "WARN", "in another folder, which is not ours to delete", attention, byHand},
	{"kubeconfig-linked-away", "the kubeconfig is a link into another folder", Stays, "WARN", "in another folder, which is not ours to delete", attention, byHand},
	{"discovery-token-linked-away", "the file of a discovery token is a link into another folder", Stays, "WARN", "in another folder, which is not ours to delete", attention, byHand},
	{"second-name", "the file has a second name (hard link)", Stays, "WARN", "has 2 names (hard links)", attention, "remove all of its names"},
	{"read-only", "the file system is read-only", Stays, "WARN", stuckText, attention, stuck},
	{"busy", "the file is a mount point, as in a container", Stays, "WARN", stuckText, attention, stuck},
	{"immutable", "the file is immutable (`chattr +i`)", Stays, "WARN", stuckText, attention, stuck},

	{"token-file-of-another-user", "`tokenFile` of a user other than root", Unused, "ERROR", "belongs to user", broken, "`chown root` it, if it is to be trusted"},
	{"discovery-token-of-another-user", "the file of a discovery token of a user other than root", Unused, "ERROR", "belongs to user", broken, "as above"},
}
