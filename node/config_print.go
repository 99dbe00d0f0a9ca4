package node

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print writes the configuration as YAML that Load reads back; secrets are
// replaced by "(redacted)".
func (c *Config) Print(w io.Writer) error { return printYAML(w, c) }

func printYAML(w io.Writer, cfg any) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(encode(tree(cfg))); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	return enc.Close()
}

// encode is the inverse of decode.
func encode(v reflect.Value) *yaml.Node {
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			value := encode(v.Field(i))
			if field.Tag.Get("secret") == "true" {
				hide(value)
			}
			n.Content = append(n.Content, text(keyOf(field)), value)
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, k := range keys {
			n.Content = append(n.Content, text(k.String()), encode(v.MapIndex(k)))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Len() == 0 {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			n.Content = append(n.Content, encode(v.Index(i)))
		}
		return n
	default:
		return scalar(v)
	}
}

// hide redacts a secret: a value, or each of a list.
func hide(n *yaml.Node) {
	for _, item := range n.Content {
		if item.Kind == yaml.ScalarNode {
			item.SetString("(redacted)")
		}
	}
	if n.Value != "" {
		n.SetString("(redacted)")
	}
}

func scalar(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case time.Duration:
		return text(durationText(x))
	case Bytes:
		return text(x.String())
	}
	switch v.Kind() {
	case reflect.String:
		return text(v.String())
	case reflect.Float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(v.Float(), 'f', -1, 64)}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface())}
	}
}

// text is a string scalar, quoted where YAML would read it as something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}
