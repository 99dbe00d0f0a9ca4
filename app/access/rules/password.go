package rules

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The cost of a password hash (argon2id): 19 MiB and two passes, some 30 ms of
// one core. It is written into each hash, and no other is read: a hash with
// costs of somebody else's choosing could take the node's memory.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonSalt   = 16 // bytes
	argonSum    = 32 // bytes
)

// argonHead is how every hash of ours begins (the PHC string format).
var argonHead = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$", argon2.Version, argonMemory, argonPasses)

// The length of a password, bytes.
const (
	minPassword = 4
	maxPassword = 128
)

// Password is a password leaf. Its plain text is only there between Parse
// and Seal, and nothing prints it.
type Password struct {
	plain string
	hash  string // PHC string; "" while plain, or to be kept from before
}

// String keeps a password out of every log and message.
func (Password) String() string { return "(password)" }

// GoString keeps it out of %#v too.
func (Password) GoString() string { return "(password)" }

func newPassword(plain, at string) (*Password, error) {
	if len(plain) < minPassword || len(plain) > maxPassword || !utf8.ValidString(plain) {
		return nil, errorf(at, "a password has %d to %d bytes", minPassword, maxPassword)
	}
	return &Password{plain: plain}, nil
}

// ProofKey names the leaf in Viewer.Proofs. It changes with the password, so
// that what was proved with an old one is worth nothing.
func (p *Password) ProofKey() string {
	sum := sha256.Sum256([]byte(p.hash))
	return string(KindPassword) + ":" + hex.EncodeToString(sum[:12])
}

// Passwords hashes and checks passwords, a few at a time: each takes 19 MiB.
type Passwords struct {
	slots chan struct{}
}

// NewPasswords returns a hasher that works on at most so many at a time.
func NewPasswords(concurrent int) *Passwords {
	return &Passwords{slots: make(chan struct{}, max(1, concurrent))}
}

// Seal replaces the plain passwords of a rule by their hashes.
func (p *Passwords) Seal(ctx context.Context, rule *Rule) error {
	var failed error
	rule.Leaves(func(leaf *Rule) {
		if leaf.Password == nil || leaf.Password.plain == "" || failed != nil {
			return
		}
		salt := make([]byte, argonSalt)
		rand.Read(salt) // never fails (crypto/rand)
		sum, err := p.sum(ctx, leaf.Password.plain, salt)
		if err != nil {
			failed = err
			return
		}
		b64 := base64.RawStdEncoding
		leaf.Password = &Password{hash: argonHead + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum)}
	})
	return failed
}

// Check compares a password with every password leaf of an expanded rule, and
// returns what it proves: good or wrong for each. It looks at all of them, so
// that the time it takes tells nothing. The caller limits the attempts.
func (p *Passwords) Check(ctx context.Context, rule *Rule, plain string) (map[string]Proof, error) {
	proofs := map[string]Proof{}
	var failed error
	rule.Leaves(func(leaf *Rule) {
		if leaf.Password == nil || failed != nil || len(proofs) >= MaxPasswords {
			return
		}
		salt, want, ok := splitHash(leaf.Password.hash)
		if !ok || len(plain) > maxPassword {
			proofs[leaf.Password.ProofKey()] = ProofWrong
			return
		}
		sum, err := p.sum(ctx, plain, salt)
		if err != nil {
			failed = err
			return
		}
		proof := ProofWrong
		if subtle.ConstantTimeCompare(sum, want) == 1 {
			proof = ProofGood
		}
		proofs[leaf.Password.ProofKey()] = proof
	})
	return proofs, failed
}

func (p *Passwords) sum(ctx context.Context, plain string, salt []byte) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(plain), salt, argonPasses, argonMemory, 1, argonSum), nil
}

func validHash(hash string) bool {
	_, _, ok := splitHash(hash)
	return ok
}

func splitHash(hash string) (salt, sum []byte, ok bool) {
	rest, ours := strings.CutPrefix(hash, argonHead)
	left, right, two := strings.Cut(rest, "$")
	if !ours || !two || len(hash) > 200 {
		return nil, nil, false
	}
	strict := base64.RawStdEncoding.Strict()
	salt, err1 := strict.DecodeString(left)
	sum, err2 := strict.DecodeString(right)
	return salt, sum, err1 == nil && err2 == nil && len(salt) == argonSalt && len(sum) == argonSum
}

// Keep gives each {"password":{}} of a rule the password that stood at the
// same place in the rule it replaces (nil if there was none), or else the only
// one there was. *Error.
func (r *Rule) Keep(before *Rule) error {
	old := map[string]*Password{}
	if before != nil {
		before.passwords("", old)
	}
	now := map[string]*Password{}
	r.passwords("", now)
	for at, password := range now {
		if password.plain != "" || password.hash != "" {
			continue
		}
		kept := old[at]
		if len(old) == 1 {
			for _, only := range old {
				kept = only
			}
		}
		if kept == nil || kept.hash == "" {
			return errorf(at, "there is no password to keep: give one")
		}
		password.hash = kept.hash
	}
	return nil
}

// passwords collects the password leaves by their places.
func (r *Rule) passwords(at string, found map[string]*Password) {
	place := at + "/" + string(r.Kind)
	if r.Password != nil {
		found[place] = r.Password
	}
	for i := range r.Parts {
		r.Parts[i].passwords(partPlace(r.Kind, place, i), found)
	}
}
