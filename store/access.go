package store

import (
	"encoding/json"
	"time"
)

// Rule is a named rule, to which the rules of videos refer.
type Rule struct {
	Name    string          `json:"name"`
	Rule    json.RawMessage `json:"rule"` // with password hashes: never shown
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
}

// Row implements Record.
func (r Rule) Row() Row { return Row{ID: r.Name} }

// SessionState is where a playback session stands.
type SessionState string

// The states of a session.
const (
	SessionLive  SessionState = "live"
	SessionEnded SessionState = "ended" // its tickets are refused; see Failure
	// SessionPast: the last of its tickets has expired. It is kept for what
	// its viewer has proved, until Expires.
	SessionPast SessionState = "past"
)

// Session is one viewer playing one video.
type Session struct {
	ID      string       `json:"id"`
	VideoID string       `json:"video_id"`
	State   SessionState `json:"state"`
	// Preview: a key made it, and no rule is asked for.
	Preview bool `json:"preview,omitempty"`
	// KeyID is the key that made it, "" for a viewer's own.
	KeyID string `json:"key_id,omitempty"`

	Wallet string            `json:"wallet,omitempty"` // EIP-55
	Vaults []string          `json:"vaults,omitempty"` // for which the wallet acts
	Proofs map[string]string `json:"proofs,omitempty"` // passwords and codes: outcome by leaf
	// Memory is what was last read of chains, for the time of grace.
	Memory json.RawMessage `json:"memory,omitempty"`

	Created time.Time `json:"created"`
	Ticket  time.Time `json:"ticket"`  // when the newest ticket expires
	Expires time.Time `json:"expires"` // when the session does, whatever is renewed
	Failure *Failure  `json:"failure,omitempty"`
}

// Row implements Record.
func (s Session) Row() Row { return Row{ID: s.ID, Parent: s.VideoID, State: string(s.State)} }

// Code is a ticket code that was issued for a pool.
type Code struct {
	ID      string    `json:"id"`   // SHA-256 of the code, hex
	Pool    string    `json:"pool"` // as rules name it
	Used    int       `json:"used"` // times
	Created time.Time `json:"created"`
}

// Row implements Record.
func (c Code) Row() Row { return Row{ID: c.ID, Parent: c.Pool} }

// SignOut is a login that was ended before its time.
type SignOut struct {
	ID      string    `json:"id"`      // of the login
	Expires time.Time `json:"expires"` // when the login would have
}

// Row implements Record.
func (o SignOut) Row() Row { return Row{ID: o.ID} }

// ChainCursor is how far a chain's logs have been followed.
type ChainCursor struct {
	ID    string `json:"id"`    // chain id (EIP-155), decimal
	Block uint64 `json:"block"` // the last one whose logs have had their effect
	Hash  []byte `json:"hash"`  // of that block
}

// Row implements Record.
func (c ChainCursor) Row() Row { return Row{ID: c.ID} }

// DecisionOutcome is how it went for somebody who asked to watch.
type DecisionOutcome string

// The outcomes of decisions.
const (
	DecisionAdmitted DecisionOutcome = "admitted"
	DecisionRefused  DecisionOutcome = "refused"
	// DecisionLeftOut stands for those that came too thick to be kept.
	DecisionLeftOut DecisionOutcome = "left_out"
)

// Decision is whether somebody who asked to watch a video was let in. Equal ones
// that follow each other within a minute are one record.
type Decision struct {
	ID      string          `json:"id"`
	VideoID string          `json:"video_id,omitempty"` // "" if left out
	Outcome DecisionOutcome `json:"outcome"`
	Wallet  string          `json:"wallet,omitempty"`  // EIP-55
	Vaults  []string        `json:"vaults,omitempty"`  // for which the wallet acts
	Preview bool            `json:"preview,omitempty"` // a key or a person of the console asked
	Client  string          `json:"client,omitempty"`  // the last who asked
	Reason  string          `json:"reason,omitempty"`  // stable word, "" if admitted
	Why     string          `json:"why,omitempty"`     // for people
	Count   int             `json:"count"`             // times from First to Last
	First   time.Time       `json:"first"`
	Last    time.Time       `json:"last"`
}

// Row implements Record. Decisions are listed by video and by outcome.
func (d Decision) Row() Row { return Row{ID: d.ID, Parent: d.VideoID, State: string(d.Outcome)} }
