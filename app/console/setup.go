package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// setupTTL is how long a set-up link may be used.
const setupTTL = 24 * time.Hour

// SetupPath is where a set-up link leads; the token follows.
const SetupPath = "/console/setup?token="

// Empty tells whether nobody can sign in yet.
func (s *Service) Empty(ctx context.Context) (bool, error) {
	people, _, err := s.Catalog.People.List(ctx, store.Query{Limit: 1})
	if err != nil {
		return false, fmt.Errorf("look for people: %w", err)
	}
	return len(people) == 0, nil
}

// SetupToken makes the token of a link that makes one admin, once, within a
// day. Links that were made before no longer count. Scope: admin.
func (s *Service) SetupToken(ctx context.Context) (string, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return "", err
	}
	for old, err := range store.All(ctx, s.Catalog.SetupLinks, store.Query{}) {
		if err == nil {
			err = s.Catalog.SetupLinks.Delete(ctx, old.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", fmt.Errorf("end older set-up links: %w", err)
		}
	}
	token, id := newToken()
	now := time.Now().UTC()
	if err := s.Catalog.SetupLinks.Create(ctx, store.SetupLink{ID: id, Created: now, Expires: now.Add(setupTTL)}); err != nil {
		return "", fmt.Errorf("make a set-up link: %w", err)
	}
	return token, nil
}

// CheckSetup tells whether a set-up token still counts: setup_link_over.
func (s *Service) CheckSetup(ctx context.Context, token string) error {
	link, err := s.Catalog.SetupLinks.Get(ctx, idOf(token))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("look up a set-up link: %w", err)
	}
	if err != nil || !time.Now().Before(link.Expires) {
		return errSetup()
	}
	return nil
}

func errSetup() error {
	return rpc.Errorf(connect.CodePermissionDenied, "setup_link_over",
		"This set-up link has been used, replaced or is older than a day. Start the node again, or make another with the admin socket.")
}

// Setup uses a token up to make an admin: setup_link_over, and what Add refuses.
// What is refused for the name or the password leaves the link as it is.
func (s *Service) Setup(ctx context.Context, token, name, password string) error {
	if err := s.CheckSetup(ctx, token); err != nil {
		return err
	}
	rec, err := s.person(ctx, NewPerson{Name: name, Role: Admin, Password: password})
	if err != nil {
		return err
	}
	if _, err := s.Catalog.People.Get(ctx, rec.Name); err == nil {
		return rpc.Errorf(connect.CodeAlreadyExists, "name_taken", "There is a person %q already; choose another name.", rec.Name)
	}
	// Whoever deletes the link has it: of two at the same time, one.
	if err := s.Catalog.SetupLinks.Delete(ctx, idOf(token)); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return errSetup()
		}
		return fmt.Errorf("use a set-up link up: %w", err)
	}
	if err := s.Catalog.People.Create(ctx, rec); err != nil {
		return fmt.Errorf("make the first admin: %w", err)
	}
	ctx = rpc.WithIdentity(ctx, rpc.Identity{Scope: rpc.ScopeAdmin, Person: rec.Name, Client: rpc.Caller(ctx).Client})
	return s.Audit.Append(ctx, Change{Action: "person.create", Object: rec.Name, After: map[string]any{"role": Admin, "by": "set-up link"}})
}
