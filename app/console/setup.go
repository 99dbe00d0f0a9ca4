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
// day. Links that were made before no longer count. Once there are people, it
// takes a reset: its link may also name one of them, who becomes admin with the
// password that is typed. admin_exists. Scope: admin.
func (s *Service) SetupToken(ctx context.Context, reset bool) (string, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return "", err
	}
	if !reset {
		if err := s.wantEmpty(ctx); err != nil {
			return "", err
		}
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
	if err := s.Catalog.SetupLinks.Create(ctx, store.SetupLink{ID: id, Reset: reset, Created: now, Expires: now.Add(setupTTL)}); err != nil {
		return "", fmt.Errorf("make a set-up link: %w", err)
	}
	return token, s.Audit.Append(ctx, Change{Action: "setup_link.create", After: map[string]any{"reset": reset}})
}

// wantEmpty refuses when there is an admin: admin_exists.
func (s *Service) wantEmpty(ctx context.Context) error {
	admins, _, err := s.Catalog.People.List(ctx, store.Query{State: string(Admin), Limit: 1})
	if err != nil {
		return fmt.Errorf("look for admins: %w", err)
	}
	if len(admins) == 0 {
		return nil
	}
	return rpc.Errorf(connect.CodeFailedPrecondition, "admin_exists",
		"The console has an admin already, %s, who can add others under People. If nobody can sign in any more, use streamgate setup-link --reset.", admins[0].Name)
}

// CheckSetup returns the link of a set-up token: setup_link_over.
func (s *Service) CheckSetup(ctx context.Context, token string) (store.SetupLink, error) {
	link, err := s.Catalog.SetupLinks.Get(ctx, idOf(token))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return link, fmt.Errorf("look up a set-up link: %w", err)
	}
	if err != nil || !time.Now().Before(link.Expires) {
		return link, errSetup()
	}
	return link, nil
}

func errSetup() error {
	return rpc.Errorf(connect.CodePermissionDenied, "setup_link_over",
		"This set-up link has been used, replaced or is older than a day. On the node's machine, streamgate setup-link makes another.")
}

// Setup uses a token up to make an admin: setup_link_over, and what Add refuses.
// What is refused for the name or the password leaves the link as it is.
func (s *Service) Setup(ctx context.Context, token, name, password string) error {
	link, err := s.CheckSetup(ctx, token)
	if err != nil {
		return err
	}
	rec, err := s.person(ctx, NewPerson{Name: name, Role: Admin, Password: password})
	if err != nil {
		return err
	}
	old, err := s.Catalog.People.Get(ctx, rec.Name)
	known := err == nil
	if known && !link.Reset {
		return rpc.Errorf(connect.CodeAlreadyExists, "name_taken", "There is a person %q already; choose another name.", rec.Name)
	}
	// Whoever deletes the link has it: of two at the same time, one.
	if err := s.Catalog.SetupLinks.Delete(ctx, link.ID); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return errSetup()
		}
		return fmt.Errorf("use a set-up link up: %w", err)
	}
	ctx = rpc.WithIdentity(ctx, rpc.Identity{Scope: rpc.ScopeAdmin, Person: rec.Name, Client: rpc.Caller(ctx).Client})
	if known {
		return s.reset(ctx, old, rec)
	}
	if err := s.Catalog.People.Create(ctx, rec); err != nil {
		return fmt.Errorf("make the first admin: %w", err)
	}
	return s.Audit.Append(ctx, Change{Action: "person.create", Object: rec.Name, After: map[string]any{"role": Admin, "by": "set-up link"}})
}

// reset makes a person admin with another password, and ends their sessions,
// passkeys and wallets: whoever else had them is out.
func (s *Service) reset(ctx context.Context, old, rec store.Person) error {
	_, err := s.Catalog.People.Update(ctx, rec.Name, func(p *store.Person) error {
		p.Role, p.Password, p.Updated = rec.Role, rec.Password, rec.Updated
		return nil
	})
	if err != nil {
		return fmt.Errorf("reset %s: %w", rec.Name, err)
	}
	if err := errors.Join(s.endAll(ctx, rec.Name), s.dropPasskeys(ctx, rec.Name), s.dropWallets(ctx, rec.Name)); err != nil {
		return err
	}
	return s.Audit.Append(ctx, Change{Action: "person.reset", Object: rec.Name,
		Before: map[string]any{"role": old.Role}, After: map[string]any{"role": Admin, "by": "set-up link"}})
}
