package store

import (
	"encoding/json"
	"time"
)

// Person may sign in to the console.
type Person struct {
	Name     string    `json:"name"` // lower-case, unique: what is typed to sign in
	Role     string    `json:"role"` // admin, operator or read-only
	Password string    `json:"password"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

// Row implements Record.
func (p Person) Row() Row { return Row{ID: p.Name, State: p.Role} }

// SetupLink makes one admin, once.
type SetupLink struct {
	ID      string    `json:"id"`              // SHA-256 of its token, hex
	Reset   bool      `json:"reset,omitempty"` // it may name a person that there is
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Row implements Record.
func (l SetupLink) Row() Row { return Row{ID: l.ID} }

// ConsoleSession is a person who has signed in with a browser.
type ConsoleSession struct {
	ID      string    `json:"id"` // SHA-256 of its token, hex
	Person  string    `json:"person"`
	Agent   string    `json:"agent"` // the browser's own words
	Client  string    `json:"client"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"` // to the minute
	Expires time.Time `json:"expires"`
}

// Row implements Record.
func (s ConsoleSession) Row() Row { return Row{ID: s.ID, Parent: s.Person} }

// Passkey is one of a person's WebAuthn credentials.
type Passkey struct {
	ID         string          `json:"id"` // of the credential, base64url
	Person     string          `json:"person"`
	Name       string          `json:"name"`
	Credential json.RawMessage `json:"credential"` // as go-webauthn keeps it: public
	Created    time.Time       `json:"created"`
	Used       time.Time       `json:"used,omitzero"`
}

// Row implements Record.
func (p Passkey) Row() Row { return Row{ID: p.ID, Parent: p.Person} }

// Wallet signs a person in to the console.
type Wallet struct {
	Address string `json:"address"` // EIP-55: one wallet is one person's
	Person  string `json:"person"`
	// Proved: the wallet has signed that it is theirs. Else an admin typed it.
	Proved  bool      `json:"proved,omitempty"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
}

// Row implements Record.
func (w Wallet) Row() Row { return Row{ID: w.Address, Parent: w.Person} }

// AuditEntry is one change that somebody made. Entries form a chain: Hash covers
// the entry and the Hash of the one before it.
type AuditEntry struct {
	ID     string          `json:"id"` // its number from 1 on, 20 digits
	At     time.Time       `json:"at"`
	Who    string          `json:"who"`    // "person ada", "key 01…", "wallet 0x…", "this machine"
	Client string          `json:"client"` // from where, or ""
	Action string          `json:"action"` // noun.verb: "video.update"
	Kind   string          `json:"kind"`   // of the object: "video"
	Object string          `json:"object"` // its id, or ""
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Prev   string          `json:"prev"` // Hash of the entry before, "" for the first
	Hash   string          `json:"hash"` // SHA-256, hex
}

// Row implements Record. Entries of one object are listed by Parent.
func (e AuditEntry) Row() Row { return Row{ID: e.ID, Parent: e.Object, State: e.Kind} }

// AuditHead remembers how far the audit log has come, so that one that is cut
// off is found.
type AuditHead struct {
	ID   string `json:"id"`
	Last string `json:"last"` // ID of an entry that there must be
	Hash string `json:"hash"` // its Hash
}

// Row implements Record.
func (h AuditHead) Row() Row { return Row{ID: h.ID} }
