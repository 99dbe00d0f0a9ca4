package devnet

import (
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
)

// devAPI is the namespace dev_ of the JSON-RPC server. Numbers are quantities
// ("0x5"), as everywhere in Ethereum's JSON-RPC.
type devAPI struct{ maker *maker }

// Mine makes n blocks: dev_mine.
func (a *devAPI) Mine(n hexutil.Uint64) (hexutil.Uint64, error) {
	return a.head(a.maker.mine(uint64(n)))
}

// Reorg undoes the last depth blocks and makes a longer, empty branch: dev_reorg.
func (a *devAPI) Reorg(depth hexutil.Uint64) (hexutil.Uint64, error) {
	return a.head(a.maker.reorg(uint64(depth)))
}

// Rollback undoes the last depth blocks and makes none: dev_rollback.
func (a *devAPI) Rollback(depth hexutil.Uint64) (hexutil.Uint64, error) {
	a.maker.mu.Lock()
	defer a.maker.mu.Unlock()
	return a.head(a.maker.rollback(uint64(depth)))
}

// SetTime makes a block at that Unix time in seconds: dev_setTime.
func (a *devAPI) SetTime(seconds hexutil.Uint64) (hexutil.Uint64, error) {
	return a.head(a.maker.setTime(time.Unix(int64(seconds), 0)))
}

// head is the number of the newest block.
func (a *devAPI) head(err error) (hexutil.Uint64, error) {
	return hexutil.Uint64(a.maker.head().Number.Uint64()), err
}
