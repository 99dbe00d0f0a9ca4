package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"streamgate/store"
)

// TestCatalog checks every part of a store.Catalog. open returns an empty one
// that is closed by the test's cleanup.
func TestCatalog(t *testing.T, open func(t *testing.T) store.Catalog) {
	t.Run("uploads", func(t *testing.T) {
		TestTable(t, func(t *testing.T) store.Table[store.Upload] { return open(t).Uploads })
	})
	t.Run("plans", func(t *testing.T) {
		TestPlans(t, func(t *testing.T) store.Plans { return open(t).Plans })
	})
	t.Run("secrets", func(t *testing.T) {
		TestSecrets(t, func(t *testing.T) store.Secrets { return open(t).Secrets })
	})
	t.Run("every table is its own", func(t *testing.T) { testTables(t, open(t)) })
}

// testTables keeps a record of each type under the same id.
func testTables(t *testing.T, c store.Catalog) {
	now := NewClock().Now()
	failure := &store.Failure{Code: "not_a_video", Message: "This is no video."}
	video := store.Video{ID: "x", Title: "T – ü", State: store.VideoFailed, Rule: json.RawMessage(`{"public":true}`), Failure: failure, Created: now, Updated: now}
	task := store.Task{ID: "x", VideoID: "x", State: store.TaskFailed, Progress: 12.5, Failure: failure, Created: now, Started: now}
	key := store.Key{ID: "x", Name: "CI", Scope: "admin", Hash: []byte{0, 0xff}, Created: now}

	rule := store.Rule{Name: "x", Rule: json.RawMessage(`{"public":true}`), Created: now, Updated: now}
	session := store.Session{
		ID: "x", VideoID: "x", State: store.SessionEnded, Wallet: "0x1", Vaults: []string{"0x2"},
		Proofs: map[string]string{"password:a": "good"}, Memory: json.RawMessage(`{"a":1}`),
		Created: now, Ticket: now, Expires: now, Failure: failure,
	}
	code := store.Code{ID: "x", Pool: "p", Used: 2, Created: now}
	out := store.SignOut{ID: "x", Expires: now}
	cursor := store.ChainCursor{ID: "x", Block: 1<<63 + 1, Hash: []byte{0, 0xff}}
	decision := store.Decision{
		ID: "x", VideoID: "x", Outcome: store.DecisionRefused, Wallet: "0x1", Vaults: []string{"0x2"}, Preview: true, Client: "::1",
		Reason: "not_a_holder", Why: "W – ü", Count: 3, First: now, Last: now.Add(time.Second),
	}

	webhook := store.Webhook{
		ID: "x", URL: "https://a.example/ü", Events: []string{"*"}, State: store.WebhookDisabled, Failure: failure,
		Keys: []store.WebhookKey{{Bytes: []byte{0, 0xff}}, {Bytes: []byte{1}, Expires: now}}, Created: now, Updated: now, Since: now,
	}
	delivery := store.Delivery{
		ID: "x", WebhookID: "x", Event: "video.ready", Payload: json.RawMessage(`{"type":"video.ready"}`), State: store.DeliveryWaiting,
		Attempts: 2, LastStatus: 500, LastError: "e", Answer: "<p>", Next: now, Created: now,
		Lease: store.Lease{Token: 3, Owner: store.Owner{Node: "n", Boot: "b"}, Expires: now},
	}

	check(t, c.Webhooks.Create(t.Context(), webhook))
	check(t, c.Deliveries.Create(t.Context(), delivery))
	person := store.Person{Name: "x", Role: "admin", Password: "$argon2id$", Created: now, Updated: now}
	link := store.SetupLink{ID: "x", Created: now, Expires: now}
	visit := store.ConsoleSession{ID: "x", Person: "x", Agent: "A – b", Client: "::1", Created: now, Seen: now, Expires: now}
	passkey := store.Passkey{ID: "x", Person: "x", Name: "ü", Credential: json.RawMessage(`{"id":"eA=="}`), Created: now, Used: now}
	wallet := store.Wallet{Address: "x", Person: "x", Proved: true, Created: now, Used: now}
	entry := store.AuditEntry{ID: "x", At: now, Who: "person x", Action: "video.update", Kind: "video", Object: "x", Before: json.RawMessage(`{"title":"a\u003cb"}`), Hash: "00"}
	head := store.AuditHead{ID: "x", Last: "x", Hash: "00"}

	alert := store.Alert{
		ID: "x", Rule: "queue_length", Severity: "critical", State: store.AlertFiring, Summary: "S – ü", Value: 1.5, Pending: now, Fired: now,
		Silence: &store.Silence{Until: now, By: "person x", Reason: "r"}, Told: true, Notice: &store.Notice{State: store.AlertFiring, At: now},
	}

	check(t, c.Alerts.Create(t.Context(), alert))
	check(t, c.People.Create(t.Context(), person))
	check(t, c.SetupLinks.Create(t.Context(), link))
	check(t, c.ConsoleSessions.Create(t.Context(), visit))
	check(t, c.Passkeys.Create(t.Context(), passkey))
	check(t, c.Wallets.Create(t.Context(), wallet))
	check(t, c.Audit.Create(t.Context(), entry))
	check(t, c.AuditHeads.Create(t.Context(), head))
	check(t, c.Rules.Create(t.Context(), rule))
	check(t, c.Sessions.Create(t.Context(), session))
	check(t, c.Codes.Create(t.Context(), code))
	check(t, c.SignOuts.Create(t.Context(), out))
	check(t, c.Cursors.Create(t.Context(), cursor))
	check(t, c.Decisions.Create(t.Context(), decision))
	check(t, c.Videos.Create(t.Context(), video))
	check(t, c.Tasks.Create(t.Context(), task))
	check(t, c.Uploads.Create(t.Context(), upload("x", "x", store.UploadComplete)))
	check(t, c.Keys.Create(t.Context(), key))
	check(t, c.Removals.Create(t.Context(), store.Removal{VideoID: "x", Removed: now}))

	wantOnly(t, c.Videos, video)
	wantOnly(t, c.Tasks, task)
	wantOnly(t, c.Uploads, upload("x", "x", store.UploadComplete))
	wantOnly(t, c.Keys, key)
	wantOnly(t, c.Removals, store.Removal{VideoID: "x", Removed: now})
	wantOnly(t, c.Rules, rule)
	wantOnly(t, c.Sessions, session)
	wantOnly(t, c.Codes, code)
	wantOnly(t, c.SignOuts, out)
	wantOnly(t, c.Cursors, cursor)
	wantOnly(t, c.Decisions, decision)
	wantOnly(t, c.Webhooks, webhook)
	wantOnly(t, c.Deliveries, delivery)
	wantOnly(t, c.People, person)
	wantOnly(t, c.SetupLinks, link)
	wantOnly(t, c.ConsoleSessions, visit)
	wantOnly(t, c.Passkeys, passkey)
	wantOnly(t, c.Wallets, wallet)
	wantOnly(t, c.Audit, entry)
	wantOnly(t, c.AuditHeads, head)
	wantOnly(t, c.Alerts, alert)
}

// wantOnly checks that the table has the record and no other.
func wantOnly[T store.Record](t *testing.T, table store.Table[T], want T) {
	t.Helper()
	recs, _, err := table.List(t.Context(), store.Query{})
	check(t, err)
	same(t, "records", recs, []T{want})
}
