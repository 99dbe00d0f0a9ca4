package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

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

// command is a row of the table of commands.
type command struct {
	name  string // one or two words
	args  string // what follows, for the help
	short string
	run   func(context.Context, *env, *flags) error
}

// commands lists them in the order of the help.
func commands() []command {
	return []command{
		{"serve", "", "run a node (what a bare streamgate does)", serve},
		{"push", "FILE", "upload a video, follow its transcode, print where to watch it", push},
		{"videos list", "", "list the videos, newest first", videosList},
		{"videos show", "ID", "show one video", videosShow},
		{"videos delete", "ID", "delete a video and its media", videosDelete},
		{"tasks list", "", "list the transcode tasks, newest first", tasksList},
		{"tasks show", "ID", "show one task", tasksShow},
		{"tasks jobs", "ID", "show a task's jobs and the attempts that failed", tasksJobs},
		{"tasks cancel", "[ID…]", "cancel tasks; what is made already stays", tasksCancel},
		{"tasks pause", "[ID…]", "stop the work on tasks until they are resumed", tasksPause},
		{"tasks resume", "[ID…]", "go on with paused tasks", tasksResume},
		{"tasks retry", "[ID…]", "make what failed or cancelled tasks have left missing", tasksRetry},
		{"tasks priority", "N [ID…]", "set the priority of tasks, 0 (last) to 100 (first)", tasksPriority},
		{"queue show", "", "show what waits, and for how long", queueShow},
		{"queue pause", "", "start no more work, but for what viewers wait for", queuePause},
		{"queue resume", "", "undo queue pause", queueResume},
		{"workers list", "", "show what each worker is doing", workersList},
		{"workers drain", "ID", "let a worker finish its job and take no more", workersDrain},
		{"workers resume", "ID", "undo workers drain", workersResume},
		{"transcoder drain", "", "let every worker of the node finish its job and take no more", transcoderDrain},
		{"transcoder resume", "", "undo transcoder drain", transcoderResume},
		{"rules set", "VIDEO FILE", "say who may watch a video: a rule as JSON in a file, - for standard input", rulesSet},
		{"rules show", "VIDEO", "show a video's rule", rulesShow},
		{"rules clear", "VIDEO", "make a video private again", rulesClear},
		{"rules check", "VIDEO WALLET", "say whether a wallet may watch a video, and why", rulesCheck},
		{"rules list", "", "list the named rules", rulesList},
		{"rules put", "NAME FILE", "save a named rule", rulesPut},
		{"rules delete", "NAME", "delete a named rule", rulesDelete},
		{"sessions list", "", "list who is watching, newest first", sessionsList},
		{"sessions end", "ID", "end a session on every node", sessionsEnd},
		{"codes create", "POOL", "make ticket codes and print them; they are shown only once", codesCreate},
		{"codes delete", "POOL", "end every ticket code of a pool", codesDelete},
		{"keys create", "", "make an API key and print it; it is shown only once", keysCreate},
		{"keys list", "", "list the API keys", keysList},
		{"keys revoke", "ID", "end an API key at once", keysRevoke},
		{"config check", "", "check the configuration", configCheck},
		{"config print", "", "print the configuration in force, secrets redacted", configPrint},
		{"doctor", "", "say what is wrong on this machine and how to mend it", doctor},
		{"healthcheck", "", "exit 0 if the node is ready", healthcheck},
		{"version", "", "print the version", version},
	}
}

// usageError is a wrong command line: exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run is the program: it finds the command, runs it and turns its error into
// one line and an exit code.
func run(ctx context.Context, e *env, args []string) int {
	if slices.Contains([]string{"help", "--help", "-help", "-h"}, first(args)) {
		help(e.stdout)
		return exitOK
	}
	cmd, rest, err := find(args)
	if err == nil {
		err = cmd.run(ctx, e, newFlags(cmd, e, rest))
	}
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(e.stderr, "streamgate: %s\n", err)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(e.stderr, "streamgate: interrupted")
		return exitFailure
	default:
		fmt.Fprintf(e.stderr, "streamgate: %s\n", err)
		return exitFailure
	}
}

// find returns the command that args begin with, and what follows it. No
// command at all means serve.
func find(args []string) (command, []string, error) {
	all := commands()
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return all[0], args, nil
	}
	for words := min(2, len(args)); words > 0; words-- {
		name := strings.Join(args[:words], " ")
		for _, c := range all {
			if c.name == name {
				return c, args[words:], nil
			}
		}
	}
	var verbs []string
	for _, c := range all {
		if verb, ok := strings.CutPrefix(c.name, args[0]+" "); ok {
			verbs = append(verbs, verb)
		}
	}
	if len(verbs) > 0 {
		return command{}, nil, usagef("write streamgate %s %s", args[0], strings.Join(verbs, " or "))
	}
	return command{}, nil, usagef("%q is no command; streamgate --help lists them", args[0])
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func help(w io.Writer) {
	fmt.Fprint(w, "StreamGate: a video platform in one program.\n\nUsage: streamgate COMMAND [flags]\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.short)
	}
	_ = table.Flush() // as with fmt.Fprint, nobody is left to tell
	fmt.Fprint(w, "\nstreamgate COMMAND --help lists a command's flags.\n")
}

// flags are the flags of one command. Flags and operands may be mixed.
type flags struct {
	*flag.FlagSet
	command command
	args    []string
	src     node.Sources
	data    string
}

func newFlags(cmd command, e *env, args []string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(cmd.name, flag.ContinueOnError), command: cmd, args: args}
	f.SetOutput(io.Discard) // errors are printed by run
	f.src.Env = e.vars
	f.StringVar(&f.src.File, "config", "", "configuration `FILE`")
	f.StringVar(&f.data, "data", "", "data directory `DIR` of the node")
	return f
}

// allowSet adds --set for commands that read the whole configuration.
func (f *flags) allowSet() {
	f.Func("set", "set a configuration key, `KEY=VALUE`; may be repeated", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("write key=value")
		}
		f.src.Set = append(f.src.Set, node.Setting{Key: key, Value: value})
		return nil
	})
}

// anyOperands lets a command have as many as it likes.
const anyOperands = -1

// parse reads the command line and returns exactly want operands.
func (f *flags) parse(e *env, want int) ([]string, error) {
	var operands []string
	for rest := f.args; ; {
		if err := f.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.help(e.stdout)
				return nil, err
			}
			return nil, usagef("%s: %s", f.command.name, err)
		}
		if f.NArg() == 0 {
			break
		}
		operands, rest = append(operands, f.Arg(0)), f.Args()[1:]
	}
	if want == anyOperands {
		return operands, nil
	}
	if len(operands) > want {
		return nil, usagef("%s: %q is one argument too many", f.command.name, operands[want])
	}
	if len(operands) < want {
		return nil, usagef("%s: %s is missing; see streamgate %s --help", f.command.name, f.command.args, f.command.name)
	}
	return operands, nil
}

func (f *flags) help(w io.Writer) {
	fmt.Fprintf(w, "Usage: streamgate %s [flags]\n\n%s.\n\n", strings.TrimSpace(f.command.name+" "+f.command.args),
		strings.ToUpper(f.command.short[:1])+f.command.short[1:])
	f.SetOutput(w)
	f.PrintDefaults()
}

// config loads the configuration that the command line asks for.
func (f *flags) config() (*node.Config, error) {
	src := f.src
	if f.data != "" {
		src.Set = append(src.Set, node.Setting{Key: "data_dir", Value: f.data})
	}
	return node.Load(src)
}

// load reads a command line without operands, and the configuration it asks
// for.
func (f *flags) load(e *env) (*node.Config, error) {
	f.allowSet()
	if _, err := f.parse(e, 0); err != nil {
		return nil, err
	}
	return f.config()
}

// dataDir is the data directory of the node to talk to. A named one needs no
// configuration, which may be unreadable for this user.
func (f *flags) dataDir() (string, error) {
	if f.data != "" && f.src.File == "" {
		return filepath.Abs(f.data)
	}
	cfg, err := f.config()
	if err != nil {
		return "", err
	}
	return cfg.DataDir, nil
}
