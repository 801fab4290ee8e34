package node

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
)

// TestOfWhatTheNameResolvesToOnlyThisMachinesAddressIsTaken resolves a name with a server that answers as it is told. It is not
// parallel, for the resolver is the whole process's.
func TestOfWhatTheNameResolvesToOnlyThisMachinesAddressIsTaken(t *testing.T) {
	const foreign4, foreign6 = "198.51.100.1", "2001:db8::1"
	own4, own6 := ownAddress(true), ownAddress(false)
	if own4 == nil && own6 == nil {
		t.Log("this machine has no address but loopback, so that nothing may ever be taken")
	}
	tests := []struct {
		name      string
		answers   []string
		preferred net.IP
		want      net.IP
	}{
		{"nothing", nil, nil, nil},
		{"loopback", []string{"127.0.0.1", "127.0.1.1", "::1"}, nil, nil},
		{"link-local", []string{"169.254.1.1", "fe80::1"}, nil, nil},
		{"another machine", []string{foreign4, foreign6}, nil, nil},
		{"the unspecified address", []string{"0.0.0.0", "::"}, nil, nil},
		{"ours behind others", append([]string{"127.0.1.1", foreign4}, text(own4)...), nil, own4},
		{"both of ours", append(text(own6), text(own4)...), nil, either(own4, own6)},
		{"both of ours, IPv4 asked for", append(text(own6), text(own4)...), net.IPv4zero, either(own4, own6)},
		{"both of ours, IPv6 asked for", append(text(own4), text(own6)...), net.IPv6unspecified, either(own6, own4)},
		{"only IPv6, which is better than none", text(own6), net.IPv4zero, own6},
		{"only IPv4, which is better than none", text(own4), net.IPv6unspecified, own4},
	}
	before := net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	for _, test := range tests {
		net.DefaultResolver = answering(t, test.answers)
		if got := resolve(t.Context(), "node-1.example.", test.preferred); !got.Equal(test.want) {
			t.Errorf("a name that resolves to %s (%q) gives %v, expected is %v", test.name, test.answers, got, test.want)
		}
	}
}

func ownAddress(ipv4 bool) net.IP {
	addresses, _ := net.InterfaceAddrs()
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && unusable(network.IP) == "" && (network.IP.To4() != nil) == ipv4 {
			return network.IP
		}
	}
	return nil
}

func text(ip net.IP) []string {
	if ip == nil {
		return nil
	}
	return []string{ip.String()}
}

func either(first, second net.IP) net.IP {
	if first != nil {
		return first
	}
	return second
}

// answering is a resolver whose server has these addresses for every name.
func answering(t *testing.T, addresses []string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			size, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(answer(buffer[:size], addresses), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// answer makes the answer to a DNS query (RFC 1035) with one question.
func answer(query []byte, addresses []string) []byte {
	const header, typeA, typeAAAA = 12, 1, 28
	end := header
	for query[end] != 0 { // a label begins with its length
		end += 1 + int(query[end])
	}
	asked := binary.BigEndian.Uint16(query[end+1:])
	message := append([]byte{}, query[:end+5]...)
	copy(message[2:], []byte{0x84, 0x00, 0, 1, 0, 0, 0, 0, 0, 0}) // an authoritative answer, and nothing more than the question
	for _, address := range addresses {
		ip, kind := net.ParseIP(address), uint16(typeAAAA)
		if ip4 := ip.To4(); ip4 != nil {
			ip, kind = ip4, typeA
		}
		if kind != asked {
			continue
		}
		message[7]++                            // the number of answers
		message = append(message, 0xc0, header) // the name is that of the question
		message = binary.BigEndian.AppendUint16(message, kind)
		message = append(message, 0, 1, 0, 0, 0, 60, 0, byte(len(ip))) // internet, for a minute
		message = append(message, ip...)
	}
	return message
}
