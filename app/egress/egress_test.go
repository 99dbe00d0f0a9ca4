package egress_test

import (
	"errors"
	"net/netip"
	"testing"

	"streamgate/app/egress"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "172.15.0.1": true, "172.32.0.1": true, "2606:4700::1111": true, "100.128.0.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "224.0.0.1": false, "239.1.1.1": false,
		"255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "192.0.2.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:1.1.1.1": true, "::ffff:100.64.0.1": false, "::127.0.0.1": false, "fe80::1%eth0": false, "fc00::1": false,
		"fd12::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:1::1": false, "fec0::1": false,
	} {
		if got := egress.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestPolicy(t *testing.T) {
	lan := egress.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for address, want := range map[string]struct{ none, lan bool }{
		"1.1.1.1:80": {true, true}, "10.1.2.3:80": {false, true}, "10.2.0.1:80": {false, false}, "[::ffff:10.1.0.1]:443": {false, true},
		"[fd00:1::5]:443": {false, true}, "[fd00:2::5]:443": {false, false}, "127.0.0.1:80": {false, false},
	} {
		for name, c := range map[string]struct {
			policy egress.Policy
			want   bool
		}{"none": {egress.Policy{}, want.none}, "lan": {lan, want.lan}, "any": {egress.Any(), true}} {
			err := c.policy.Control("tcp", address, nil)
			if (err == nil) != c.want {
				t.Errorf("%s, %s: %v", name, address, err)
			}
			if refused := (egress.RefusedError{}); err != nil && !errors.As(err, &refused) {
				t.Errorf("%s: %v is no RefusedError", address, err)
			}
		}
	}
	if err := egress.Any().Control("tcp", "example.org:80", nil); err == nil {
		t.Error("a name is no address")
	}
}
