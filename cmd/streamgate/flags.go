package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/node"
)

// valueError is what is wrong with a flag's value: it follows the value in the
// message.
type valueError struct{ text string }

func (e *valueError) Error() string { return e.text }

// number is a flag's value within bounds.
type number struct {
	value    int32
	min, max int32
	set      bool
}

func (n *number) String() string { return strconv.Itoa(int(n.value)) }
func (n *number) Type() string   { return "number" }

func (n *number) Set(text string) error {
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || v < int64(n.min) || v > int64(n.max) {
		return &valueError{fmt.Sprintf("is not a number from %d to %d", n.min, n.max)}
	}
	n.value, n.set = int32(v), true
	return nil
}

func numberFlag(cmd *cobra.Command, name string, value, lowest, highest int32, usage string) *number {
	n := &number{value: value, min: lowest, max: highest}
	cmd.Flags().Var(n, name, usage)
	return n
}

// choice is a flag's value that is one of a few words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "word" }

func (c *choice) Set(text string) error {
	for _, w := range c.words {
		if text == w {
			c.value = text
			return nil
		}
	}
	return &valueError{"is none of " + strings.Join(c.words, ", ")}
}

// choiceFlag adds a flag that takes one of words, and completes them.
func choiceFlag(cmd *cobra.Command, name, value, usage string, words ...string) *choice {
	c := &choice{value: value, words: words}
	cmd.Flags().Var(c, name, usage+": "+strings.Join(words, ", "))
	complete := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc(name, complete) // fails only for a flag that is not there
	return c
}

// maxListed bounds --limit.
const maxListed = 1_000_000

func limitFlag(cmd *cobra.Command) *number {
	return numberFlag(cmd, "limit", 50, 0, maxListed, "at most `N`; 0 for all")
}

func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON, as the API answers it")
}

// settings is the value of --set.
type settings struct{ list *[]node.Setting }

func (settings) String() string { return "" }
func (settings) Type() string   { return "KEY=VALUE" }

func (s settings) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return &valueError{"has no =; write key=value"}
	}
	*s.list = append(*s.list, node.Setting{Key: key, Value: value})
	return nil
}

// allowSet adds --set to a command that reads the whole configuration.
func (p *cli) allowSet(cmd *cobra.Command) {
	cmd.Flags().Var(settings{&p.src.Set}, "set", "set a configuration key, `KEY=VALUE`; may be repeated")
	reads(cmd, configEnv...)
}
