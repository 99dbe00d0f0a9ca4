package store

import "time"

// AlertState is where an alert stands.
type AlertState string

// The states of an alert. One that is inactive has no record, unless it is
// silenced.
const (
	AlertInactive AlertState = "inactive"
	AlertPending  AlertState = "pending" // not for long enough yet
	AlertFiring   AlertState = "firing"
	AlertResolved AlertState = "resolved"
)

// Alert is one thing that wants an operator, or did lately.
type Alert struct {
	ID       string     `json:"id"`   // the rule's name, and what of several it is about
	Rule     string     `json:"rule"` // name
	Severity string     `json:"severity"`
	Node     string     `json:"node,omitempty"` // that it is about; "" for all of them
	State    AlertState `json:"state"`
	Summary  string     `json:"summary"`
	Value    float64    `json:"value"` // when the state changed

	Pending  time.Time `json:"pending,omitzero"` // since when it holds
	Fired    time.Time `json:"fired,omitzero"`
	Calm     time.Time `json:"calm,omitzero"` // since when it holds no more, while firing
	Resolved time.Time `json:"resolved,omitzero"`

	Silence *Silence `json:"silence,omitempty"`
	// Told says that its firing was told of, so that its end will be.
	Told   bool    `json:"told,omitempty"`
	Notice *Notice `json:"notice,omitempty"` // on its way; nil if nothing is
}

// Row implements Record.
func (a Alert) Row() Row { return Row{ID: a.ID, State: string(a.State)} }

// Silence keeps an alert from being told of.
type Silence struct {
	Until  time.Time `json:"until"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// Notice is the news of an alert, until everybody has it who is to have it.
type Notice struct {
	State     AlertState `json:"state"` // firing or resolved
	At        time.Time  `json:"at"`
	Announced bool       `json:"announced,omitempty"` // as an event
	Pushed    bool       `json:"pushed,omitempty"`    // by ntfy, or given up
	Attempts  int        `json:"attempts,omitempty"`  // at that
	Next      time.Time  `json:"next,omitzero"`
	Error     string     `json:"error,omitempty"`
}
