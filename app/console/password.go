package console

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

	"streamgate/app/rpc"
)

// The cost of a password (argon2id): 19 MiB and two passes, as OWASP advises.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonSalt   = 16 // bytes
	argonSum    = 32 // bytes
)

// argonHead is how every hash begins (the PHC string format).
var argonHead = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$", argon2.Version, argonMemory, argonPasses)

// The length of a password, bytes.
const (
	MinPassword = 10
	MaxPassword = 256
)

// hash makes a new password's hash: invalid_password.
func (s *Service) hash(ctx context.Context, plain string) (string, error) {
	if len(plain) < MinPassword || len(plain) > MaxPassword || !utf8.ValidString(plain) {
		return "", rpc.Invalid("invalid_password", "A password has %d to %d bytes; choose a longer one.", MinPassword, MaxPassword)
	}
	salt := make([]byte, argonSalt)
	rand.Read(salt) // never fails (crypto/rand)
	sum, err := s.sum(ctx, plain, salt)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return argonHead + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum), nil
}

// nobody is a hash that no password has: whoever does not exist takes as long
// to be refused as whoever does.
var nobody = argonHead + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43)

// matches compares a password with a hash.
func (s *Service) matches(ctx context.Context, plain, hash string) (bool, error) {
	rest, ours := strings.CutPrefix(hash, argonHead)
	left, right, two := strings.Cut(rest, "$")
	salt, err := base64.RawStdEncoding.DecodeString(left)
	want, err2 := base64.RawStdEncoding.DecodeString(right)
	if !ours || !two || err != nil || err2 != nil || len(want) != argonSum || len(plain) > MaxPassword {
		return false, nil
	}
	sum, err := s.sum(ctx, plain, salt)
	return err == nil && subtle.ConstantTimeCompare(sum, want) == 1, err
}

func (s *Service) sum(ctx context.Context, plain string, salt []byte) ([]byte, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(plain), salt, argonPasses, argonMemory, 1, argonSum), nil
}

// newToken returns a secret of 128 random bits and the id under which it is
// kept.
func newToken() (token, id string) {
	token = rand.Text()
	return token, idOf(token)
}

func idOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
