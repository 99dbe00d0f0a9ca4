package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
	"streamgate/cmd/devchain/devnet"
)

// session is what the bench reads of a playback session.
type session struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// session opens one: the caller's own, or with a key that of a wallet.
func (c caller) session(ctx context.Context, videoID, wallet string) (session, error) {
	var s session
	err := c.call(ctx, http.MethodPost, "/api/v1/videos/"+videoID+"/sessions", map[string]any{"wallet": wallet}, &s)
	return s, err
}

// player plays a session.
func (n *node) player(s session) player { return player{n.url + "/s/" + s.Token + "/"} }

// setRule says who may watch a video.
func (n *node) setRule(ctx context.Context, videoID string, rule any) error {
	return n.call(ctx, http.MethodPut, "/api/v1/videos/"+videoID+"/rule", map[string]any{"rule": rule}, nil)
}

// newWallets makes accounts that nobody has seen before.
func newWallets(n int) ([]devnet.Account, error) {
	wallets := make([]devnet.Account, n)
	for i := range wallets {
		key, err := crypto.GenerateKey()
		if err != nil {
			return nil, err
		}
		wallets[i] = devnet.Account{Name: fmt.Sprintf("wallet %d", i+1), Address: crypto.PubkeyToAddress(key.PublicKey), Key: key}
	}
	return wallets, nil
}

// site is for whom a wallet signs in, and with which nonce.
type site struct {
	Domain string `json:"domain"`
	URI    string `json:"uri"`
	Nonce  string `json:"nonce"`
}

// message is what a wallet signs to sign in (EIP-4361).
func (s site) message(who devnet.Account, chain uint64) string {
	return fmt.Sprintf("%s wants you to sign in with your Ethereum account:\n%s\n\nSign in to watch.\n\n"+
		"URI: %s\nVersion: 1\nChain ID: %d\nNonce: %s\nIssued At: %s",
		s.Domain, who.Address.Hex(), s.URI, chain, s.Nonce, time.Now().UTC().Format(time.RFC3339))
}

// signature signs a text as wallets do (EIP-191).
func signature(who devnet.Account, text string) (string, error) {
	sig, err := who.Sign(eth.PersonalHash(text))
	return fmt.Sprintf("0x%x", sig), err
}

// signIn signs a wallet in over the API, as the watch page does, and returns
// the same caller with its login.
func (c caller) signIn(ctx context.Context, who devnet.Account, chain uint64) (caller, error) {
	var s site
	var login struct {
		Token string `json:"token"`
	}
	if err := c.call(ctx, http.MethodPost, "/api/v1/auth/nonce", map[string]any{}, &s); err != nil {
		return c, err
	}
	text := s.message(who, chain)
	sig, err := signature(who, text)
	if err != nil {
		return c, err
	}
	err = c.call(ctx, http.MethodPost, "/api/v1/auth/verify", map[string]any{"message": text, "signature": sig}, &login)
	c.bearer = login.Token
	return c, err
}
