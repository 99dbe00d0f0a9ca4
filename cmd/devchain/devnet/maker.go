package devnet

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
)

// maxBlocks bounds what one call makes or undoes.
const maxBlocks = 10_000

// maker makes blocks and undoes them, one thing at a time.
type maker struct {
	eth    *eth.Ethereum
	mu     sync.Mutex // guards the beacon, which is not safe for concurrent use
	beacon *catalyst.SimulatedBeacon
	done   chan struct{}
	wg     sync.WaitGroup
}

// run makes blocks until stop: at the interval, or when transactions come.
func (m *maker) run(interval time.Duration) {
	m.done = make(chan struct{})
	if interval > 0 {
		m.wg.Go(func() { m.everyInterval(interval) })
		return
	}
	arrived := make(chan core.NewTxsEvent, 16)
	sub := m.eth.TxPool().SubscribeTransactions(arrived, true)
	m.wg.Go(func() {
		defer sub.Unsubscribe()
		m.everyTransaction(arrived)
	})
}

func (m *maker) stop() {
	if m.done != nil {
		close(m.done)
	}
	m.wg.Wait()
}

func (m *maker) everyInterval(interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-m.done:
			return
		case <-tick.C:
			m.mu.Lock()
			m.beacon.Commit()
			m.mu.Unlock()
		}
	}
}

func (m *maker) everyTransaction(arrived <-chan core.NewTxsEvent) {
	for {
		select {
		case <-m.done:
			return
		case <-arrived:
			m.mu.Lock()
			m.drain()
			m.mu.Unlock()
		}
	}
}

// drain makes blocks until no transaction is left that could be in one.
func (m *maker) drain() {
	for {
		if err := m.eth.TxPool().Sync(); err != nil {
			return
		}
		if ready, _ := m.eth.TxPool().Stats(); ready == 0 {
			return
		}
		before := m.eth.BlockChain().CurrentBlock().Hash()
		if m.beacon.Commit() == before {
			return // it could not be sealed: the next transaction tries again
		}
	}
}

// mine makes n blocks.
func (m *maker) mine(n uint64) error {
	if n > maxBlocks {
		return fmt.Errorf("at most %d blocks at once", maxBlocks)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commit(n)
}

func (m *maker) commit(n uint64) error {
	for range n {
		before := m.eth.BlockChain().CurrentBlock().Hash()
		if m.beacon.Commit() == before {
			return errors.New("the block could not be made")
		}
	}
	return nil
}

// reorg undoes the last depth blocks and everything in them, then makes that
// many and one more without transactions: the new chain is the longer one.
func (m *maker) reorg(depth uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rollback(depth); err != nil {
		return err
	}
	return m.commit(depth + 1)
}

// rollback undoes the last depth blocks. What was in them is not tried again.
func (m *maker) rollback(depth uint64) error {
	chain := m.eth.BlockChain()
	head := chain.CurrentBlock().Number.Uint64()
	if depth > head || depth > maxBlocks {
		return fmt.Errorf("cannot undo %d of %d blocks", depth, head)
	}
	m.eth.TxPool().Clear()
	if err := m.beacon.Fork(chain.GetCanonicalHash(head - depth)); err != nil {
		return err
	}
	// The pool takes back what the undone blocks had: drop that too.
	if err := m.eth.TxPool().Sync(); err != nil {
		return err
	}
	m.eth.TxPool().Clear()
	return nil
}

// setTime makes a block whose timestamp is t; it must be after the last one's.
func (m *maker) setTime(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	head := m.eth.BlockChain().CurrentBlock()
	if t.Unix() <= int64(head.Time) {
		return fmt.Errorf("the last block is already at %d", head.Time)
	}
	return m.beacon.AdjustTime(time.Duration(t.Unix()-int64(head.Time)) * time.Second)
}

// head is the newest block.
func (m *maker) head() *types.Header { return m.eth.BlockChain().CurrentBlock() }
