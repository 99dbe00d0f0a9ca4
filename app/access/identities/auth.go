package identities

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
)

// CreateNonce implements rpc.AccessHandler.
func (i *Service) CreateNonce(ctx context.Context, _ *rpc.CreateNonceRequest) (*rpc.Nonce, error) {
	if err := i.Limits.SignIn(ctx); err != nil {
		return nil, err
	}
	site, err := i.site(ctx)
	if err != nil {
		return nil, err
	}
	nonce, err := i.signIn.Nonce(ctx)
	if err != nil {
		return nil, err
	}
	out := &rpc.Nonce{Nonce: nonce, ExpiresAt: timestamppb.New(time.Now().Add(NonceTTL)), Uri: site}
	if u, err := url.Parse(site); err == nil {
		out.Domain = u.Host
	}
	for _, id := range i.Chains.IDs() {
		out.Chains = append(out.Chains, &rpc.Chain{Id: float64(id), Name: i.ChainName(id)})
	}
	return out, nil
}

// SignIn implements rpc.AccessHandler.
func (i *Service) SignIn(ctx context.Context, req *rpc.SignInRequest) (*rpc.Login, error) {
	if err := i.Limits.SignIn(ctx); err != nil {
		return nil, err
	}
	site, err := i.site(ctx)
	if err != nil {
		return nil, err
	}
	login, token, err := i.signIn.Verify(ctx, site, req.Message, req.Signature)
	if err != nil {
		return nil, err
	}
	out := viewLogin(login)
	out.Token = token
	return out, nil
}

// SignOut implements rpc.AccessHandler.
func (i *Service) SignOut(ctx context.Context, _ *rpc.SignOutRequest) (*rpc.SignOutResponse, error) {
	if token := rpc.Caller(ctx).Login; token != "" {
		if err := i.Logins.SignOut(ctx, token, time.Now()); err != nil {
			return nil, err
		}
	}
	return &rpc.SignOutResponse{}, nil
}

// GetLogin implements rpc.AccessHandler.
func (i *Service) GetLogin(ctx context.Context, _ *rpc.GetLoginRequest) (*rpc.Login, error) {
	token := rpc.Caller(ctx).Login
	if token == "" {
		return nil, rpc.Errorf(connect.CodeUnauthenticated, "not_signed_in", "Nobody has signed in with a wallet: sign in first.")
	}
	login, err := i.Logins.Verify(ctx, token, time.Now())
	if err != nil {
		return nil, loginError(err)
	}
	return viewLogin(login), nil
}

// site is the base URL that messages must be for: the one by which the caller
// reached us if it is one of ours, else the main one. A Host header cannot
// make it another's.
func (i *Service) site(ctx context.Context) (string, error) {
	sites := i.Sites()
	if base := rpc.BaseURL(ctx); slices.Contains(sites, base) {
		return base, nil
	}
	if len(sites) == 0 {
		return "", rpc.Errorf(connect.CodeUnavailable, "starting", "The node is starting; try again in a moment.")
	}
	return sites[0], nil
}

// isLogin tells a login's token from an API key.
func isLogin(bearer string) bool { return strings.HasPrefix(bearer, loginPrefix) }

func loginError(err error) error {
	switch {
	case errors.Is(err, ErrExpired):
		return rpc.Errorf(connect.CodeUnauthenticated, "login_expired", "The sign-in has expired: sign in again.")
	case errors.Is(err, ErrSignedOut):
		return rpc.Errorf(connect.CodeUnauthenticated, "signed_out", "The wallet has signed out: sign in again.")
	case errors.Is(err, ErrInvalid):
		return rpc.Errorf(connect.CodeUnauthenticated, "invalid_login", "The sign-in was not made here: sign in again.")
	}
	return fmt.Errorf("check a sign-in: %w", err)
}

func viewLogin(l Login) *rpc.Login {
	return &rpc.Login{Wallet: l.Wallet.String(), ChainId: float64(l.Chain), ExpiresAt: timestamppb.New(l.Expires)}
}
