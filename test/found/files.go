package found

// Kind is what a file is, when all is well. It decides which states make sense.
type Kind string

// The kinds of files.
const (
	Pair       Kind = "pair"       // certificate and key in one PEM text
	PairLink   Kind = "pair link"  // the link to the current pair
	Link       Kind = "link"       // the kubelet's own name for one half of the serving pair
	Half       Kind = "half"       // a certificate or a key alone
	Pending    Kind = "pending"    // a request under way
	CA         Kind = "CA"         // a bundle
	Kubeconfig Kind = "kubeconfig" // YAML
	Plain      Kind = "plain"      // its content means nothing, or nothing but itself
	Folder     Kind = "folder"
)

// Around is what the rest of the node is like.
type Around string

// The nodes.
const (
	Fresh       Around = "fresh"            // nothing is there yet
	Joined      Around = "joined"           // both certificates and all files
	JoinedOlder Around = "joined and older" // and the client certificate before, still valid
	OwnPair     Around = "own pair"         // joined, with the kubelet's own serving pair and none of ours
)

// File is one file that the agent knows.
type File struct {
	// Name of the row.
	Name string
	// Path is what is put into a state, below the node's folder.
	Path string
	Kind Kind
	// Blocks is how many PEM blocks it has.
	Blocks int
	Around Around
	// IsCredential: the file itself is the bootstrap credential.
	IsCredential bool
}

// Files is every file, some of them more than once: what they mean depends on what is beside them.
var Files = []File{
	{"bootstrap.kubeconfig", "bootstrap.kubeconfig", Kubeconfig, 0, Fresh, true},
	{"bootstrap.kubeconfig beside an identity", "bootstrap.kubeconfig", Kubeconfig, 0, Joined, true},
	{"bootstrap.kubeconfig.used", ".bootstrap.kubeconfig.used", Kubeconfig, 0, Fresh, false},
	{"bootstrap.kubeconfig.used beside an identity", ".bootstrap.kubeconfig.used", Kubeconfig, 0, Joined, false},
	{"kubelet.kubeconfig", "kubelet.kubeconfig", Kubeconfig, 0, Joined, false},
	{"cert-dir", "pki", Folder, 0, Joined, false},
	{"client link", "pki/kubelet-client-current.pem", PairLink, 0, Joined, false},
	{"client link beside an older pair", "pki/kubelet-client-current.pem", PairLink, 0, JoinedOlder, false},
	{"client pair", "pki/" + ClientPair, Pair, 2, Joined, false},
	{"client pair beside an older one", "pki/" + ClientPair, Pair, 2, JoinedOlder, false},
	{"older client pair", "pki/" + OlderPair, Pair, 2, JoinedOlder, false},
	{"serving link", "pki/kubelet-server-current.pem", PairLink, 0, Joined, false},
	{"serving pair", "pki/" + ServingPair, Pair, 2, Joined, false},
	{"kubelet.crt", "pki/kubelet.crt", Link, 0, Joined, false},
	{"kubelet.key", "pki/kubelet.key", Link, 0, Joined, false},
	{"kubelet.crt of the kubelet", "pki/kubelet.crt", Half, 1, OwnPair, false},
	{"kubelet.key of the kubelet", "pki/kubelet.key", Half, 1, OwnPair, false},
	{"client request", "pki/kubelet-client.pending.pem", Pending, 3, Fresh, false},
	{"client request with its certificate", "pki/kubelet-client.pending.pem", Pending, 4, Fresh, false},
	{"client request beside an identity", "pki/kubelet-client.pending.pem", Pending, 3, Joined, false},
	{"client request with its certificate beside an identity", "pki/kubelet-client.pending.pem", Pending, 4, Joined, false},
	{"serving request", "pki/kubelet-server.pending.pem", Pending, 3, OwnPair, false},
	{"serving request with its certificate", "pki/kubelet-server.pending.pem", Pending, 4, OwnPair, false},
	{"serving request beside a certificate", "pki/kubelet-server.pending.pem", Pending, 3, Joined, false},
	{"serving request with its certificate beside a certificate", "pki/kubelet-server.pending.pem", Pending, 4, Joined, false},
	{"kubelet-apiserver-ca.crt", "pki/kubelet-apiserver-ca.crt", CA, 1, Joined, false},
	{"kubelet-client-ca.crt", "pki/kubelet-client-ca.crt", CA, 1, Joined, false},
	{"kubelet.crt.orig", "pki/kubelet.crt.orig", Plain, 0, Joined, false},
	{"kubelet.key.orig", "pki/kubelet.key.orig", Plain, 0, OwnPair, false},
	{".rotate-client", "pki/.rotate-client", Plain, 0, Joined, false},
	{".rotate-serving", "pki/.rotate-serving", Plain, 0, Joined, false},
	{"temporary file", "pki/.kubelet-client.pending.pem.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", Plain, 0, Joined, false},
	{"lock file", "pki/.bootstrap-agent.lock", Plain, 0, Joined, false},
}

// Names of the pairs' own files, as the kubelet would name them.
const (
	ClientPair  = "kubelet-client-2026-01-02-03-04-05.pem"
	OlderPair   = "kubelet-client-2025-12-02-03-04-05.pem"
	ServingPair = "kubelet-server-2026-01-02-03-04-05.pem"
)
