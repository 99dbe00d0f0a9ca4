package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// secrets implements store.Secrets.
type secrets struct{ db *DB }

// Secret implements store.Secrets. Of many that are made at the same time, on one
// node or several, the first to be stored is everybody's.
func (s *secrets) Secret(ctx context.Context, name string, make func() []byte) ([]byte, error) {
	secret, err := s.stored(ctx, name)
	if !errors.Is(err, pgx.ErrNoRows) {
		return secret, err
	}
	made := make()
	if len(made) == 0 {
		return nil, fmt.Errorf("make secret %s: it is empty", name)
	}
	_, err = s.db.exec(ctx, `INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, text(name), made)
	if err != nil {
		return nil, fmt.Errorf("store secret %s: %w", name, err)
	}
	return s.stored(ctx, name)
}

func (s *secrets) stored(ctx context.Context, name string) (secret []byte, err error) {
	err = s.db.read(ctx, func() error {
		return s.db.pool.QueryRow(ctx, `SELECT value FROM secrets WHERE name = $1`, text(name)).Scan(&secret)
	})
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	return secret, nil
}
