package bolt

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// secrets implements store.Secrets.
type secrets struct{ db *DB }

// Secret implements store.Secrets.
func (s *secrets) Secret(ctx context.Context, name string, make func() []byte) (secret []byte, err error) {
	key := []byte(name)
	err = s.db.view(ctx, func(tx *bbolt.Tx) error {
		secret = bytes.Clone(tx.Bucket([]byte(bucketSecrets)).Get(key))
		return nil
	})
	if err != nil || secret != nil {
		return secret, err
	}
	err = s.db.write(ctx, func(c *change) error {
		if secret = bytes.Clone(c.get(bucketSecrets, key)); secret != nil {
			return nil // another call was first
		}
		if secret = make(); len(secret) == 0 {
			return fmt.Errorf("make secret %s: it is empty", name)
		}
		return c.put(bucketSecrets, key, bytes.Clone(secret))
	})
	if err != nil {
		return nil, err
	}
	return secret, nil
}
