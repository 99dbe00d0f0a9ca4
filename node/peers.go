package node

import (
	"context"
	"net/http"
	"path"
	"strings"

	"streamgate/app/rpc"
	"streamgate/node/cluster"
)

// calling makes the services of other nodes callable: clients of them are the
// Kernel's Peers until this node's own services take their places. A monolith
// calls nobody.
type calling struct{ pool *cluster.Pool }

func (*calling) Name() string { return "peers" }

func (c *calling) Start(_ context.Context, k *Kernel) error {
	if !k.clustered() {
		return nil
	}
	c.pool = cluster.NewPool(k.Registry, k.identity)
	k.pool = c.pool
	k.remote = clients(c.pool)
	k.Peers = k.remote
	if !k.has(RoleUpload) {
		uploads := c.pool.Proxy(string(RoleUpload), uploadKey, k.Log)
		k.mountUploads(uploads, uploads)
	}
	if !k.has(RoleStreaming) {
		k.media = c.pool.Proxy(string(RoleStreaming), k.mediaKey, k.Log)
	}
	k.Go("renew the certificate", func(ctx context.Context) error { return k.identity.Renew(ctx, k.ca, c.pool, k.Log) })
	return nil
}

func (c *calling) Stop(context.Context) error {
	if c.pool != nil {
		c.pool.Close()
	}
	return nil
}

// clients are the services as other nodes offer them. Every node has a monitor and
// alerts of its own; what is asked of others' monitors names the node.
func clients(pool *cluster.Pool) Peers {
	metadata := pool.HTTPClient(string(RoleMetadata))
	at, options := cluster.URL(string(RoleMetadata)), cluster.ClientOptions(string(RoleMetadata))
	const every = cluster.AnyRole
	return Peers{
		Monitor: rpc.NewMonitorClient(pool.HTTPClient(every), cluster.URL(every), cluster.ClientOptions(every)...),
		Library: rpc.NewLibraryClient(metadata, at, options...),
		Access:  rpc.NewAccessClient(metadata, at, options...), Webhooks: rpc.NewWebhooksClient(metadata, at, options...),
		Uploads:    rpc.NewUploadsClient(pool.HTTPClient(string(RoleUpload)), cluster.URL(string(RoleUpload)), cluster.ClientOptions(string(RoleUpload))...),
		Transcoder: rpc.NewTranscoderClient(pool.HTTPClient(string(RoleTranscoder)), cluster.URL(string(RoleTranscoder)), cluster.ClientOptions(string(RoleTranscoder))...),
	}
}

// uploadKey keeps the requests of one upload together: its id, or, for a whole
// source in one request, its video.
func uploadKey(r *http.Request) string {
	if id := r.PathValue("id"); id != "" {
		return id
	}
	return path.Base(r.URL.Path)
}

// mediaKey keeps the requests for one video together, so that nodes' caches hold
// different ones.
func (k *Kernel) mediaKey(r *http.Request) string {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 2 {
		return ""
	}
	if parts[0] == "s" && k.videoOf != nil {
		return k.videoOf(parts[1])
	}
	return parts[1]
}
