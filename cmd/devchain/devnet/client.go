package devnet

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

// minedWithin is how long a transaction may take to be in a block.
const minedWithin = 30 * time.Second

// gasLimit of every transaction: generous, so that none needs an estimate.
const gasLimit = 5_000_000

// Client acts on a development chain that runs here or elsewhere.
type Client struct {
	URL     string // of JSON-RPC over HTTP
	ChainID uint64
	Accounts
	Contracts

	rpc *rpc.Client
	eth *ethclient.Client
}

// Dial returns a client of the chain at an HTTP URL.
func Dial(ctx context.Context, url string) (*Client, error) {
	c, err := rpc.DialContext(ctx, url)
	if err != nil {
		return nil, err
	}
	id, err := ethclient.NewClient(c).ChainID(ctx)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("ask %s for its chain id: %w", url, err)
	}
	return newClient(url, id.Uint64(), c), nil
}

func newClient(url string, chain uint64, c *rpc.Client) *Client {
	accounts := demoAccounts()
	return &Client{URL: url, ChainID: chain, Accounts: accounts, Contracts: contractsOf(accounts.Deployer.Address),
		rpc: c, eth: ethclient.NewClient(c)}
}

// Eth is the chain's own API.
func (c *Client) Eth() *ethclient.Client { return c.eth }

// Send sends a transaction and returns its receipt once it is in a block. A
// transaction that failed in its block is an error. A nil to makes a contract.
func (c *Client) Send(ctx context.Context, from Account, to *common.Address, value *big.Int, data []byte) (*types.Receipt, error) {
	tx, err := c.sign(ctx, from, to, value, data)
	if err != nil {
		return nil, err
	}
	within := minedWithin
	receipt, err := c.eth.SendTransactionSync(ctx, tx, &within)
	if err != nil {
		return nil, fmt.Errorf("send a transaction of %s: %w", from.Name, err)
	}
	if receipt.Status != types.ReceiptStatusSuccessful {
		return receipt, fmt.Errorf("the transaction %s of %s failed in block %v", tx.Hash(), from.Name, receipt.BlockNumber)
	}
	return receipt, nil
}

func (c *Client) sign(ctx context.Context, from Account, to *common.Address, value *big.Int, data []byte) (*types.Transaction, error) {
	nonce, err := c.eth.PendingNonceAt(ctx, from.Address)
	if err != nil {
		return nil, fmt.Errorf("ask for the nonce of %s: %w", from.Name, err)
	}
	return c.signAt(nonce, from, to, value, data)
}

func (c *Client) signAt(nonce uint64, from Account, to *common.Address, value *big.Int, data []byte) (*types.Transaction, error) {
	id := new(big.Int).SetUint64(c.ChainID)
	return types.SignNewTx(from.Key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: to, Value: value, Data: data, Gas: gasLimit,
		GasTipCap: big.NewInt(params.GWei), GasFeeCap: big.NewInt(100 * params.GWei),
	})
}

// Pay sends wei.
func (c *Client) Pay(ctx context.Context, from Account, to common.Address, wei *big.Int) error {
	_, err := c.Send(ctx, from, &to, wei, nil)
	return err
}

// Mine makes n blocks.
func (c *Client) Mine(ctx context.Context, n int) error { return c.dev(ctx, "dev_mine", uint64(n)) }

// Reorg undoes the last depth blocks with all that is in them, and makes one
// more than that without transactions: the chain is longer, and another.
func (c *Client) Reorg(ctx context.Context, depth int) error {
	return c.dev(ctx, "dev_reorg", uint64(depth))
}

// Rollback undoes the last depth blocks and makes none: the chain is shorter.
func (c *Client) Rollback(ctx context.Context, depth int) error {
	return c.dev(ctx, "dev_rollback", uint64(depth))
}

// SetTime makes a block with that timestamp, which must be after the last one's.
func (c *Client) SetTime(ctx context.Context, t time.Time) error {
	return c.dev(ctx, "dev_setTime", uint64(t.Unix()))
}

// Head is the number of the newest block.
func (c *Client) Head(ctx context.Context) (uint64, error) { return c.eth.BlockNumber(ctx) }

func (c *Client) dev(ctx context.Context, method string, n uint64) error {
	return c.rpc.CallContext(ctx, nil, method, hexutil.Uint64(n))
}
