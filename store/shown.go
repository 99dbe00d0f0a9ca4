package store

import (
	"context"
	"fmt"
	"slices"
)

// Shown is a table of videos without those that are deleted: for whoever serves
// callers and viewers. Who works on a video goes on until it is gone for good.
func Shown(videos Table[Video]) Table[Video] { return &shown{videos} }

type shown struct{ Table[Video] }

// Get implements Table.
func (s *shown) Get(ctx context.Context, id string) (Video, error) {
	v, err := s.Table.Get(ctx, id)
	if err == nil && v.Deleted() {
		return Video{}, fmt.Errorf("%s is deleted: %w", id, ErrNotFound)
	}
	return v, err
}

// Update implements Table.
func (s *shown) Update(ctx context.Context, id string, fn func(*Video) error) (Video, error) {
	return s.Table.Update(ctx, id, func(v *Video) error {
		if v.Deleted() {
			return fmt.Errorf("%s is deleted: %w", id, ErrNotFound)
		}
		return fn(v)
	})
}

// List implements Table. A page may have fewer records than there are.
func (s *shown) List(ctx context.Context, q Query) ([]Video, string, error) {
	list, next, err := s.Table.List(ctx, q)
	return slices.DeleteFunc(list, Video.Deleted), next, err
}
