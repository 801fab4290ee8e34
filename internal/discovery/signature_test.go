package discovery

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// The vectors of cluster-bootstrap's token/jws/jws_test.go.
const (
	vectorContent = "Hello from the other side. I must have called a thousand times."
	vectorSecret  = "my voice is my passcode"
	vector        = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
	vectorEmpty   = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk"
	vectorNoKey   = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..UfkqvDGiIFxrMnFseDj9LYJOLNrvjW8aHhF71mvvAs8"
)

func signedBy(id, secret, content, signature string) *Error {
	wish := Wish{Token: Token{ID: id, Secret: secret}}
	return wish.signed("https://192.0.2.1:6443", apiserver.ClusterInfo{Kubeconfig: content, Signatures: map[string]string{id: signature}})
}

func TestASignatureIsThatOfKubernetesToTheByte(t *testing.T) {
	for _, c := range []struct{ content, secret, signature string }{
		{vectorContent, vectorSecret, vector}, {"", vectorSecret, vectorEmpty}, {vectorContent, "", vectorNoKey},
	} {
		if err := signedBy("joshua", c.secret, c.content, c.signature); err != nil {
			t.Errorf("%q: %v", c.content, err)
		}
		if by := handSignature("joshua", c.secret, c.content); by != c.signature {
			t.Errorf("%q: by hand it is %s", c.content, by)
		}
	}
}

func TestASignatureThatIsAlmostRightIsWrong(t *testing.T) {
	header, mac, _ := strings.Cut(vector, "..")
	raw, err := base64.RawURLEncoding.DecodeString(mac)
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	none := encode([]byte(`{"alg":"none","kid":"joshua"}`))
	other := encode([]byte(`{"kid":"joshua","alg":"HS256"}`)) // the same to every reader of JSON
	for name, signature := range map[string]string{
		"empty": "", "one more": vector + "A", "one less": vector[:len(vector)-1], "padded": vector + "=", "twice": vector + vector, "a space": " " + vector, "a newline": vector + "\n",
		"no algorithm": none + "..", "no algorithm, with the MAC": none + ".." + mac, "no MAC": header + "..", "no header": ".." + mac, "one dot": header + "." + mac,
		"the payload inside": header + "." + encode([]byte(vectorContent)) + "." + mac, "half the MAC": header + ".." + encode(raw[:16]),
		"another header, its MAC": other + ".." + mac, "standard base64": header + ".." + base64.StdEncoding.EncodeToString(raw), "case": strings.ToUpper(vector),
		"of another content": handSignature("joshua", vectorSecret, vectorContent+"\n"), "with another secret": handSignature("joshua", "my voice is my passcodf", vectorContent),
		"with another ID": handSignature("joshub", vectorSecret, vectorContent), "of nothing": vectorEmpty, "with no key": vectorNoKey,
	} {
		if err := signedBy("joshua", vectorSecret, vectorContent, signature); err == nil || err.Reason != BadSignature {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
	for i := range len(vector) {
		changed := []byte(vector)
		changed[i] ^= 1
		if signedBy("joshua", vectorSecret, vectorContent, string(changed)) == nil {
			t.Errorf("a bit of byte %d may be changed", i)
		}
	}
}

func TestTheSignatureOfAnotherTokenIsNone(t *testing.T) {
	wish := Wish{Token: Token{ID: "abcdef", Secret: vectorSecret}}
	for signatures, says := range map[int]string{0: "nor with any other", 3: "but with 3 other tokens"} {
		info := apiserver.ClusterInfo{Kubeconfig: vectorContent, Signatures: map[string]string{}}
		for i := range signatures {
			info.Signatures["joshu"+string(rune('a'+i))] = vector
		}
		if err := wish.signed("https://192.0.2.1:6443", info); err == nil || err.Reason != NotSigned || !strings.Contains(err.Error(), says) || strings.Contains(err.Error()+err.Remedy, vectorSecret) {
			t.Errorf("%d signatures: %v", signatures, err)
		}
	}
}
