package found

import "slices"

// Groups of states.
var (
	gone      = []string{"missing", "dangling link"}
	denied    = []string{"unreadable", "of another user"}
	untrusty  = []string{"of another user, readable", "writable by others"}
	asGood    = slices.Concat([]string{"good", "link elsewhere"}, untrusty)
	immovable = []string{"immutable", "folder"}
	cutIssued = []string{"cut after block 3", "cut within block 4"} // only the certificate is damaged
)

func group(names ...string) []string { return names }

// with adds to a group of states.
func with(states []string, more ...string) []string { return slices.Concat(states, more) }

// Rows is the table. The first row that matches counts.
var Rows = slices.Concat(bootstrapRows, dirRows, clientRows, servingRows, clientRequestRows, servingRequestRows, otherRows)

// What the agent says in several rows.
const (
	cannotRead    = "cannot read the files; nothing is changed until that is possible"
	cannotChange  = "cannot change the files"
	wanting       = "waiting for a bootstrap credential"
	another       = "the pending request on disk is of no use, making another"
	ofNoUse       = "the request on disk is of no use, the next one takes its place"
	gaveUp        = "gave up a certificate signing request"
	placeholder   = "a placeholder takes its place"
	tooEarly      = "the issued certificate is valid from"
	tooLate       = "the request came to nothing"
	renamed       = "this machine is called"
	stays         = "a bootstrap secret stays on the disk"
	undeletable   = "the used bootstrap credential is still on the disk"
	unsettled     = "cannot settle a bootstrap credential that lies aside"
	askingAgain   = "the certificate on disk cannot be used, asking for another"
	olderIsGood   = "the current client certificate cannot be used; an older one can"
	anotherIsGood = "the current serving certificate cannot be used; another one that is there can"
	notTouched    = "a bootstrap kubeconfig beside a working identity was not touched"

	theCredential = "bootstrap.kubeconfig"
	theRequest    = "kubectl delete csr"
)

var (
	beforeJoining = group("bootstrap.kubeconfig")
	afterJoining  = group("bootstrap.kubeconfig beside an identity")
	aside         = group("bootstrap.kubeconfig.used")
	asideJoined   = group("bootstrap.kubeconfig.used beside an identity")
)

var bootstrapRows = []Row{
	{beforeJoining, gone, Either, Waits, 3, wanting, ""},
	{beforeJoining, group("good"), Either, Joins, 0, "", ""},
	{beforeJoining, group("link elsewhere"), Either, Joins, 0, stays, ""},
	{beforeJoining, group("immutable"), Either, Joins, 0, undeletable, ""},
	{beforeJoining, nil, Either, NotUsed, 2, "bootstrap kubeconfig", ""},

	{afterJoining, gone, Either, LeftAlone, 0, "", ""},
	{afterJoining, group("good"), Either, Removed, 0, "", ""},
	{afterJoining, group("link elsewhere"), Either, LeftAlone, 0, stays, ""},
	{afterJoining, group("immutable"), Either, LeftAlone, 0, undeletable, ""},
	{afterJoining, nil, Either, NotUsed, 2, "bootstrap kubeconfig", ""},

	{aside, group("folder", "immutable"), With, Joins, 0, unsettled, ""},
	{aside, nil, With, Joins, 0, "", ""},
	{aside, group("good"), Without, Joins, 0, "", ""},
	{aside, group("link elsewhere"), Without, Joins, 0, stays, ""},
	{aside, group("immutable"), Without, Mended, 3, unsettled, ""},
	{aside, with(gone, "link in a ring"), Without, Waits, 3, wanting, theCredential},
	{aside, denied, Without, NotUsed, 1, "not usable: bootstrap kubeconfig", ""},
	{aside, nil, Without, NotUsed, 2, "not usable: bootstrap kubeconfig", ""},

	{asideJoined, group("missing"), Either, LeftAlone, 0, "", ""},
	{asideJoined, group("immutable"), Either, LeftAlone, 0, unsettled, ""},
	{asideJoined, group("folder"), With, LeftAlone, 0, unsettled, ""},
	{asideJoined, nil, With, Removed, 0, "", ""},
	{asideJoined, group("good"), Without, Removed, 0, "", ""},
	{asideJoined, group("dangling link", "link in a ring"), Without, PutBack, 0, "", ""},
	{asideJoined, group("link elsewhere"), Without, PutBack, 0, stays, ""},
	{asideJoined, nil, Without, PutBack, 0, "not usable: bootstrap kubeconfig", ""},
}

var dirRows = []Row{
	{group("cert-dir"), group("missing", "empty"), With, Joins, 0, "", ""},
	{group("cert-dir"), group("missing", "empty"), Without, Waits, 3, wanting, theCredential},
	{group("cert-dir"), group("link elsewhere"), Either, Used, 0, "", ""},
	{group("cert-dir"), nil, Either, Refused, 2, "cert-dir", ""},
}

var (
	clientLinks = group("client link", "client link beside an older pair")
	clientPairs = group("client pair", "client pair beside an older one")
)

var clientRows = []Row{
	{clientLinks, group("regular file", "link elsewhere", "of another user"), Either, Used, 0, "", ""},
	{clientLinks, group("folder"), With, Mended, 1, "a folder stands there", ""},
	{clientLinks, group("folder"), Without, Mended, 3, "a folder stands there", ""},
	{clientLinks, nil, Either, Healed, 0, olderIsGood, ""},

	{clientPairs, with(asGood, "immutable"), Either, Used, 0, "", ""},
	{clientPairs, group("not yet valid"), Without, Used, 0, "", ""},
	{clientPairs, group("not yet valid"), With, Used, 0, notTouched, theCredential},
	{clientPairs, group("of another node"), Without, Used, 0, renamed, "system:node:"},
	{clientPairs, group("of another node"), With, Later, 1, renamed, "system:node:"},
	{clientPairs, denied, Either, Mended, 1, cannotRead, ""},
	{clientPairs[1:], nil, Either, Healed, 0, olderIsGood, ""},
	{clientPairs[:1], nil, With, Asked, 0, askingAgain, ""},
	{clientPairs[:1], group("expired"), Without, Waits, 3, "the client certificate expired", theCredential},
	{clientPairs[:1], nil, Without, Waits, 3, "the client certificate cannot be used", ""},
	{group("older client pair"), nil, Either, LeftAlone, 0, "", ""},
}

var (
	servingNames = group("kubelet.crt", "kubelet.key")
	ownPair      = group("kubelet.crt of the kubelet", "kubelet.key of the kubelet")
)

var servingRows = []Row{
	{group("serving link"), group("regular file", "link elsewhere", "of another user"), Either, Used, 0, "", ""},
	{group("serving link"), group("folder"), Either, Mended, 1, "a folder stands there", ""},
	{group("serving link"), nil, Either, Healed, 0, anotherIsGood, ""},

	{group("serving pair"), with(asGood, "immutable", "not yet valid", "of another node"), Either, Used, 0, "", ""},
	{group("serving pair"), denied, Either, Mended, 1, cannotRead, ""},
	{group("serving pair"), nil, Either, AskedServing, 0, placeholder, ""},

	{servingNames, group("of another user"), Either, Used, 0, "", ""},
	{servingNames, group("immutable", "folder", "unreadable", "1 GB"), Either, Mended, 1, `to="repair the kubelet's serving links"`, ""},
	{servingNames, nil, Either, Healed, 0, "", ""},

	{ownPair, denied, Either, Mended, 1, cannotRead, ""},
	{ownPair, group("immutable"), Either, Mended, 4, `to="store the serving certificate"`, ""},
	{ownPair, group("folder", "1 GB"), Either, Mended, 1, `to="store the placeholder serving certificate"`, ""},
	{ownPair, with(asGood, "not yet valid", "of another node"), Either, AskedServing, 0, "", ""},
	{ownPair[:1], gone, Either, AskedServing, 0, "", ""},
	{ownPair[1:], group("expired"), Either, AskedServing, 0, placeholder, "kubelet.crt"},
	{ownPair, nil, Either, AskedServing, 0, placeholder, ""},
}

var (
	clientRequest      = group("client request")
	clientIssued       = group("client request with its certificate")
	clientRequests     = group("client request", "client request with its certificate")
	clientRequestLater = group("client request beside an identity")
	clientIssuedLater  = group("client request with its certificate beside an identity")
	laterRequests      = slices.Concat(clientRequestLater, clientIssuedLater, servingRequestLater, servingIssuedLater)
)

var clientRequestRows = []Row{
	{clientRequests, denied, Either, Mended, 1, cannotRead, ""},
	{clientRequests, group("folder"), With, Mended, 1, cannotChange, ""},
	{clientRequests, group("folder"), Without, Mended, 3, wanting, theCredential},
	{clientRequest, group("immutable"), With, Mended, 1, cannotChange, ""},
	{clientRequest, group("immutable"), Without, Mended, 3, wanting, theCredential},
	{clientRequest, with(asGood, "expired", "not yet valid"), With, Resumed, 0, "", ""},
	{clientRequest, group("of another node"), With, Joins, 0, gaveUp, theRequest},

	{clientIssued, asGood, Either, Resumed, 0, "", ""},
	{clientIssued, group("immutable"), Either, Mended, 1, cannotChange, ""},
	{clientIssued, group("not yet valid"), Either, Mended, 1, tooEarly, "certificate=client"},
	{clientIssued, group("expired"), Either, Ended, 3, tooLate, "certificate=client"},
	{clientIssued, group("of another node"), With, Later, 1, renamed, "system:node:"},
	{clientIssued, group("of another node"), Without, Resumed, 0, renamed, "system:node:"},
	{clientIssued, cutIssued, With, Resumed, 0, "", ""},

	{clientRequests, gone, With, Joins, 0, "", ""},
	{clientRequests, nil, With, Joins, 0, another, ""},
	{clientRequests, nil, Without, Waits, 3, wanting, theCredential},

	{laterRequests, gone, Either, LeftAlone, 0, "", ""},
	{laterRequests, denied, Either, LeftAlone, 0, cannotRead, ""},
	{clientRequestLater, with(asGood, "expired", "not yet valid", "of another node"), Either, Removed, 0, gaveUp, theRequest},
	{clientIssuedLater, asGood, Either, Resumed, 0, "", ""},
	{clientIssuedLater, group("not yet valid"), Either, Mended, 1, tooEarly, "certificate=client"},
	{clientIssuedLater, with(cutIssued, "expired", "of another node"), Either, Removed, 0, gaveUp, theRequest},
	{slices.Concat(clientRequestLater, clientIssuedLater), group("immutable"), Either, Mended, 1, cannotChange, ""},
}

var (
	servingRequest      = group("serving request")
	servingIssued       = group("serving request with its certificate")
	servingRequests     = group("serving request", "serving request with its certificate")
	servingRequestLater = group("serving request beside a certificate")
	servingIssuedLater  = group("serving request with its certificate beside a certificate")
)

var servingRequestRows = []Row{
	{servingRequests, denied, Either, Mended, 4, cannotRead, ""},
	{servingRequests, immovable, Either, Mended, 4, cannotChange, ""},
	{servingRequests, gone, Either, AskedServing, 0, "", ""},
	{servingRequest, with(asGood, "expired", "not yet valid"), Either, Resumed, 0, "", ""},
	{servingRequest, group("of another node"), Either, AskedServing, 0, gaveUp, theRequest},
	{servingIssued, with(asGood, "of another node"), Either, Resumed, 0, "", ""},
	{servingIssued, cutIssued, Either, Resumed, 0, "", ""},
	{servingIssued, group("not yet valid"), Either, Mended, 4, tooEarly, "certificate=serving"},
	{servingIssued, group("expired"), Either, Ended, 4, tooLate, "certificate=serving"},
	{servingRequests, nil, Either, AskedServing, 0, another, ""},

	{servingRequestLater, with(asGood, "expired", "not yet valid", "of another node"), Either, Removed, 0, gaveUp, theRequest},
	{servingIssuedLater, asGood, Either, Resumed, 0, "", ""},
	{servingIssuedLater, group("not yet valid"), Either, Mended, 4, tooEarly, "certificate=serving"},
	{servingIssuedLater, with(cutIssued, "expired", "of another node"), Either, Removed, 0, gaveUp, theRequest},
	{slices.Concat(servingRequestLater, servingIssuedLater), group("immutable"), Either, Mended, 4, cannotChange, ""},
	{laterRequests, nil, Either, LeftAlone, 0, ofNoUse, ""},
}

var otherRows = []Row{
	{group("kubelet.kubeconfig"), group("good", "immutable", "link elsewhere"), Either, Used, 0, "", ""},
	{group("kubelet.kubeconfig", "kubelet-apiserver-ca.crt", "kubelet-client-ca.crt"), denied, Either, Mended, 1, cannotRead, ""},
	{group("kubelet-apiserver-ca.crt"), group("immutable", "link elsewhere"), Either, Used, 0, "", ""},
	{group("kubelet-apiserver-ca.crt"), group("expired", "not yet valid"), Without, Used, 0, "", ""},
	{group("kubelet-apiserver-ca.crt"), group("expired", "not yet valid"), With, Healed, 0, "has a new server or CA", "kubelet.kubeconfig"},
	{group("kubelet.kubeconfig", "kubelet-apiserver-ca.crt"), group("folder"), With, Mended, 1, cannotChange, ""},
	{group("kubelet.kubeconfig", "kubelet-apiserver-ca.crt"), group("folder"), Without, Mended, 3, "kubelet kubeconfig", ""},
	{group("kubelet.kubeconfig", "kubelet-apiserver-ca.crt"), nil, With, Healed, 0, "kubelet kubeconfig", ""},
	{group("kubelet.kubeconfig", "kubelet-apiserver-ca.crt"), nil, Without, Waits, 3, "kubelet kubeconfig", ""},
	{group("kubelet-client-ca.crt"), with(asGood, "immutable", "expired", "not yet valid"), Either, Used, 0, "", ""},
	{group("kubelet-client-ca.crt"), group("folder"), With, Mended, 1, `to="store the CA of the kubelet's clients"`, ""},
	{group("kubelet-client-ca.crt"), group("folder"), Without, Mended, 3, `to="store the CA of the kubelet's clients"`, ""},
	{group("kubelet-client-ca.crt"), nil, Either, Healed, 0, "was missing or of no use", "kubelet-client-ca.crt"},

	{group("kubelet.key.orig"), immovable, Either, Mended, 4, `to="store the serving certificate"`, ""},
	{group("kubelet.key.orig"), nil, Either, AskedServing, 0, "", ""},
	{group("temporary file"), group("dangling link", "link in a ring", "link elsewhere"), Either, Removed, 0, "", ""},
	{group("lock file"), with(denied, "immutable", "folder", "socket", "link in a ring"), Either, Mended, 1, "lock", ""},
	{group("lock file"), group("of another user, readable", "dangling link", "link elsewhere"), Either, Mended, 1, "lock", ".bootstrap-agent.lock"},
	{group("lock file"), nil, Either, Healed, 0, "", ""},
	{group("kubelet.crt.orig", ".rotate-client", ".rotate-serving", "temporary file"), nil, Either, LeftAlone, 0, "", ""},
}
