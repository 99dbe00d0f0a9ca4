package store

import (
	"encoding/json"
	"time"
)

// WebhookState tells whether deliveries are made.
type WebhookState string

// The states of a webhook.
const (
	WebhookEnabled  WebhookState = "enabled"
	WebhookDisabled WebhookState = "disabled"
)

// Webhook is an endpoint of somebody else's that is told of events.
type Webhook struct {
	ID          string       `json:"id"`
	URL         string       `json:"url"`
	Description string       `json:"description,omitempty"`
	Events      []string     `json:"events"` // subjects; "*" for all
	State       WebhookState `json:"state"`
	// Failure is why the node disabled it; nil if an operator did.
	Failure *Failure `json:"failure,omitempty"`
	// Keys sign its deliveries, the newest first: never shown again.
	Keys []WebhookKey `json:"keys"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Since is from when on events count for it: what ended before, no sweep
	// makes up for.
	Since time.Time `json:"since"`
	// Failing is when the first of the attempts failed that have all failed
	// since, and Failed when the newest did; zero after one that succeeded.
	Failing time.Time `json:"failing,omitzero"`
	Failed  time.Time `json:"failed,omitzero"`
}

// Row implements Record.
func (w Webhook) Row() Row { return Row{ID: w.ID, State: string(w.State)} }

// WebhookKey is a key that signs deliveries.
type WebhookKey struct {
	Bytes   []byte    `json:"bytes"`
	Expires time.Time `json:"expires,omitzero"` // zero for the newest
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery. The last two are final.
const (
	DeliveryWaiting   DeliveryState = "waiting" // for its next attempt
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed" // given up
)

// Delivery is one event on its way to one webhook. Its id is made of theirs, so
// that whoever hears of the event makes the same.
type Delivery struct {
	ID        string          `json:"id"`
	WebhookID string          `json:"webhook_id"`
	Event     string          `json:"event"`   // subject
	Payload   json.RawMessage `json:"payload"` // the body, the same in every attempt
	State     DeliveryState   `json:"state"`

	Attempts   int       `json:"attempts"`              // that are over, of this round
	LastStatus int       `json:"last_status,omitempty"` // HTTP; 0 if there was no answer
	LastError  string    `json:"last_error,omitempty"`  // why the last attempt failed
	Answer     string    `json:"answer,omitempty"`      // the beginning of the last answer's body
	Next       time.Time `json:"next,omitzero"`         // attempt, while waiting

	Created  time.Time `json:"created"`
	Finished time.Time `json:"finished,omitzero"`
	Lease    Lease     `json:"lease,omitzero"` // of who makes an attempt
}

// Row implements Record.
func (d Delivery) Row() Row { return Row{ID: d.ID, Parent: d.WebhookID, State: string(d.State)} }
