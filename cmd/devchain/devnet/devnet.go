// Package devnet is an Ethereum chain in this process, for development and
// tests: go-ethereum's own node without peers, which makes blocks when told.
//
// # What
//
// Start returns a Net with JSON-RPC over HTTP on loopback, funded accounts
// with fixed keys, and StreamGate's demo contracts at fixed addresses. A block
// is made for each transaction at once, or at an interval. The rest is in
// files by noun: accounts.go, deploy.go, tokens.go, maker.go, rpc.go, demo.go.
//
// # Usage
//
//	net, err := devnet.Start(ctx, devnet.Options{})
//	defer net.Close()
//	id, err := net.Mint721(ctx, net.Holder.Address)
//	err = net.Transfer721(ctx, net.Holder, net.Buyer.Address, id)
//	err = net.Reorg(ctx, 2) // the last two blocks never were
//
// # Guarantees
//
// The same start gives the same accounts, contract addresses and contract
// code; block hashes differ. Everything is in memory and gone after Close. The
// keys are public: never use them elsewhere.
//
// # Testing
//
// Beside the code, over HTTP as any client would.
package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

// DefaultChainID is the chain id (EIP-155) that development chains use.
const DefaultChainID = 1337

// Options say what chain to start.
type Options struct {
	// Listen is the address of the JSON-RPC server; "" means a free port on
	// 127.0.0.1.
	Listen string
	// ChainID; 0 means DefaultChainID.
	ChainID uint64
	// BlockTime makes a block at this interval; 0 makes one for each
	// transaction at once. A block's timestamp is at least a second after its
	// parent's, so below a second the chain's clock runs ahead.
	BlockTime time.Duration
}

// Net is a running chain, and a client of it.
type Net struct {
	*Client
	stack *node.Node
	maker *maker
}

// Start starts a chain and deploys the contracts.
func Start(ctx context.Context, opts Options) (*Net, error) {
	if opts.ChainID == 0 {
		opts.ChainID = DefaultChainID
	}
	n, err := start(opts)
	if err != nil {
		return nil, fmt.Errorf("start the chain: %w", err)
	}
	if err := n.deployAll(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("deploy the contracts: %w", err), n.Close())
	}
	n.maker.run(opts.BlockTime)
	return n, nil
}

// Close stops the chain and forgets it.
func (n *Net) Close() error {
	n.maker.stop()
	n.rpc.Close()
	return n.stack.Close()
}

func start(opts Options) (*Net, error) {
	stack, err := newStack(opts.Listen)
	if err != nil {
		return nil, err
	}
	client := newClient("", opts.ChainID, stack.Attach())
	m, err := serve(stack, client)
	if err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	client.URL = stack.HTTPEndpoint()
	return &Net{Client: client, stack: stack, maker: m}, nil
}

// serve puts the client's chain and its APIs on the stack and starts it.
func serve(stack *node.Node, client *Client) (*maker, error) {
	backend, err := eth.New(stack, ethConfig(client.ChainID, client.All()))
	if err != nil {
		return nil, err
	}
	m := &maker{eth: backend}
	stack.RegisterAPIs([]rpc.API{
		{Namespace: "eth", Service: filters.NewFilterAPI(filters.NewFilterSystem(backend.APIBackend, filters.Config{}))},
		{Namespace: "dev", Service: &devAPI{m}},
		{Namespace: "dev", Service: &demoAPI{client}},
	})
	if err := stack.Start(); err != nil {
		return nil, err
	}
	m.beacon, err = catalyst.NewSimulatedBeacon(0, common.Address{}, backend)
	return m, err
}

// newStack is a node without peers and files that serves HTTP.
func newStack(listen string) (*node.Node, error) {
	host, port := "127.0.0.1", 0
	if listen != "" {
		h, p, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, err
		}
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("port %q is no number", p)
		}
		host = h
	}
	cfg := node.DefaultConfig
	cfg.DataDir = ""
	cfg.P2P = p2p.Config{NoDiscovery: true, NoDial: true}
	cfg.HTTPHost, cfg.HTTPPort = host, port
	cfg.HTTPModules = []string{"eth", "net", "web3", "dev"}
	cfg.HTTPCors = []string{"*"} // the wallets of web pages call from any origin
	return node.New(&cfg)
}

// ethConfig is an archive in memory, so that any depth can be read and undone.
func ethConfig(chain uint64, funded []Account) *ethconfig.Config {
	alloc := core.SystemContractAllocs()
	for _, a := range funded {
		alloc[a.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(10_000), big.NewInt(params.Ether))}
	}
	chainConfig := *params.AllDevChainProtocolChanges
	chainConfig.ChainID = new(big.Int).SetUint64(chain)
	cfg := ethconfig.Defaults
	cfg.Genesis = &core.Genesis{Config: &chainConfig, GasLimit: ethconfig.Defaults.Miner.GasCeil, Alloc: alloc}
	cfg.SyncMode = ethconfig.FullSync
	cfg.StateScheme, cfg.NoPruning = rawdb.HashScheme, true
	cfg.TxPool.NoLocals = true
	cfg.LogNoHistory = true // the index is made in the background, searches must see the last block
	cfg.TrieCleanCache, cfg.TrieDirtyCache, cfg.SnapshotCache = 16, 16, 0
	return &cfg
}
