package assets

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/sha3"
)

// TestScripts runs the tests of the scripts (testdata/*.test.js) in Node.js.
func TestScripts(t *testing.T) {
	tests, err := filepath.Glob("testdata/*.test.js")
	if err != nil || len(tests) < 2 {
		t.Fatalf("%d tests: %v", len(tests), err)
	}
	cmd := exec.Command("node", append([]string{"--test", "--test-reporter=tap"}, tests...)...)
	cmd.Env = append(os.Environ(), "KECCAK_VECTORS="+keccakVectors(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// keccakVectors writes inputs and their Keccak-256, in hex, to a file: every
// length up to two blocks and more.
func keccakVectors(t *testing.T) string {
	t.Helper()
	vectors := map[string]string{}
	for n := range 300 {
		input := make([]byte, n)
		for i := range input {
			input[i] = byte(i*7 + n)
		}
		sum := sha3.NewLegacyKeccak256()
		sum.Write(input)
		vectors[hex.EncodeToString(input)] = hex.EncodeToString(sum.Sum(nil))
	}
	data, err := json.Marshal(vectors)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "keccak.json")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
