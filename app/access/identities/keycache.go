package identities

import (
	"crypto/sha256"
	"sync"
	"time"

	"streamgate/app/rpc"
)

// maxKnownKeys bounds the cache; when it is full it starts afresh.
const maxKnownKeys = 1024

// keyCache remembers accepted keys by the hash of the whole key, for KeyTTL.
type keyCache struct {
	mu   sync.Mutex
	gen  uint64 // bumped by forget
	keys map[[sha256.Size]byte]knownKey
}

type knownKey struct {
	who   rpc.Identity
	until time.Time
}

func newKeyCache() *keyCache {
	return &keyCache{keys: make(map[[sha256.Size]byte]knownKey)}
}

func (c *keyCache) get(hash [sha256.Size]byte, now time.Time) (rpc.Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.keys[hash]
	return k.who, ok && now.Before(k.until)
}

// generation is taken before the store is asked and given back to put.
func (c *keyCache) generation() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gen
}

// put remembers a key, unless one was revoked since the generation was taken:
// what the store said before may then be this very key.
func (c *keyCache) put(hash [sha256.Size]byte, who rpc.Identity, generation uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen != generation {
		return
	}
	if len(c.keys) >= maxKnownKeys {
		clear(c.keys)
	}
	c.keys[hash] = knownKey{who, now.Add(KeyTTL)}
}

func (c *keyCache) forget(keyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	for hash, k := range c.keys {
		if k.who.KeyID == keyID {
			delete(c.keys, hash)
		}
	}
}
