package found

// State is what a file is like.
type State struct {
	Name string
	// What it is, in a few words.
	What string
	// Kinds of files that it makes sense for.
	Kinds []Kind
	// Blocks is how many PEM blocks a file needs for that.
	Blocks int
	// Says is how the agent calls it: one of these texts is in the line about the file, if there is one.
	Says []string
}

// The groups of kinds for which a state makes sense.
var (
	everything = []Kind{Pair, PairLink, Link, Half, Pending, CA, Kubeconfig, Plain, Folder}
	noFolder   = []Kind{Pair, PairLink, Link, Half, Pending, CA, Kubeconfig, Plain}
	contents   = []Kind{Pair, Link, Half, Pending, CA, Kubeconfig, Plain, Folder} // of what is no link to one
	texts      = []Kind{Pair, Half, Pending, CA}
	withKey    = []Kind{Pair, Pending}
	dated      = []Kind{Pair, Half, Pending, CA}
)

// States is every state, what is wrong with the file itself first.
var States = []State{
	{"missing", "not there", everything, 0, []string{"no certificate at", "is not there", "does not exist", "no such file", "is missing", "was missing"}},
	{"good", "as it should be", []Kind{Pending, Kubeconfig, Plain}, 0, nil},
	{"empty", "of no bytes", contents, 0, []string{"empty", "is missing", "damaged or cut off", "holds no", "PEM"}},
	{"garbage", "bytes that mean nothing", contents, 0, []string{"PEM", "not a kubeconfig", "damaged or cut off", "not a folder", "is missing"}},
	{"cut off", "the first half of a text without PEM blocks", []Kind{Kubeconfig}, 0, []string{"not a kubeconfig", "no current-context", "has no"}},
	{"cut within block 1", "cut off within its first PEM block", texts, 1, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"cut after block 1", "cut off after its first PEM block", texts, 2, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"cut within block 2", "cut off within its second PEM block", texts, 2, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"cut after block 2", "cut off after its second PEM block", texts, 3, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"cut within block 3", "cut off within its third PEM block", texts, 3, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"cut after block 3", "cut off after its third PEM block", texts, 4, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"cut within block 4", "cut off within its last PEM block", texts, 4, []string{"not a certificate with its key", "damaged or cut off", "PEM", "do not make a pair"}},
	{"without its key", "the private key's block is missing", withKey, 0, []string{"not a certificate with its key", "damaged or cut off"}},
	{"without its certificate", "the certificate's block is missing", []Kind{Pair}, 0, []string{"not a certificate with its key"}},
	{"with another key", "certificate and key, or request and key, do not belong together", []Kind{Pair, Half, Pending}, 0, []string{"does not match", "another key", "do not make a pair"}},
	{"of another node", "whole, but for another node", []Kind{Pair, Half, Pending}, 0, []string{"is called", "another node", "do not make a pair"}},
	{"expired", "its certificate has expired", dated, 0, []string{"xpired"}},
	{"not yet valid", "its certificate begins tomorrow", dated, 0, nil},
	{"dangling link", "a link to nothing", everything, 0, []string{"is not there", "does not exist", "no such file", "dangling", "is missing"}},
	{"link in a ring", "a link that leads to itself", everything, 0, []string{"too many l", "is missing"}},
	{"link elsewhere", "a link to the good one, which lies in another folder", everything, 0, []string{"it is a link to"}},
	{"regular file", "a regular file in place of a link, with the same content", []Kind{PairLink, Link}, 0, nil},
	{"folder", "a folder with something in it", noFolder, 0, []string{"a folder"}},
	{"fifo", "a fifo", everything, 0, []string{"a fifo", "not a folder"}},
	{"socket", "a socket", everything, 0, []string{"a socket", "not a folder"}},
	{"1 GB", "a gigabyte long", []Kind{Pair, Link, Half, Pending, CA, Kubeconfig, Plain}, 0, []string{"larger than"}},
	{"unreadable", "of mode 0000", contents, 0, []string{"permission denied"}},
	{"of another user", "of another user, and not readable for us", everything, 0, []string{"permission denied", "belongs to user"}},
	{"of another user, readable", "of another user, and readable", contents, 0, []string{"belongs to user"}},
	{"writable by others", "writable by everybody", contents, 0, []string{"writable by others", "could be read by others"}},
	{"immutable", "chattr +i", contents, 0, []string{"operation not permitted"}},
}
