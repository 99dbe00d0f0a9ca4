package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// demoID is the token of the NFT that a demonstration hands to and fro.
func demoID() *big.Int { return big.NewInt(1) }

// Token is the demo token and who has it.
type Token struct {
	Contract common.Address `json:"contract"`
	ID       *hexutil.Big   `json:"id"`
	Owner    common.Address `json:"owner"`
	Name     string         `json:"name"` // the owner's, if it is one of the accounts
}

// MintDemo gives the demo token to the holder.
func (c *Client) MintDemo(ctx context.Context) error {
	return c.Mint721ID(ctx, c.Holder.Address, demoID())
}

// demoAPI is the other part of the namespace dev_: wallets and a token for a
// page that demonstrates. Keys stay here; whoever reaches the chain may use
// them, as everybody knows them.
type demoAPI struct{ client *Client }

// demoName is how an account is told to a page.
type demoName struct {
	Name    string         `json:"name"`
	Address common.Address `json:"address"`
}

// Accounts lists the demo accounts: dev_accounts.
func (a *demoAPI) Accounts() []demoName {
	var out []demoName
	for _, one := range a.client.All() {
		out = append(out, demoName{one.Name, one.Address})
	}
	return out
}

// PersonalSign signs a message as a wallet does when asked with personal_sign
// (EIP-191): dev_personalSign.
func (a *demoAPI) PersonalSign(name string, message hexutil.Bytes) (hexutil.Bytes, error) {
	who, err := a.account(name)
	if err != nil {
		return nil, err
	}
	return who.Sign([32]byte(accounts.TextHash(message)))
}

// DemoToken tells who has the demo token: dev_demoToken.
func (a *demoAPI) DemoToken(ctx context.Context) (*Token, error) {
	answer, err := a.client.Ask(ctx, "NFT", a.client.NFT, "ownerOf", demoID())
	if err != nil {
		return nil, errors.New("nobody has the demo token: start the chain with --demo")
	}
	owner, ok := answer[0].(common.Address)
	if !ok {
		return nil, fmt.Errorf("the owner of the demo token is %v", answer[0])
	}
	token := &Token{Contract: a.client.NFT, ID: (*hexutil.Big)(demoID()), Owner: owner}
	for _, one := range a.client.All() {
		if one.Address == owner {
			token.Name = one.Name
		}
	}
	return token, nil
}

// HandOver gives the demo token to an account, and returns once that is in a
// block: dev_handOver.
func (a *demoAPI) HandOver(ctx context.Context, to string) (*Token, error) {
	receiver, err := a.account(to)
	if err != nil {
		return nil, err
	}
	token, err := a.DemoToken(ctx)
	if err != nil {
		return nil, err
	}
	owner, err := a.account(token.Name)
	if err != nil {
		return nil, fmt.Errorf("the demo token is out of reach: %w", err)
	}
	if owner.Address != receiver.Address {
		if err := a.client.Transfer721(ctx, owner, receiver.Address, demoID()); err != nil {
			return nil, err
		}
	}
	return a.DemoToken(ctx)
}

func (a *demoAPI) account(name string) (Account, error) {
	for _, one := range a.client.All() {
		if one.Name == name {
			return one, nil
		}
	}
	return Account{}, fmt.Errorf("there is no account %q", name)
}
