package identities

import (
	"testing"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/rpc"
)

// Addresses for tests.
const (
	alice = ethtest.Alice
	zero  = ethtest.Zero
)

func addr(t testing.TB, text string) eth.Address { t.Helper(); return ethtest.Addr(t, text) }

func wantReason(t testing.TB, err error, want string) {
	t.Helper()
	if reason, _ := rpc.Reason(err); reason != want {
		t.Errorf("error %v, want reason %q", err, want)
	}
}
