package eth

import (
	"errors"
	"testing"
)

func TestDeny(t *testing.T) {
	if ids := (Deny{}).IDs(); len(ids) != 0 {
		t.Errorf("it knows %v", ids)
	}
	for name, err := range map[string]error{
		"read":      second(Deny{}.Read(t.Context(), 1, nil)),
		"signature": Deny{}.VerifySignature(t.Context(), 1, Address{}, [32]byte{}, nil),
		"head":      second(Deny{}.Head(t.Context(), 1)),
		"follow":    second(Deny{}.Follow(t.Context(), 1, 1, nil)),
		"ancestors": second(Deny{}.Ancestors(t.Context(), 1, Block{}, 1)),
		"transfers": second(Deny{}.Transfers(t.Context(), 1, 1, Block{Number: 2}, nil)),
	} {
		if !errors.Is(err, ErrChainUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
