package webhooks

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"streamgate/store"
)

const (
	keyPrefix = "whsec_"
	keyBytes  = 32
	// keyOverlap is for how long a key that was replaced still signs.
	keyOverlap = 24 * time.Hour
	maxKeys    = 4 // of one webhook, however often it is rotated within a day
)

func newKey() store.WebhookKey {
	key := store.WebhookKey{Bytes: make([]byte, keyBytes)}
	rand.Read(key.Bytes) // never fails (crypto/rand)
	return key
}

// secretOf is a key as its owner is shown it.
func secretOf(key store.WebhookKey) string {
	return keyPrefix + base64.StdEncoding.EncodeToString(key.Bytes)
}

// rotated puts a new key before the others, which expire.
func rotated(keys []store.WebhookKey, key store.WebhookKey, now time.Time) []store.WebhookKey {
	out := []store.WebhookKey{key}
	for _, k := range valid(keys, now) {
		if k.Expires.IsZero() {
			k.Expires = now.Add(keyOverlap)
		}
		out = append(out, k)
	}
	return out[:min(len(out), maxKeys)]
}

// valid are the keys that have not expired.
func valid(keys []store.WebhookKey, now time.Time) []store.WebhookKey {
	return slices.DeleteFunc(slices.Clone(keys), func(k store.WebhookKey) bool {
		return !k.Expires.IsZero() && !now.Before(k.Expires)
	})
}

// sign returns the value of webhook-signature: one signature for each key.
func sign(keys []store.WebhookKey, id string, at time.Time, body []byte) (string, error) {
	var out []string
	for _, k := range valid(keys, at) {
		signer, err := standard.NewWebhookRaw(k.Bytes)
		if err != nil {
			return "", err
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return "", err
		}
		out = append(out, signature)
	}
	return strings.Join(out, " "), nil
}
