package node

import (
	"context"
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/access/identities"
	"streamgate/app/access/sessions"
	"streamgate/app/console"
	"streamgate/app/library"
	"streamgate/app/rpc"
	"streamgate/assets"
	"streamgate/ui"
	pages "streamgate/ui/console"
)

// auditing keeps the audit log, to which the services' changes go whoever makes
// them, and the decisions about viewers: what serves callers takes the services
// from recorded.
type auditing struct{}

func (auditing) Name() string { return "audit" }

func (auditing) Start(_ context.Context, k *Kernel) error {
	k.audit = console.NewLog(k.Stores.Catalog)
	k.decisions = console.NewDecisions(console.DecisionsConfig{
		Catalog: k.Stores.Catalog, Cache: k.Stores.Cache, Log: k.Log.With("service", "decisions"),
	})
	k.Go("decisions", k.decisions.Run)
	return nil
}

func (auditing) Stop(context.Context) error { return nil }

// recorded are the peers as callers get them: their changes go to the audit log.
func (k *Kernel) recorded() *Peers {
	p := k.Peers
	p.Library, p.Transcoder = k.audit.Library(p.Library), k.audit.Transcoder(k.everyTranscoder(p.Transcoder))
	p.Webhooks, p.Alerts = k.audit.Webhooks(p.Webhooks), k.audit.Alerts(p.Alerts)
	p.Uploads, p.Monitor = k.audit.Uploads(p.Uploads), k.audit.Monitor(k.everyMonitor(p.Monitor))
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
		Site: k.consoleURL, Wallets: identities.NewSignIn(identities.SignInConfig{Cache: k.Stores.Cache, Chains: k.chains, Use: "console/"}),
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
	deletions := &library.Deletions{Videos: k.Stores.Catalog.Videos, Transcoder: k.Peers.Transcoder, Bus: k.Bus, Log: log}
	c.pages, err = pages.New(pages.Config{
		Library: peers.Library, Transcoder: peers.Transcoder, Access: peers.Access, Monitor: peers.Monitor,
		Webhooks: peers.Webhooks, Alerts: peers.Alerts,
		Deletions: k.audit.Deletions(deletions), UndoFor: library.UndoFor,
		People: people, Audit: k.audit, Bus: k.Bus, Assets: set,
		Uploads: k.recordedMounts[uploadPattern], PutSource: k.recordedMounts[sourcePattern].ServeHTTP, Still: still,
		Decisions: k.decisions, Profiles: k.Config.Transcoder.profileNames(), Settings: k.settings, Chains: k.chainStates,
		PublicURL: k.consolePublicURL(), SiteURL: k.siteURL, TrustedProxies: trusted, Log: log,
	})
	if err != nil {
		return err
	}
	c.pages.Routes(k.consoleMux())
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

// consoleServer is the name of the server on console.listen.
const consoleServer = "console"

// consoleMux is where the console's routes go: the public port's, or one of its
// own, which has the rest too: pages hold the player.
func (k *Kernel) consoleMux() *http.ServeMux {
	if k.Config.Console.Listen == "" {
		return k.Mux
	}
	k.ownConsole = http.NewServeMux()
	k.ownConsole.Handle("/", k.Mux)
	return k.ownConsole
}

// consolePublicURL is the configured base URL of the console, "" if it is what
// requests say.
func (k *Kernel) consolePublicURL() string {
	if k.Config.Console.Listen == "" {
		return k.Config.APIGateway.PublicURL
	}
	return k.Config.Console.PublicURL
}

// siteURL is the base URL of viewers' pages for who asks the console.
func (k *Kernel) siteURL(r *http.Request) string {
	if k.Config.Console.Listen == "" {
		return k.baseURL(r)
	}
	return k.PublicURL()
}

// consoleURL is the base URL of the console, without a trailing slash.
func (k *Kernel) consoleURL() string {
	if k.Config.Console.Listen == "" {
		return k.PublicURL()
	}
	if base := k.Config.Console.PublicURL; base != "" {
		return strings.TrimRight(base, "/")
	}
	addr := k.state.addr(consoleServer)
	if addr == "" {
		addr = k.Config.Console.Listen
	}
	return plainURL(addr) + k.Config.APIGateway.root()
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

// SetupLinkPath is where the admin socket makes a set-up link: POST, with
// ?reset=true for one that may name a person that there is.
const SetupLinkPath = "/setup-link"

// SetupLink is the answer.
type SetupLink struct {
	Link    string `json:"link"`    // makes one admin, once, within a day
	Console string `json:"console"` // where people sign in afterwards
}

// setupLink makes a link; one that was made before no longer counts.
func (k *Kernel) setupLink(ctx context.Context, reset bool) (SetupLink, error) {
	if k.people == nil {
		return SetupLink{}, rpc.Errorf(connect.CodeFailedPrecondition, "no_console", "This node has no console: set console.enabled to true.")
	}
	token, err := k.people.SetupToken(ctx, reset)
	if err != nil {
		return SetupLink{}, err
	}
	base := k.consoleURL()
	return SetupLink{Link: base + console.SetupPath + token, Console: base + "/console/"}, nil
}

// serveSetupLink answers SetupLinkPath.
func (k *Kernel) serveSetupLink(w http.ResponseWriter, r *http.Request) {
	link, err := k.setupLink(rpc.WithIdentity(r.Context(), rpc.Identity{Scope: rpc.ScopeAdmin}), r.FormValue("reset") == "true")
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(link) // the client is gone if it fails
}

// AuditVerifyPath is where the admin socket checks the audit log.
const AuditVerifyPath = "/audit/verify"

// AuditVerdict is the answer.
type AuditVerdict struct {
	Entries int    `json:"entries"`
	Fault   string `json:"fault"` // "" if the chain is whole
	At      string `json:"at"`    // the entry where it is not
}

// serveAuditVerify answers AuditVerifyPath.
func (k *Kernel) serveAuditVerify(w http.ResponseWriter, r *http.Request) {
	v, err := k.audit.Verify(rpc.WithIdentity(r.Context(), rpc.Identity{Scope: rpc.ScopeAdmin}))
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(AuditVerdict{v.Entries, v.Fault, strings.TrimLeft(v.At, "0")}) // the client is gone if it fails
}

// FirstLink makes a set-up link while nobody can sign in yet, and is ""
// afterwards.
func (n *Node) FirstLink(ctx context.Context) (string, error) {
	if n.kernel.people == nil {
		return "", nil
	}
	empty, err := n.kernel.people.Empty(ctx)
	if err != nil || !empty {
		return "", err
	}
	made, err := n.kernel.setupLink(ctx, false)
	return made.Link, err
}
