package console

import (
	"net/http"

	"streamgate/app/console"
)

// route is one row of the table: who may come, and who answers. need "" is open
// to everybody. stream marks answers and bodies without an end to wait for.
type route struct {
	pattern string
	need    console.Role
	serve   func(*visit)
	stream  bool
}

// routes is the URL space of the console on one screen. Who may only look can
// change nothing: every POST needs operator or admin, but for one's own session.
func (c *Console) routes() []route {
	const look, operate, admin = console.ReadOnly, console.Operator, console.Admin
	return []route{
		{pattern: "GET /console/setup", serve: (*visit).setup},
		{pattern: "POST /console/setup", serve: (*visit).doSetup},
		{pattern: "GET /console/sign-in", serve: (*visit).signIn},
		{pattern: "POST /console/sign-in", serve: (*visit).doSignIn},
		{pattern: "POST /console/sign-in/passkey/ask", serve: (*visit).askSignIn},
		{pattern: "POST /console/sign-in/passkey", serve: (*visit).passkeySignIn},
		{pattern: "POST /console/sign-in/wallet/ask", serve: (*visit).askSignInWallet},
		{pattern: "POST /console/sign-in/wallet", serve: (*visit).walletSignIn},
		{pattern: "POST /console/sign-out", need: look, serve: (*visit).signOut},
		{pattern: "GET " + eventsPath, need: look, serve: (*visit).events, stream: true},

		{pattern: "GET /console/{$}", need: look, serve: (*visit).overview},
		{pattern: "GET /console/find", need: look, serve: (*visit).find},
		{pattern: "GET /console/you", need: look, serve: (*visit).you},
		{pattern: "POST /console/you/password", need: look, serve: (*visit).ownPassword},
		{pattern: "POST /console/you/passkeys/ask", need: look, serve: (*visit).askPasskey},
		{pattern: "POST /console/you/passkeys", need: look, serve: (*visit).addPasskey},
		{pattern: "POST /console/you/passkeys/{id}/remove", need: look, serve: (*visit).removePasskey},
		{pattern: "POST /console/you/wallets/ask", need: look, serve: (*visit).askWallet},
		{pattern: "POST /console/you/wallets", need: look, serve: (*visit).joinWallet},
		{pattern: "POST /console/you/wallets/{address}/remove", need: look, serve: (*visit).removeWallet},
		{pattern: "POST /console/you/sessions/{id}/end", need: look, serve: (*visit).endOwn},

		{pattern: "GET /console/queue", need: look, serve: (*visit).queue},
		{pattern: "POST /console/queue", need: operate, serve: (*visit).changeQueue},
		{pattern: "POST /console/queue/pause", need: operate, serve: (*visit).pauseQueue},
		{pattern: "POST /console/queue/resume", need: operate, serve: (*visit).resumeQueue},
		{pattern: "GET /console/tasks/{id}", need: look, serve: (*visit).task},
		{pattern: "POST /console/tasks/{id}", need: operate, serve: (*visit).changeTask},
		{pattern: "GET /console/workers", need: look, serve: (*visit).workers},
		{pattern: "POST /console/workers", need: operate, serve: (*visit).changeWorkers},

		{pattern: "GET /console/videos", need: look, serve: (*visit).videos},
		{pattern: "POST /console/videos/upload", need: operate, serve: (*visit).uploadForm, stream: true},
		{pattern: "/console/api/v1/uploads", need: operate, serve: (*visit).tus, stream: true},
		{pattern: "/console/api/v1/uploads/", need: operate, serve: (*visit).tus, stream: true},
		{pattern: "GET /console/videos/{id}", need: look, serve: (*visit).video},
		{pattern: "POST /console/videos/{id}", need: operate, serve: (*visit).changeVideo},
		{pattern: "POST /console/videos/{id}/rule", need: operate, serve: (*visit).changeRule},
		{pattern: "GET /console/videos/{id}/delete", need: operate, serve: (*visit).askDelete},
		{pattern: "POST /console/videos/{id}/delete", need: operate, serve: (*visit).deleteVideo},
		{pattern: "POST /console/videos/{id}/undo", need: operate, serve: (*visit).undoDelete},
		{pattern: "POST /console/videos/{id}/transcode", need: operate, serve: (*visit).transcode},
		{pattern: "GET /console/videos/{id}/player", need: look, serve: (*visit).player},
		{pattern: "GET /console/videos/{id}/poster.jpg", need: look, serve: (*visit).poster},

		{pattern: "GET /console/access", need: operate, serve: (*visit).access},
		{pattern: "POST /console/access/end", need: operate, serve: (*visit).endSessions},
		{pattern: "GET /console/access/rules", need: operate, serve: (*visit).rules},
		{pattern: "POST /console/access/rules", need: operate, serve: (*visit).addRule},
		{pattern: "GET /console/access/rules/{name}", need: operate, serve: (*visit).rule},
		{pattern: "POST /console/access/rules/{name}", need: operate, serve: (*visit).changeNamedRule},
		{pattern: "GET /console/access/codes", need: operate, serve: (*visit).codes},
		{pattern: "POST /console/access/codes", need: operate, serve: (*visit).createCodes},
		{pattern: "POST /console/access/codes/{pool}/delete", need: operate, serve: (*visit).deleteCodes},

		{pattern: "GET /console/metrics", need: look, serve: (*visit).metrics},
		{pattern: "GET /console/alerts", need: look, serve: (*visit).alerts},
		{pattern: "POST /console/alerts/{id}/silence", need: operate, serve: (*visit).silenceAlert},
		{pattern: "POST /console/alerts/{id}/unsilence", need: operate, serve: (*visit).unsilenceAlert},
		{pattern: "GET /console/nodes", need: look, serve: (*visit).nodes},
		{pattern: "POST /console/nodes", need: operate, serve: (*visit).changeNode},
		{pattern: "POST /console/nodes/remove", need: admin, serve: (*visit).removeNode},
		{pattern: "GET /console/webhooks", need: operate, serve: (*visit).webhooks},
		{pattern: "POST /console/webhooks", need: operate, serve: (*visit).addWebhook},
		{pattern: "GET /console/webhooks/{id}", need: operate, serve: (*visit).webhook},
		{pattern: "POST /console/webhooks/{id}", need: operate, serve: (*visit).changeWebhook},
		{pattern: "POST /console/webhooks/{id}/redeliver", need: operate, serve: (*visit).redeliver},

		{pattern: "GET /console/keys", need: admin, serve: (*visit).keys},
		{pattern: "POST /console/keys", need: admin, serve: (*visit).createKey},
		{pattern: "POST /console/keys/{id}/revoke", need: admin, serve: (*visit).revokeKey},
		{pattern: "GET /console/people", need: admin, serve: (*visit).people},
		{pattern: "POST /console/people", need: admin, serve: (*visit).addPerson},
		{pattern: "POST /console/people/{name}", need: admin, serve: (*visit).changePerson},
		{pattern: "POST /console/wallets", need: admin, serve: (*visit).addWallet},
		{pattern: "GET /console/settings", need: operate, serve: (*visit).settings},
		{pattern: "GET /console/audit", need: operate, serve: (*visit).audit},
		{pattern: "POST /console/audit/verify", need: operate, serve: (*visit).verifyAudit},
		{pattern: "/console/", need: look, serve: (*visit).nothing},
	}
}

// Routes mounts the console.
func (c *Console) Routes(mux *http.ServeMux) {
	for _, r := range c.routes() {
		mux.HandleFunc(r.pattern, c.guard(r))
	}
	mux.Handle("GET /console", http.RedirectHandler(c.Assets.Root+"/console/", http.StatusSeeOther))
}

func (v *visit) nothing() {
	v.refuse(http.StatusNotFound, "There is no such page", "The address may not be complete. The navigation leads to every page.")
}
