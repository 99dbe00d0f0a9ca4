package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"streamgate/node"
)

// env is all that a command touches of the world, so that tests can replace it.
type env struct {
	name           string   // by which the program was called
	vars           []string // NAME=value
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // whether stderr is one
}

// cli is one command line: the world, and what the flags say that many
// commands have.
type cli struct {
	*env
	src  node.Sources // --config and --set
	data string       // --data
}

// newRoot makes the tree of commands: one function for each, in the file of its
// name. Without a command the program serves.
func newRoot(e *env) *cobra.Command {
	p := &cli{env: e, src: node.Sources{Env: e.vars}}
	root := serveCommand(p)
	root.Use, root.Short = "streamgate", "a video platform in one program"
	root.Args = noCommand
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	showVersion := root.Flags().Bool("version", false, "print the version")
	serve := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *showVersion {
			return p.printVersion(false)
		}
		return serve(cmd, args)
	}
	root.PersistentFlags().StringVar(&p.src.File, "config", "", "configuration `FILE`")
	root.PersistentFlags().StringVar(&p.data, "data", "", "data directory `DIR` of the node")
	root.AddCommand(
		serveCommand(p), pushCommand(p), videosCommand(p), uploadsCommand(p), tasksCommand(p), queueCommand(p),
		workersCommand(p), transcoderCommand(p), rulesCommand(p), sessionsCommand(p), codesCommand(p), keysCommand(p), auditCommand(p), setupLinkCommand(p),
		eventsCommand(p), webhooksCommand(p), alertsCommand(p), metricsCommand(p), nodesCommand(p), migrateCommand(p), caCommand(p), chainsCommand(p), configCommand(p), doctorCommand(p), healthcheckCommand(p), versionCommand(p),
		completionCommand(p),
	)
	root.SetHelpCommand(helpCommand(p))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { help(e.stdout, cmd) })
	root.SetFlagErrorFunc(flagError)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	return root
}

// group is a command that only holds others.
func group(name, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: noCommand, SuggestionsMinimumDistance: 2}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return noCommand(cmd, []string{""}) }
	cmd.AddCommand(verbs...)
	var examples []string
	for _, verb := range verbs {
		line, _, _ := strings.Cut(verb.Example, "\n")
		examples = append(examples, line)
	}
	cmd.Example = strings.Join(examples, "\n")
	return cmd
}

// noCommand refuses a word where one of cmd's own commands should stand.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	word, path := args[0], cmd.CommandPath()
	if near := cmd.SuggestionsFor(word); word != "" && len(near) > 0 {
		return usagef("%q is no command; did you mean %s %s? %s --help lists all", word, path, strings.Join(near, " or "), path)
	}
	if !cmd.HasParent() {
		return usagef("%q is no command; %s --help lists them", word, path)
	}
	var verbs []string
	for _, c := range cmd.Commands() {
		verbs = append(verbs, c.Name())
	}
	text := fmt.Sprintf("write %s %s", path, strings.Join(verbs, " or "))
	if word != "" {
		text = fmt.Sprintf("%q is no command; %s", word, text)
	}
	return usagef("%s", text)
}

// maxOperand is the longest operand, bytes: that of a path.
const maxOperand = 4096

// operands checks what is given against what Use asks for: NAME is one,
// NAME… at least one, [NAME…] any number.
func operands(cmd *cobra.Command, args []string) error {
	name, rest := nameOf(cmd), args
	for _, want := range strings.Fields(cmd.Use)[1:] {
		noun := strings.Trim(want, "[]…")
		take := 1
		if strings.Contains(want, "…") {
			take = len(rest)
		}
		if len(rest) == 0 && !strings.HasPrefix(want, "[") {
			return usagef("%s: %s is missing; see %s --help", name, noun, cmd.CommandPath())
		}
		for _, arg := range rest[:min(take, len(rest))] {
			switch {
			case arg == "":
				return usagef("%s: %s \"\" is empty", name, noun)
			case len(arg) > maxOperand || !utf8.ValidString(arg) && noun == "ID":
				return usagef("%s: %s %.20q… is too long, or no text; it may have %d bytes", name, noun, arg, maxOperand)
			}
		}
		rest = rest[min(take, len(rest)):]
	}
	if len(rest) > 0 {
		return usagef("%s: %q is one argument too many", name, rest[0])
	}
	return nil
}

// nameOf is the command's name in messages, without the program's.
func nameOf(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "serve"
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// flagError says what is wrong with a flag in our words.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch name := nameOf(cmd); {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return usagef("%s: --%s is no flag; see %s --help", name, unknown.GetSpecifiedName(), cmd.CommandPath())
	case errors.As(err, &unknown):
		return usagef("%s: -%s is no flag; flags begin with two dashes, see %s --help", name, unknown.GetSpecifiedShortnames(), cmd.CommandPath())
	case errors.As(err, &valueless):
		return usagef("%s: --%s needs a value", name, valueless.GetSpecifiedName())
	case errors.As(err, &invalid):
		return usagef("%s: --%s %q %s", name, invalid.GetFlag().Name, invalid.GetValue(), plainValueError(invalid))
	default:
		return usagef("%s: %s", name, err)
	}
}

func plainValueError(err *pflag.InvalidValueError) string {
	var ours *valueError
	if errors.As(err, &ours) {
		return ours.text
	}
	return "is not of type " + err.GetFlag().Value.Type()
}

// config loads the configuration that the command line asks for.
func (p *cli) config() (*node.Config, error) {
	layers, err := p.layers()
	if err != nil {
		return nil, err
	}
	return layers.Config()
}

// layers reads what that configuration is made of.
func (p *cli) layers() (*node.Layers, error) {
	src := p.src
	if p.data != "" {
		src.Set = append(src.Set, node.Setting{Key: "data_dir", Value: p.data})
	}
	return node.LoadLayers(src)
}

// dataDir is the data directory of the node to talk to. A named one needs no
// configuration, which may be unreadable for this user.
func (p *cli) dataDir() (string, error) {
	if p.data != "" && p.src.File == "" {
		return filepath.Abs(p.data)
	}
	cfg, err := p.config()
	if err != nil {
		return "", err
	}
	return cfg.DataDir, nil
}

// client talks to the node that the command line names.
func (p *cli) client() (*client, error) {
	dir, err := p.dataDir()
	if err != nil {
		return nil, err
	}
	return newClient(dir), nil
}

// run is the program: it runs the command and turns its error into an exit
// code.
func run(ctx context.Context, e *env, args []string) int {
	root := newRoot(e)
	root.SetArgs(append([]string{}, args...)) // nil would mean those of the process
	cmd, err := root.ExecuteContextC(ctx)
	return report(ctx, e, err, wantsJSON(cmd, args))
}
