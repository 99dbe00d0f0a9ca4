package node

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// What the nodes of a deployment share is stronger than the file, which comes with
// the machine and says what is usual there; environment and command line are
// stronger still: they are said to this one node, by whoever starts it, and must
// work when the shared value is what is wrong.

// ownKeys are what each node is told by itself: it is in use before the registry
// can be read.
var ownKeys = []string{"deployment", "cluster", "data_dir", "monitor.listen", "log.format"}

// Shared is a configuration with what the nodes of its deployment share.
type Shared struct {
	*Config
	// Used are the shared values that are in it, by key.
	Used map[string]string
	// Refused are the shared values that cannot be used, by key, and why.
	Refused map[string]error
}

// With puts shared values upon the file's, and checks all of it. For a value that
// is refused the one of before stands in, if there was one. An error is one of the
// other layers.
func (l *Layers) With(shared, before map[string]string) (*Shared, error) {
	cfg, err := l.Config()
	if err != nil {
		return nil, err
	}
	s := &sharing{layers: l, Shared: Shared{Config: cfg, Used: map[string]string{}, Refused: map[string]error{}}}
	s.put(shared)
	refused, stands := maps.Clone(s.Refused), map[string]string{}
	for key := range refused {
		if value, ok := before[key]; ok {
			stands[key] = value
		}
	}
	s.put(stands)
	s.Refused = refused
	return &s.Shared, nil
}

// sharing finds the shared values that can be used together.
type sharing struct {
	Shared
	layers *Layers
}

// put takes in as many values as go together: all at once, if that can be, and
// otherwise one by one until no more can be added, since one key may be right only
// beside another.
func (s *sharing) put(values map[string]string) {
	if s.try(values) == nil {
		return
	}
	left := slices.Sorted(maps.Keys(values))
	for more := true; more; {
		more = false
		left = slices.DeleteFunc(left, func(key string) bool {
			err := s.try(map[string]string{key: values[key]})
			if err != nil {
				s.Refused[key] = err
				return false
			}
			delete(s.Refused, key)
			more = true
			return true
		})
	}
}

// try adds values if the configuration is right with them.
func (s *sharing) try(values map[string]string) error {
	for key := range values {
		if slices.ContainsFunc(ownKeys, func(own string) bool { return inSection(key, own) }) {
			return fmt.Errorf("%s is not shared: each node is told by its own file, environment or command line", key)
		}
	}
	all := maps.Clone(s.Used)
	maps.Copy(all, values)
	cfg, err := s.layers.build(all)
	if err == nil {
		err = cfg.Validate()
	}
	if err == nil {
		s.Config, s.Used = cfg, all
	}
	return err
}

// inSection tells whether a key is that one, or in the section of that name.
func inSection(key, section string) bool {
	return key == section || strings.HasPrefix(key, section+".")
}

// different lists the keys whose values are not the same.
func different(a, b *Config) []leaf {
	var out []leaf
	before := leaves(tree(a), "")
	for i, l := range leaves(tree(b), "") {
		if !reflect.DeepEqual(before[i].value.Interface(), l.value.Interface()) {
			out = append(out, l)
		}
	}
	return out
}

// text is a value as the log may have it.
func (l leaf) text() string {
	if l.secret {
		return "(redacted)"
	}
	n := encode(l.value)
	return inline(n)
}

// reason is an error as the log may have it.
func reason(key string, err error) error {
	if l, lerr := findLeaf(Default(), key); lerr == nil && l.secret {
		return errors.New("its value cannot be used, and is secret")
	}
	return err
}
