package evm_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestLawNoEVM: the node asks chains, it runs none. Of go-ethereum it links
// the curve and what that needs.
func TestLawNoEVM(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "streamgate/cmd/streamgate", "streamgate/app/access/evm").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/ethereum/go-ethereum/"
	allowed := []string{"common", "common/hexutil", "common/math", "crypto", "crypto/keccak", "crypto/secp256k1", "rlp", "rlp/internal/rlpstruct"}
	found := 0
	for dep := range strings.Lines(string(out)) {
		dep, own := strings.CutPrefix(strings.TrimSpace(dep), module)
		if !own {
			continue
		}
		found++
		if !slices.Contains(allowed, dep) {
			t.Errorf("the node links %s%s", module, dep)
		}
	}
	if found == 0 {
		t.Error("nothing of go-ethereum is linked: the test looks at the wrong place")
	}
}
