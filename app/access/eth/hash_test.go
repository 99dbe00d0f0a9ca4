package eth

import (
	"encoding/hex"
	"testing"
)

func TestPersonalHash(t *testing.T) {
	hash := PersonalHash("Hello World")
	if got := hex.EncodeToString(hash[:]); got != "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2" {
		t.Error(got)
	}
}
