package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// maxWallets is how many wallets a person may have.
const maxWallets = 20

// Wallets checks what wallets sign (EIP-4361). Its nonces are the console's own:
// what is signed to watch does not sign in here, nor the other way round.
type Wallets interface {
	// Chains are the ids of the chains on which wallets may sign in.
	Chains() []uint64
	// Nonce issues one, good once within a few minutes.
	Nonce(ctx context.Context) (string, error)
	// Prove returns the address (EIP-55) that has signed a message for a site
	// that says just this statement.
	Prove(ctx context.Context, site, statement, message, signature string) (wallet string, err error)
	// Wallet is an address that somebody typed, as EIP-55 has it.
	Wallet(text string) (string, error)
}

// WalletChallenge is what a wallet is asked to sign: the fields of a message of
// EIP-4361.
type WalletChallenge struct {
	Nonce     string  `json:"nonce"`
	Domain    string  `json:"domain"`
	URI       string  `json:"uri"`
	Statement string  `json:"statement"`
	Chains    []chain `json:"chains"`
}

// chain is as the API's sign-in has it.
type chain struct {
	ID uint64 `json:"id"`
}

// signInStatement is what a wallet signs to sign in.
const signInStatement = "Sign in to the console that runs this node. This costs nothing and moves nothing."

// joinStatement is what a wallet signs to become a person's.
func joinStatement(person string) string {
	return "Let this wallet sign in as " + person + " to the console that runs this node. This costs nothing and moves nothing."
}

// WalletsUsable tells why no wallet can sign in: wallets_unavailable, or nil.
func (s *Service) WalletsUsable() error {
	if s.Wallets == nil || len(s.Wallets.Chains()) == 0 {
		return rpc.Errorf(connect.CodeFailedPrecondition, "wallets_unavailable",
			"Wallets sign in where the node knows a chain, by which contracts' signatures are checked: configure one under chains.")
	}
	return nil
}

// AskSignInWallet begins a sign-in with a wallet. base is the console's base URL
// as the browser says it: wallets_unavailable, too_many_attempts. It is here that
// attempts are counted: each needs a nonce.
func (s *Service) AskSignInWallet(ctx context.Context, base string, from From) (WalletChallenge, error) {
	return s.askWallet(ctx, base, signInStatement, from)
}

// AskWallet begins to make a wallet the caller's: as AskSignInWallet.
func (s *Service) AskWallet(ctx context.Context, base string, from From) (WalletChallenge, error) {
	return s.askWallet(ctx, base, joinStatement(rpc.Caller(ctx).Person), from)
}

func (s *Service) askWallet(ctx context.Context, base, statement string, from From) (WalletChallenge, error) {
	c := WalletChallenge{Statement: statement}
	if err := s.WalletsUsable(); err != nil {
		return c, err
	}
	if err := s.attemptBy(ctx, from.Client); err != nil {
		return c, err
	}
	site := s.walletSite(base)
	u, err := url.Parse(site)
	if err != nil {
		return c, fmt.Errorf("the console's base URL: %w", err)
	}
	c.Domain, c.URI = u.Host, site+"/console/"
	for _, id := range s.Wallets.Chains() {
		c.Chains = append(c.Chains, chain{id})
	}
	c.Nonce, err = s.Wallets.Nonce(ctx)
	return c, err
}

// walletSite is the base URL that messages must be for: the one at which the
// browser is if it is ours, else the main one. A Host header cannot make it
// another's; on loopback the machine's usual names are ours.
func (s *Service) walletSite(base string) string {
	main := s.Site()
	ours, err := url.Parse(main)
	asked, err2 := url.Parse(base)
	if err != nil || err2 != nil || !isLoopback(ours.Hostname()) || !isLoopback(asked.Hostname()) {
		return main
	}
	port := ours.Port()
	ours.Host = asked.Host
	if asked.Port() != port || ours.String() != base { // another port, scheme or path is another site
		return main
	}
	return base
}

// isLoopback tells whether a host is this machine, where no other site can be.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// SignInWithWallet begins a session of the person who has the wallet that has
// signed: unknown_wallet, and what Wallets.Prove refuses.
func (s *Service) SignInWithWallet(ctx context.Context, base, message, signature string, from From) (string, store.ConsoleSession, error) {
	var none store.ConsoleSession
	if err := s.WalletsUsable(); err != nil {
		return "", none, err
	}
	address, err := s.Wallets.Prove(ctx, s.walletSite(base), signInStatement, message, signature)
	if err != nil {
		return "", none, err
	}
	person, err := s.holds(ctx, address)
	if errors.Is(err, store.ErrNotFound) {
		s.Log.WarnContext(ctx, "sign-in to the console with a wallet refused", "wallet", address, "client", from.Client)
		return "", none, rpc.Errorf(connect.CodeUnauthenticated, "unknown_wallet",
			"The wallet %s signs nobody in here. Sign in another way and add it under your name, or ask an admin to.", address)
	}
	if err != nil {
		return "", none, fmt.Errorf("look up whose a wallet is: %w", err)
	}
	return s.begin(ctx, person, from)
}

// holds returns the person who has a wallet, and notes that it was used.
func (s *Service) holds(ctx context.Context, address string) (store.Person, error) {
	w, err := s.Catalog.Wallets.Update(ctx, address, func(w *store.Wallet) error {
		w.Used = time.Now().UTC()
		return nil
	})
	if err != nil {
		return store.Person{}, err
	}
	return s.Catalog.People.Get(ctx, w.Person)
}

// PersonWallets lists a person's wallets, newest first, or everybody's if name
// is "". Scope: admin, or the person's own.
func (s *Service) PersonWallets(ctx context.Context, name string) ([]store.Wallet, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil && (name == "" || rpc.Caller(ctx).Person != name) {
		return nil, err
	}
	list, err := s.wallets(ctx, name)
	slices.SortFunc(list, func(a, b store.Wallet) int { return b.Created.Compare(a.Created) })
	return list, err
}

func (s *Service) wallets(ctx context.Context, name string) ([]store.Wallet, error) {
	var out []store.Wallet
	for w, err := range store.All(ctx, s.Catalog.Wallets, store.Query{Parent: name}) {
		if err != nil {
			return nil, fmt.Errorf("list wallets: %w", err)
		}
		out = append(out, w)
	}
	return out, nil
}

// JoinWallet makes the wallet that has signed one of the caller's: what
// Wallets.Prove refuses, wallet_taken, too_many_wallets.
func (s *Service) JoinWallet(ctx context.Context, base, message, signature string) (address string, err error) {
	if err := s.WalletsUsable(); err != nil {
		return "", err
	}
	person := rpc.Caller(ctx).Person
	address, err = s.Wallets.Prove(ctx, s.walletSite(base), joinStatement(person), message, signature)
	if err != nil {
		return "", err
	}
	return address, s.addWallet(ctx, store.Wallet{Address: address, Person: person, Proved: true})
}

// AddWallet makes an address that an admin types one of another person's:
// invalid_wallet, wallet_unproved, person_not_found, wallet_taken,
// too_many_wallets. Scope: admin.
func (s *Service) AddWallet(ctx context.Context, person, typed string) (address string, err error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return "", err
	}
	if err := s.WalletsUsable(); err != nil {
		return "", err
	}
	if rpc.Caller(ctx).Person == person {
		return "", rpc.Invalid("wallet_unproved", "Your own wallet has to sign that it is yours: add it on your own page.")
	}
	if address, err = s.Wallets.Wallet(typed); err != nil {
		return "", err
	}
	if _, err := s.Catalog.People.Get(ctx, person); err != nil {
		return "", rpc.NotFound(err, "person", clip(person, 40))
	}
	return address, s.addWallet(ctx, store.Wallet{Address: address, Person: person})
}

func (s *Service) addWallet(ctx context.Context, w store.Wallet) error {
	has, err := s.wallets(ctx, w.Person)
	if err != nil {
		return err
	}
	if len(has) >= maxWallets {
		return rpc.Errorf(connect.CodeFailedPrecondition, "too_many_wallets", "%s has %d wallets; remove one first.", w.Person, len(has))
	}
	w.Created = time.Now().UTC()
	err = s.Catalog.Wallets.Create(ctx, w)
	if errors.Is(err, store.ErrExists) {
		return rpc.Errorf(connect.CodeAlreadyExists, "wallet_taken", "The wallet %s signs somebody in already; remove it there first.", w.Address)
	}
	if err != nil {
		return fmt.Errorf("add a wallet: %w", err)
	}
	return s.Audit.Append(ctx, Change{Action: "wallet.create", Object: w.Person, After: map[string]any{"address": w.Address, "proved": w.Proved}})
}

// RemoveWallet takes a wallet from its person: wallet_not_found. Scope: admin,
// or the wallet's own person. Sessions go on: they are ended one by one.
func (s *Service) RemoveWallet(ctx context.Context, address string) error {
	w, err := s.Catalog.Wallets.Get(ctx, address)
	if err != nil {
		return rpc.NotFound(err, "wallet", clip(address, 42))
	}
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil && rpc.Caller(ctx).Person != w.Person {
		return err
	}
	if err := s.Catalog.Wallets.Delete(ctx, address); err != nil {
		return rpc.NotFound(err, "wallet", clip(address, 42))
	}
	return s.Audit.Append(ctx, Change{Action: "wallet.delete", Object: w.Person, Before: map[string]any{"address": w.Address, "proved": w.Proved}})
}

func (s *Service) dropWallets(ctx context.Context, name string) error {
	list, err := s.wallets(ctx, name)
	if err != nil {
		return err
	}
	for _, w := range list {
		if err := s.Catalog.Wallets.Delete(ctx, w.Address); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("remove the wallets of %s: %w", name, err)
		}
	}
	return nil
}
