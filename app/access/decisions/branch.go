package decisions

import (
	"maps"
	"slices"
	"streamgate/app/access/eth"
)

const (
	// branchDepth is for how many blocks below the newest a reading is compared
	// with what is known.
	branchDepth = 64
	// maxBranch bounds what is remembered of a chain that cannot be watched.
	maxBranch = 1024
)

// branch is the blocks of a chain at which it was read, and those the watcher
// has seen or passed. A reading is of the newest block, often before the watcher
// has looked; if that block is undone first, the branch that the watcher sees
// says nothing of it. So whoever was let in by it would stay until the next
// recheck, if the blocks of readings were not looked for on the branch.
type branch struct {
	hashes map[uint64][32]byte // by number
	open   map[uint64]struct{} // of hashes: not found on the watcher's branch yet
	split  bool                // two blocks of a number were seen, or too many
}

func newBranch() *branch {
	return &branch{hashes: map[uint64][32]byte{}, open: map[uint64]struct{}{}}
}

// read notes the block of a reading.
func (b *branch) read(at eth.Block) {
	if hash, known := b.hashes[at.Number]; known {
		b.split = b.split || hash != at.Hash
		return
	}
	if len(b.hashes) >= maxBranch {
		b.split = true
		return
	}
	b.hashes[at.Number] = at.Hash
	b.open[at.Number] = struct{}{}
}

// pass notes a block that is on the watcher's branch.
func (b *branch) pass(at eth.Block) {
	hash, known := b.hashes[at.Number]
	b.split = b.split || known && hash != at.Hash
	b.hashes[at.Number] = at.Hash
	delete(b.open, at.Number)
	maps.DeleteFunc(b.hashes, func(n uint64, _ [32]byte) bool {
		_, open := b.open[n]
		return n+branchDepth < at.Number && !open
	})
}

// unproven lists the blocks below a number that are yet to be found on the branch.
func (b *branch) unproven(below uint64) []eth.Block {
	var list []eth.Block
	for _, n := range slices.Sorted(maps.Keys(b.open)) {
		if n < below {
			list = append(list, eth.Block{Number: n, Hash: b.hashes[n]})
		}
	}
	return list
}
