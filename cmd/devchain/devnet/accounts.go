package devnet

import (
	"crypto/ecdsa"
	"crypto/sha256"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Account is a funded account whose key everybody knows.
type Account struct {
	Name    string
	Address common.Address
	Key     *ecdsa.PrivateKey
}

// Accounts are the demo accounts. They begin with ether and without tokens;
// the names only suggest a use.
type Accounts struct {
	Deployer Account // deploys the contracts and mints
	Holder   Account
	Stranger Account
	Buyer    Account
	Vault    Account // a cold wallet …
	Hot      Account // … and the one that acts for it
}

// All lists the accounts in their order.
func (a Accounts) All() []Account {
	return []Account{a.Deployer, a.Holder, a.Stranger, a.Buyer, a.Vault, a.Hot}
}

func demoAccounts() Accounts {
	return Accounts{
		Deployer: demoAccount("deployer"), Holder: demoAccount("holder"), Stranger: demoAccount("stranger"),
		Buyer: demoAccount("buyer"), Vault: demoAccount("vault"), Hot: demoAccount("hot"),
	}
}

// demoAccount derives the key from the name alone.
func demoAccount(name string) Account {
	seed := sha256.Sum256([]byte("streamgate devchain account: " + name))
	key, err := crypto.ToECDSA(seed[:])
	if err != nil {
		panic("devnet: the name " + name + " gives no key") // fixed names: seen at the first start
	}
	return Account{Name: name, Address: crypto.PubkeyToAddress(key.PublicKey), Key: key}
}
