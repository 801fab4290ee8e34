package node

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestTheNodesAddressesAreReadAsTheKubeletReadsThem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want []string
		says string
	}{
		{text: ""},
		{text: "192.0.2.1", want: []string{"192.0.2.1"}},
		{text: "2001:db8::1", want: []string{"2001:db8::1"}},
		{text: "192.0.2.1,2001:db8::1", want: []string{"192.0.2.1", "2001:db8::1"}},
		{text: "2001:DB8::1, 192.0.2.1", want: []string{"2001:db8::1", "192.0.2.1"}},
		{text: " 192.0.2.1 ", want: []string{"192.0.2.1"}},
		{text: "0.0.0.0", want: []string{"0.0.0.0"}},
		{text: "::", want: []string{"::"}},
		{text: "::ffff:192.0.2.1", want: []string{"192.0.2.1"}},

		{text: "node-1", says: `"node-1" is no IP address`},
		{text: "192.0.2", says: "is no IP address"},
		{text: "192.0.2.256", says: "is no IP address"},
		{text: "192.0.2.1/24", says: "is no IP address"},
		{text: "192.0.2.1:10250", says: "is no IP address"},
		{text: "fe80::1%eth0", says: "is no IP address"},
		{text: "192.0.2.1,", says: `"" is no IP address`},
		{text: ",", says: "is no IP address"},
		{text: "127.0.0.1", says: "loopback"},
		{text: "127.8.8.8", says: "loopback"},
		{text: "::1", says: "loopback"},
		{text: "169.254.1.1", says: "link-local"},
		{text: "fe80::1", says: "link-local"},
		{text: "224.0.0.1", says: "multicast"},
		{text: "ff02::1", says: "multicast"},
		{text: "192.0.2.1,127.0.0.1", says: "loopback"},
		{text: "192.0.2.1,192.0.2.2", says: "same family"},
		{text: "2001:db8::1,2001:db8::2", says: "same family"},
		{text: "192.0.2.1,::ffff:192.0.2.2", says: "same family"},
		{text: "192.0.2.1,2001:db8::1,192.0.2.2", says: "at most one per family"},
		{text: "0.0.0.0,2001:db8::1", says: "stands alone"},
		{text: "192.0.2.1,::", says: "stands alone"},
	}
	for _, test := range tests {
		ips, err := ParseIPs(test.text)
		if got := texts(ips); !slices.Equal(got, test.want) || (err == nil) != (test.says == "") {
			t.Errorf("%q is read as %q (%v), expected is %q", test.text, got, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %q is not in: %v", test.text, test.says, err)
		}
	}
}

func texts(ips []net.IP) (all []string) {
	for _, ip := range ips {
		all = append(all, ip.String())
	}
	return all
}

func TestAddressesThatWereAskedForAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"192.0.2.1", "192.0.2.1,2001:db8::1", "2001:db8::1,192.0.2.1"} {
		asked, err := ParseIPs(text)
		if err != nil {
			t.Fatal(err)
		}
		// the name, too, is an address, and counts for nothing
		got, err := Addresses(t.Context(), "198.51.100.1", asked)
		if err != nil || strings.Join(texts(got), ",") != text {
			t.Errorf("--node-ip=%s gives %v (%v)", text, got, err)
		}
	}
}

func TestANameThatIsAnAddressIsTheAddress(t *testing.T) {
	t.Parallel()
	for _, asked := range [][]net.IP{nil, {net.IPv4zero}, {net.IPv6unspecified}} {
		got, err := Addresses(t.Context(), "198.51.100.1", asked)
		if err != nil || !slices.Equal(texts(got), []string{"198.51.100.1"}) {
			t.Errorf("with %v asked for it is %v (%v)", asked, got, err)
		}
	}
}

func TestOnlyAddressesThatOthersCanReachAreUsable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"127.0.0.1", "127.255.0.1", "::1", "169.254.0.1", "fe80::1", "224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1", "::ffff:127.0.0.1"} {
		if unusable(net.ParseIP(text)) == "" {
			t.Errorf("%s could become the node's address", text)
		}
	}
	for _, text := range []string{"192.0.2.1", "10.0.0.1", "100.64.0.1", "2001:db8::1", "fd00::1"} {
		if problem := unusable(net.ParseIP(text)); problem != "" {
			t.Errorf("%s could not become the node's address: %s", text, problem)
		}
	}
}

func TestAnAddressIsOursWhenAnInterfaceHasIt(t *testing.T) {
	t.Parallel()
	if !ours(net.ParseIP("127.0.0.1")) {
		t.Error("127.0.0.1 is not found on this machine")
	}
	if ours(net.ParseIP("198.51.100.1")) || ours(net.ParseIP("127.0.0.0")) {
		t.Error("an address that no interface has is found on this machine")
	}
}

// TestANameWithoutAUsableAddressGivesTheInterfacesOrAnError asks for names that resolve to loopback, or not at all. What is found
// then depends on the machine: the address that it would use towards others, or an error that says what to do.
func TestANameWithoutAUsableAddressGivesTheInterfacesOrAnError(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end() // so that no resolver is waited for
	for _, name := range []string{"localhost", "no-such-node.invalid"} {
		for _, asked := range [][]net.IP{nil, {net.IPv4zero}, {net.IPv6unspecified}} {
			got, err := Addresses(ended, name, asked)
			if err != nil {
				if !strings.Contains(err.Error(), "--node-ip") || !strings.Contains(err.Error(), name) || got != nil {
					t.Errorf("%s: %v (%v)", name, err, got)
				}
				continue
			}
			if len(got) != 1 || unusable(got[0]) != "" || got[0].IsUnspecified() || !ours(got[0]) {
				t.Errorf("%s: %v is not an address at which others reach this machine", name, got)
			}
		}
	}
}
