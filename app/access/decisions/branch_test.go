package decisions

import (
	"testing"

	"streamgate/app/access/eth"
)

func TestBranch(t *testing.T) {
	block := func(n uint64, branch byte) eth.Block { return eth.Block{Number: n, Hash: [32]byte{branch, byte(n)}} }
	tests := map[string]struct {
		tell  func(*branch)
		opens int // below block 21
		split bool
	}{
		"read, not seen":                 {func(b *branch) { b.read(block(10, 'a')); b.read(block(10, 'a')); b.read(block(11, 'a')) }, 2, false},
		"read beyond the head":           {func(b *branch) { b.read(block(21, 'a')) }, 0, false},
		"read, then seen":                {func(b *branch) { b.read(block(10, 'a')); b.pass(block(10, 'a')) }, 0, false},
		"seen, then read":                {func(b *branch) { b.pass(block(10, 'a')); b.read(block(10, 'a')) }, 0, false},
		"another was seen":               {func(b *branch) { b.read(block(10, 'a')); b.pass(block(10, 'b')) }, 0, true},
		"another is read":                {func(b *branch) { b.pass(block(10, 'a')); b.read(block(10, 'b')) }, 0, true},
		"two were read":                  {func(b *branch) { b.read(block(10, 'a')); b.read(block(10, 'b')) }, 1, true},
		"of an endpoint that lags":       {func(b *branch) { b.pass(block(15, 'a')); b.read(block(12, 'a')) }, 1, false},
		"a lower block, after a higher":  {func(b *branch) { b.read(block(10, 'a')); b.pass(block(15, 'a')) }, 1, false},
		"more than can be remembered":    {func(b *branch) { readMany(b, maxBranch+1) }, 20, true},
		"as many as can be remembered":   {func(b *branch) { readMany(b, maxBranch) }, 20, false},
		"what was long ago is forgotten": {func(b *branch) { b.pass(block(1, 'a')); b.pass(block(80, 'a')); b.read(block(1, 'b')) }, 1, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBranch()
			tt.tell(b)
			if got := len(b.unproven(21)); got != tt.opens || b.split != tt.split {
				t.Errorf("%d open, split %t; want %d, %t", got, b.split, tt.opens, tt.split)
			}
		})
	}
}

func readMany(b *branch, n int) {
	for i := range n {
		b.read(eth.Block{Number: uint64(i) + 1, Hash: [32]byte{'a', byte(i), byte(i >> 8)}})
	}
}
