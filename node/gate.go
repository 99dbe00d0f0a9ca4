package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"streamgate/app/access"
	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/app/access/identities"
	"streamgate/app/access/rules"
	"streamgate/app/access/sessions"
	"streamgate/app/stream"
	"streamgate/store"
)

// chaining makes the chains that wallets are on askable.
type chaining struct{}

func (chaining) Name() string { return "chains" }

func (chaining) Start(_ context.Context, k *Kernel) (err error) {
	k.chains = eth.Deny{}
	if len(k.Config.Chains) == 0 {
		return nil
	}
	cfg := evm.Config{Metrics: k.Metrics, Log: k.Log.With("service", "access"), Share: k.share(RoleMetadata)}
	for _, c := range k.Config.Chains {
		cfg.Chains = append(cfg.Chains, c.evmConfig())
	}
	k.chains, err = evm.New(cfg)
	return err
}

func (chaining) Stop(context.Context) error { return nil }

// authenticating says who sent a key or a login. A node that has access has it
// answer; every other one reads the records itself.
type authenticating struct{}

func (authenticating) Name() string { return "authentication" }

func (authenticating) Start(ctx context.Context, k *Kernel) error {
	logins, err := identities.NewLogins(ctx, k.Stores.Catalog)
	if err != nil {
		return err
	}
	auth := identities.NewAuthenticator(identities.AuthenticatorConfig{
		Keys: k.Stores.Catalog.Keys, Logins: logins, Log: k.Log.With("service", "access"), Bus: k.Bus,
	})
	k.Auth = auth
	k.Go("revoked keys", auth.Run)
	return nil
}

func (authenticating) Stop(context.Context) error { return nil }

// newGate makes access.
func newGate(ctx context.Context, k *Kernel) (*access.Service, error) {
	tickets, err := sessions.NewTickets(ctx, k.Stores.Catalog.Secrets)
	if err != nil {
		return nil, err
	}
	logins, err := identities.NewLogins(ctx, k.Stores.Catalog)
	if err != nil {
		return nil, err
	}
	log := k.Log.With("service", "access")
	if len(k.Config.Chains) > 0 && k.Config.APIGateway.PublicURL == "" && k.Config.APIGateway.Host != "127.0.0.1" && k.Config.APIGateway.Host != "localhost" {
		log.Warn("wallets sign in for the site that api_gateway.public_url names: set it, or they can do so on this machine only")
	}
	cfg := &k.Config.Access
	perWallet := cfg.MaxStreamsPerWallet
	if perWallet == 0 {
		perWallet = -1 // no limit
	}
	shown := k.Stores.Catalog
	shown.Videos = store.Shown(shown.Videos)
	return access.New(access.Config{
		Catalog: shown, Cache: k.Stores.Cache, Bus: k.Bus, Tickets: tickets, Logins: logins,
		Chains: k.chains, Log: log, Metrics: k.Metrics, Sites: k.sites,
		Policy: policy(k.Config.Chains), PollInterval: pollIntervals(k.Config.Chains),
		SessionTTL: k.Config.Streaming.SessionTTL, TicketTTL: cfg.TicketTTL, LoginTTL: cfg.LoginTTL,
		Recheck: cfg.RecheckInterval, MaxPerWallet: perWallet, MaxPerVideo: cfg.MaxViewersPerVideo,
		Share: k.share(RoleMetadata), Now: k.now,
	})
}

// sites are the base URLs that sign-in messages may be for. On loopback,
// where no other site can be, the machine's usual names are as good as its
// address.
func (k *Kernel) sites() []string {
	base := k.PublicURL()
	sites := []string{base}
	host, port, err := net.SplitHostPort(k.state.addr(publicServer))
	ip := net.ParseIP(host)
	if k.Config.APIGateway.PublicURL != "" || err != nil || ip == nil || !ip.IsLoopback() && !ip.IsUnspecified() {
		return sites
	}
	for _, name := range []string{"localhost", "127.0.0.1"} {
		if site := "http://" + net.JoinHostPort(name, port); site != base {
			sites = append(sites, site)
		}
	}
	return sites
}

// serveRuleSchema answers GET /rule.schema.json.
func serveRuleSchema(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write([]byte(rules.Schema())) // the client may have gone
}

// ticketGate makes the tickets of package sessions what package stream asks for.
type ticketGate struct {
	tickets *sessions.Tickets
	ended   *sessions.Ended
	now     func() time.Time // of the deployment
}

// ticketing checks playback tickets wherever media or their pages are served.
type ticketing struct{}

func (ticketing) Name() string { return "tickets" }

func (ticketing) Start(ctx context.Context, k *Kernel) error {
	tickets, err := sessions.NewTickets(ctx, k.Stores.Catalog.Secrets)
	if err != nil {
		return err
	}
	ended, err := sessions.NewEnded(ctx, k.Stores.Catalog.Sessions, k.Bus, k.Log)
	if err != nil {
		return err
	}
	k.Go("ended sessions", ended.Run)
	k.tickets = &ticketGate{tickets, ended, k.now}
	k.videoOf = func(token string) string {
		ticket, err := tickets.Verify(token, k.now())
		if err != nil {
			return token // the streaming node says why it does not count
		}
		return ticket.VideoID
	}
	return nil
}

func (ticketing) Stop(context.Context) error { return nil }

// Verify implements stream.Verifier.
func (g *ticketGate) Verify(token string, now time.Time) (string, error) {
	ticket, err := g.tickets.Verify(token, g.now())
	switch {
	case errors.Is(err, sessions.ErrExpired):
		return "", stream.ErrTicketExpired
	case err != nil:
		return "", stream.ErrTicketInvalid
	}
	if why := g.ended.Why(ticket.SessionID); why != nil {
		return "", &stream.EndedError{Code: why.Code, Sentence: why.Message, Admits: why.Admits}
	}
	if g.ended.Stale(now) {
		return "", fmt.Errorf("whether session %s goes on: %w", ticket.SessionID, store.ErrUnavailable)
	}
	return ticket.VideoID, nil
}
