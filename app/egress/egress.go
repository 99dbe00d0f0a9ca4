// Package egress decides to which addresses the node connects on behalf of
// others: a webhook's URL, or one to fetch a source from.
//
// # Usage
//
//	policy := egress.Policy{Allowed: networks}
//	dialer := &net.Dialer{Control: policy.Control}
//
// # Guarantees
//
// Control sees the address that is about to be dialled, of every connection:
// a name that resolves to another one than a moment ago gains nothing, and
// neither does a redirect. Without Allowed only the public internet is reached:
// neither this machine nor the network it is in.
//
// # Testing
//
// A table of addresses, and a name server that answers differently each time.
package egress

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Policy says which addresses may be dialled: public ones, and those allowed.
type Policy struct {
	// Allowed are networks that are not public and may be dialled all the same.
	Allowed []netip.Prefix
}

// Any allows every address.
func Any() Policy {
	return Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
}

// RefusedError refuses an address.
type RefusedError struct{ Addr netip.Addr }

// Error implements error.
func (e RefusedError) Error() string { return fmt.Sprintf("the address %s is not public", e.Addr) }

// Control is a net.Dialer's: it refuses with a RefusedError.
func (p Policy) Control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address %q: %w", address, err)
	}
	return p.Check(target.Addr())
}

// Check refuses an address that may not be dialled with a RefusedError.
func (p Policy) Check(addr netip.Addr) error {
	plain := addr.Unmap().WithZone("")
	for _, network := range p.Allowed {
		if network.Contains(plain) {
			return nil
		}
	}
	if !Public(addr) {
		return RefusedError{addr}
	}
	return nil
}

// Public tells whether an address belongs to the public internet. Addresses
// that carry another one (NAT64, 6to4, Teredo) lead who knows where.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false // loopback, link-local, multicast, unspecified, private
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// special are the networks that IANA's registries of special-purpose addresses
// do not call globally reachable, or that carry other addresses.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}
