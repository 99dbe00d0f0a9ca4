package node

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"streamgate/app/media"
)

// The configuration is walked by reflection over its YAML tags, so that file,
// environment, command line and print cannot disagree about a key.

// leaf is one key that has a value.
type leaf struct {
	key    string // transcoder.worker_pool_size
	value  reflect.Value
	secret bool // tag secret:"true": may come from a file, is never printed
}

// tree is the settable root of a walk over a pointer to a struct.
func tree(cfg any) reflect.Value { return reflect.ValueOf(cfg).Elem() }

// leaves lists the keys below v in the order of their fields. A map is one leaf.
func leaves(v reflect.Value, prefix string) []leaf {
	var out []leaf
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := join(prefix, keyOf(field))
		if field.Type.Kind() == reflect.Struct {
			out = append(out, leaves(v.Field(i), key)...)
			continue
		}
		out = append(out, leaf{key, v.Field(i), field.Tag.Get("secret") == "true"})
	}
	return out
}

func keyOf(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	if name == "" {
		name = strings.ToLower(field.Name)
	}
	return name
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

// setKey sets one key by its full name.
func setKey(cfg *Config, key, text string) error {
	l, err := findLeaf(cfg, key)
	if err != nil {
		return err
	}
	if err := set(l.value, text); err != nil {
		return fmt.Errorf("%s: %q %w", key, text, err)
	}
	return nil
}

// decodeKey sets one key by its full name from YAML.
func decodeKey(cfg *Config, key, text string) error {
	l, err := findLeaf(cfg, key)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return fmt.Errorf("%s is not YAML: %s", key, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind == 0 {
		return fmt.Errorf("%s has no value; give it one or delete the key", key)
	}
	return decode(doc.Content[0], l.value, key)
}

// findLeaf finds a key by its full name.
func findLeaf(cfg *Config, key string) (leaf, error) {
	all := leaves(tree(cfg), "")
	i := slices.IndexFunc(all, func(l leaf) bool { return l.key == key })
	if i < 0 {
		return leaf{}, unknownKey(key, all)
	}
	return all[i], nil
}

func unknownKey(key string, all []leaf) error {
	last := key[strings.LastIndexByte(key, '.')+1:]
	var names, same []string
	for _, l := range all {
		names = append(names, l.key)
		if strings.HasSuffix(l.key, "."+last) {
			same = append(same, l.key)
		}
	}
	best := closest(key, names)
	if len(same) > 0 && (best == "" || last == key) { // a whole name says more than a like one

		best = strings.Join(same, " or ")
	}
	if best == "" {
		return fmt.Errorf("%s is no configuration key; \"streamgate config print\" lists them all", key)
	}
	return fmt.Errorf("%s is no configuration key; did you mean %s?", key, best)
}

// decode sets v from a YAML node; key names v in errors.
func decode(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch v.Kind() {
	case reflect.Struct:
		return decodeMapping(n, v, key, func(k string) (reflect.Value, func(), bool) {
			for i := range v.NumField() {
				if keyOf(v.Type().Field(i)) == k {
					return v.Field(i), func() {}, true
				}
			}
			return reflect.Value{}, nil, false
		})
	case reflect.Map:
		return decodeMapping(n, v, key, func(k string) (reflect.Value, func(), bool) {
			elem := reflect.New(v.Type().Elem()).Elem()
			if p, ok := elem.Addr().Interface().(*media.Profile); ok {
				*p = media.DefaultProfile() // a profile names what it changes
			}
			return elem, func() { v.SetMapIndex(reflect.ValueOf(k), elem) }, true
		})
	case reflect.Slice:
		if n.Kind == yaml.SequenceNode {
			return decodeSequence(n, v, key)
		}
	}
	if n.Kind != yaml.ScalarNode {
		return at(n, "%s must be a single value", key)
	}
	if n.Tag == "!!null" {
		return at(n, "%s has no value; give it one or delete the line", key)
	}
	if err := set(v, n.Value); err != nil {
		return at(n, "%s: %q %w", key, n.Value, err)
	}
	return nil
}

// decodeMapping decodes each value of a mapping into what slot gives for its
// key, and then keeps it.
func decodeMapping(n *yaml.Node, v reflect.Value, key string, slot func(string) (elem reflect.Value, keep func(), ok bool)) error {
	if n.Tag == "!!null" { // a section whose keys are all commented out
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return at(n, "%s must be a section with keys of its own", cmp.Or(key, "the file"))
	}
	if v.Kind() == reflect.Map && v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		full := join(key, k.Value)
		elem, keep, ok := slot(k.Value)
		if !ok {
			return at(k, "%w", unknownIn(v, key, full))
		}
		if seen[k.Value] {
			return at(k, "%s is set twice; delete one", full)
		}
		seen[k.Value] = true
		if err := decode(value, elem, full); err != nil {
			return err
		}
		keep()
	}
	return nil
}

// unknownIn describes an unknown key in the section v. Sections below a map
// have no fixed keys, so only the section itself can be searched.
func unknownIn(v reflect.Value, section, full string) error {
	all := leaves(v, section)
	if v.Type() != reflect.TypeFor[Config]() && len(strings.Split(section, ".")) <= 2 {
		all = append(all, leaves(tree(Default()), "")...)
	}
	for i := range v.NumField() { // sections are keys too
		all = append(all, leaf{key: join(section, keyOf(v.Type().Field(i)))})
	}
	return unknownKey(full, all)
}

func decodeSequence(n *yaml.Node, v reflect.Value, key string) error {
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if err := decode(item, list.Index(i), fmt.Sprintf("%s[%d]", key, i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

// at puts the line before an error.
func at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %w", n.Line, fmt.Errorf(format, args...))
}

// set sets v from text. Its error continues the sentence `key: "value" …`.
func set(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := parseDuration(text)
		*p = d
		return err
	case *Bytes:
		b, err := ParseBytes(text)
		*p = b
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("is neither true nor false")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return errors.New("is not a whole number")
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("is not a number")
		}
		v.SetFloat(f)
	case reflect.Slice:
		return setList(v, text)
	default:
		return setYAML(v, text)
	}
	return nil
}

// setList reads a comma-separated list.
func setList(v reflect.Value, text string) error {
	if v.Type().Elem().Kind() == reflect.Struct {
		return setYAML(v, text)
	}
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if err := set(list.Index(i), item); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

// setYAML reads a value with keys of its own: profiles on one line.
func setYAML(v reflect.Value, text string) error {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || doc.Kind == 0 {
		return errors.New("is not YAML")
	}
	return decode(doc.Content[0], v, "value")
}
