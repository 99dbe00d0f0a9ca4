package node

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"time"

	"streamgate/app/access/sessions"
	"streamgate/app/console"
	"streamgate/assets"
	"streamgate/ui"
	pages "streamgate/ui/console"
)

// auditing keeps the audit log, to which the services' changes go whoever makes
// them, and remembers the last decisions: what serves callers takes the services
// from recorded.
type auditing struct{}

func (auditing) Name() string { return "audit" }

func (auditing) Start(_ context.Context, k *Kernel) error {
	k.audit, k.decisions = console.NewLog(k.Stores.Catalog), &console.Decisions{}
	return nil
}

func (auditing) Stop(context.Context) error { return nil }

// recorded are the peers as callers get them: their changes go to the audit log.
func (k *Kernel) recorded() *Peers {
	p := k.Peers
	p.Library, p.Transcoder = k.audit.Library(p.Library), k.audit.Transcoder(p.Transcoder)
	p.Webhooks, p.Uploads = k.audit.Webhooks(p.Webhooks), k.audit.Uploads(p.Uploads)
	p.Access = k.decisions.Access(k.audit.Access(p.Access))
	return &p
}

// recordUploads appends the uploads that callers begin or break off: these come
// over HTTP and not through a service.
func (k *Kernel) recordUploads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		c := console.Change{Action: "upload.create", Object: path.Base(w.Header().Get("Location"))}
		switch {
		case rec.status == http.StatusCreated:
		case rec.status == http.StatusAccepted && r.Method == http.MethodPut:
			c.Object = r.PathValue("id")
		case rec.status == http.StatusNoContent && r.Method == http.MethodDelete:
			c.Action, c.Object = "upload.delete", path.Base(r.URL.Path)
		default:
			return
		}
		if err := k.audit.Append(r.Context(), c); err != nil { // the answer has gone
			k.Log.Error("an upload is not in the audit log", "action", c.Action, "id", c.Object, "err", err)
		}
	})
}

// consoling serves the pages for people: viewers' and the operator's.
type consoling struct{ pages *pages.Console }

func (*consoling) Name() string { return "console" }

func (c *consoling) Start(ctx context.Context, k *Kernel) error {
	set, err := assets.Load()
	if err != nil {
		return err
	}
	set.Root = k.Config.APIGateway.root()
	ui.New(ui.Config{
		Library: k.Peers.Library, Ticket: k.tickets.Verify, Assets: set, BaseURL: k.baseURL,
		Framers: k.Config.Embed.AllowedOrigins, DemoChain: k.Config.Access.DemoChain, Log: k.Log.With("service", "ui"),
	}).Routes(k.Mux)
	if !k.Config.Console.Enabled {
		return nil
	}
	return c.startPages(ctx, k, set)
}

func (c *consoling) startPages(ctx context.Context, k *Kernel, set *assets.Set) error {
	log := k.Log.With("service", "console")
	people := console.New(console.Config{
		Catalog: k.Stores.Catalog, Cache: k.Stores.Cache, Audit: k.audit, Log: log, SessionTTL: k.Config.Console.SessionTTL,
	})
	trusted, err := k.Config.APIGateway.trustedProxies()
	if err != nil {
		return err
	}
	still, err := k.stills(ctx)
	if err != nil {
		return err
	}
	peers := k.recorded()
	c.pages, err = pages.New(pages.Config{
		Library: peers.Library, Transcoder: peers.Transcoder, Access: peers.Access, Monitor: peers.Monitor,
		People: people, Audit: k.audit, Bus: k.Bus, Assets: set,
		Uploads: k.Mounts["/api/v1/uploads/"], PutSource: k.Mounts["PUT /api/v1/videos/{id}/source"].ServeHTTP, Still: still,
		Decisions: k.decisions.Last, Settings: k.Config.settings, Chains: k.chainStates,
		PublicURL: k.Config.APIGateway.PublicURL, TrustedProxies: trusted, Log: log,
	})
	if err != nil {
		return err
	}
	c.pages.Routes(k.Mux)
	k.people = people
	// Event streams end as soon as the node begins to stop: they would hold up
	// the servers.
	context.AfterFunc(k.Draining(), c.pages.Close)
	k.Go("console sessions", people.Run)
	return nil
}

func (c *consoling) Stop(context.Context) error {
	if c.pages != nil {
		c.pages.Close()
	}
	return nil
}

// stillTicket is how long a ticket for one still is good.
const stillTicket = time.Minute

// stills serves images of videos to those who have signed in to the console,
// whatever the videos' rules: with a ticket that never leaves the node.
func (k *Kernel) stills(ctx context.Context) (func(http.ResponseWriter, *http.Request, string, string), error) {
	tickets, err := sessions.NewTickets(ctx, k.Stores.Catalog.Secrets)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, r *http.Request, videoID, name string) {
		ticket := tickets.Sign(sessions.Ticket{SessionID: "console", VideoID: videoID, Expires: time.Now().Add(stillTicket)})
		inner := r.Clone(r.Context())
		inner.URL.Path, inner.URL.RawPath = "/s/"+ticket+"/"+name, ""
		k.media.ServeHTTP(w, inner)
	}, nil
}

// SetupLink makes a link that lets its first user become admin of the console,
// once, within a day; one that was made before no longer counts.
func (n *Node) SetupLink(ctx context.Context) (string, error) {
	if n.kernel.people == nil {
		return "", fmt.Errorf("this node has no console: set console.enabled to true")
	}
	token, err := n.kernel.people.SetupToken(ctx)
	if err != nil {
		return "", err
	}
	return n.kernel.PublicURL() + console.SetupPath + token, nil
}

// FirstLink is SetupLink while nobody can sign in yet, and "" afterwards.
func (n *Node) FirstLink(ctx context.Context) (string, error) {
	if n.kernel.people == nil {
		return "", nil
	}
	empty, err := n.kernel.people.Empty(ctx)
	if err != nil || !empty {
		return "", err
	}
	return n.SetupLink(ctx)
}
