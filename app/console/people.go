package console

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

var personName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// NewPerson is who is to be added.
type NewPerson struct {
	Name     string
	Role     Role
	Password string
}

// person checks who is to be added: invalid_name, invalid_role, invalid_password.
func (s *Service) person(ctx context.Context, p NewPerson) (store.Person, error) {
	if !personName.MatchString(p.Name) {
		return store.Person{}, rpc.Invalid("invalid_name",
			"A name has 1 to 32 lower-case letters, digits, dots, - and _; %q is none.", clip(p.Name, 40))
	}
	if p.Role.Scope() == rpc.ScopeNone {
		return store.Person{}, rpc.Invalid("invalid_role", "There is no role %q; there are admin, operator and read-only.", clip(string(p.Role), 40))
	}
	hash, err := s.hash(ctx, p.Password)
	now := time.Now().UTC()
	return store.Person{Name: p.Name, Role: string(p.Role), Password: hash, Created: now, Updated: now}, err
}

// Add adds a person: what person refuses, or name_taken. Scope: admin.
func (s *Service) Add(ctx context.Context, p NewPerson) error {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return err
	}
	return s.add(ctx, p)
}

func (s *Service) add(ctx context.Context, p NewPerson) error {
	rec, err := s.person(ctx, p)
	if err != nil {
		return err
	}
	if err := s.Catalog.People.Create(ctx, rec); err != nil {
		if errors.Is(err, store.ErrExists) {
			return rpc.Errorf(connect.CodeAlreadyExists, "name_taken", "There is a person %q already; choose another name.", p.Name)
		}
		return fmt.Errorf("add a person: %w", err)
	}
	return s.Audit.Append(ctx, Change{Action: "person.create", Object: p.Name, After: map[string]any{"role": p.Role}})
}

// People lists everybody by name. Scope: admin.
func (s *Service) People(ctx context.Context) ([]store.Person, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	return s.people(ctx)
}

func (s *Service) people(ctx context.Context) ([]store.Person, error) {
	var out []store.Person
	for p, err := range store.All(ctx, s.Catalog.People, store.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("list people: %w", err)
		}
		out = append(out, p)
	}
	slices.Reverse(out)
	return out, nil
}

// SetRole gives a person another role: person_not_found, invalid_role,
// last_admin. Scope: admin.
func (s *Service) SetRole(ctx context.Context, name string, role Role) error {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return err
	}
	if role.Scope() == rpc.ScopeNone {
		return rpc.Invalid("invalid_role", "There is no role %q; there are admin, operator and read-only.", clip(string(role), 40))
	}
	if role != Admin {
		if err := s.notLast(ctx, name); err != nil {
			return err
		}
	}
	var before string
	_, err := s.Catalog.People.Update(ctx, name, func(p *store.Person) error {
		before, p.Role, p.Updated = p.Role, string(role), time.Now().UTC()
		return nil
	})
	if err != nil {
		return rpc.NotFound(err, "person", name)
	}
	return s.Audit.Append(ctx, Change{Action: "person.update", Object: name,
		Before: map[string]any{"role": before}, After: map[string]any{"role": role}})
}

// SetPassword gives a person another password and ends their sessions. Scope:
// admin, or the person's own.
func (s *Service) SetPassword(ctx context.Context, name, password string) error {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil && rpc.Caller(ctx).Person != name {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	_, err = s.Catalog.People.Update(ctx, name, func(p *store.Person) error {
		p.Password, p.Updated = hash, time.Now().UTC()
		return nil
	})
	if err != nil {
		return rpc.NotFound(err, "person", name)
	}
	if err := s.endAll(ctx, name); err != nil {
		return err
	}
	return s.Audit.Append(ctx, Change{Action: "person.password", Object: name})
}

// Remove removes a person and ends their sessions: person_not_found,
// last_admin. Scope: admin.
func (s *Service) Remove(ctx context.Context, name string) error {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return err
	}
	if err := s.notLast(ctx, name); err != nil {
		return err
	}
	p, err := s.Catalog.People.Get(ctx, name)
	if err == nil {
		err = s.Catalog.People.Delete(ctx, name)
	}
	if err != nil {
		return rpc.NotFound(err, "person", name)
	}
	if err := errors.Join(s.endAll(ctx, name), s.dropPasskeys(ctx, name), s.dropWallets(ctx, name)); err != nil {
		return err
	}
	return s.Audit.Append(ctx, Change{Action: "person.delete", Object: name, Before: map[string]any{"role": p.Role}})
}

// notLast refuses to take its role from the only admin.
func (s *Service) notLast(ctx context.Context, name string) error {
	admins, _, err := s.Catalog.People.List(ctx, store.Query{State: string(Admin), Limit: 2})
	if err != nil {
		return fmt.Errorf("count the admins: %w", err)
	}
	if len(admins) == 1 && admins[0].Name == name {
		return rpc.Errorf(connect.CodeFailedPrecondition, "last_admin", "%s is the only admin: make another one first.", name)
	}
	return nil
}

// clip bounds what is repeated in a message.
func clip(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return text
}

// Confirm checks the password that a person has, before it is replaced:
// wrong_password, too_many_attempts.
func (s *Service) Confirm(ctx context.Context, name, password string) error {
	if err := s.attempt(ctx, name, rpc.Caller(ctx).Client); err != nil {
		return err
	}
	p, err := s.Catalog.People.Get(ctx, name)
	if err != nil {
		return rpc.NotFound(err, "person", name)
	}
	ok, err := s.matches(ctx, password, p.Password)
	if err == nil && !ok {
		err = rpc.Errorf(connect.CodeUnauthenticated, "wrong_password", "That is not the password you have.")
	}
	return err
}
