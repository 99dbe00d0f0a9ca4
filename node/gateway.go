package node

import (
	"context"
	"net/netip"

	"streamgate/app/gateway"
)

// edge is the public edge: REST, events and RPC on the public port, and all
// services on the gRPC port. A node that is no gateway has it for the operator's
// socket alone.
type edge struct{}

func (edge) Name() string { return "gateway" }

func (edge) Start(ctx context.Context, k *Kernel) error {
	cfg := &k.Config.APIGateway
	trusted, err := cfg.trustedProxies()
	if err != nil {
		return err
	}
	services := k.recorded().services()
	for pattern, h := range k.Mounts {
		k.recordedMounts[pattern] = k.recordUploads(h)
	}
	g, err := gateway.New(gateway.Config{
		Services: services, Mounts: k.recordedMounts, Auth: k.Auth, Cache: k.Stores.Cache, Bus: k.Bus,
		PublicURL: cfg.PublicURL, TrustedProxies: trusted, AllowedOrigins: k.Config.CORS.AllowedOrigins,
		RequestsPerSecond: cfg.RateLimit.RequestsPerSecond, Burst: cfg.RateLimit.Burst,
		Timeout: cfg.Timeout, Log: k.Log.With("service", "gateway"),
	})
	if err != nil {
		return err
	}
	if k.has(RoleGateway) {
		err = k.Serve(ctx, Server{
			Name: "grpc", Key: "api_gateway.grpc_port", Addr: cfg.addr(cfg.GRPCPort),
			Handler: gateway.NewRPC(gateway.RPCConfig{
				Services: services, Auth: k.Auth, PublicURL: cfg.PublicURL,
				AllowedOrigins: k.Config.CORS.AllowedOrigins, Log: k.Log,
			}),
		})
		if err != nil {
			return err
		}
	}
	// Event streams end as soon as the node begins to stop: they would hold up
	// the servers.
	context.AfterFunc(k.Draining(), g.Close)
	k.Live(func(c *Config) { g.SetLimit(c.APIGateway.RateLimit.RequestsPerSecond, c.APIGateway.RateLimit.Burst) }, "api_gateway.rate_limit")
	g.Mount(k.Mux)
	k.baseURL = g.BaseURL
	if k.clustered() && k.has(RoleGateway) && !k.has(RoleStreaming) {
		k.Mux.Handle("/s/", k.media)
		k.Mux.Handle("/v/", k.media)
	}
	if !k.has(RoleMetadata) {
		k.Mux.HandleFunc("GET /rule.schema.json", serveRuleSchema)
	}
	return nil
}

func (edge) Stop(context.Context) error { return nil }

// services are the peers as the gateway mounts them. A client is a handler
// too, so this works whether a peer is here or elsewhere.
func (p *Peers) services() []gateway.Service {
	return []gateway.Service{
		gateway.Library(p.Library), gateway.Uploads(p.Uploads), gateway.Transcoder(p.Transcoder),
		gateway.Access(p.Access), gateway.Monitor(p.Monitor), gateway.Webhooks(p.Webhooks), gateway.Alerts(p.Alerts),
	}
}

// trustedProxies are the configured networks.
func (g *APIGateway) trustedProxies() ([]netip.Prefix, error) { return prefixes(g.TrustedProxies) }

// prefixes reads networks; an address is a network of one.
func prefixes(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range texts {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, err
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}
