package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// environment is the annotation under which a command keeps the variables that
// it reads, a line each.
const environment = "environment"

// The variables that commands read, as the help shows them.
var (
	configEnv = []string{
		"STREAMGATE_CONFIG\tthe configuration file, if --config is not given",
		"STREAMGATE_DATA_DIR\tthe data directory, if --data is not given",
		"STREAMGATE_…\tany other key of the configuration, like STREAMGATE_API_GATEWAY_PORT",
		"XDG_DATA_HOME, HOME\twhere the data directory is if nobody says so",
	}
	stateEnv = []string{"XDG_STATE_HOME, HOME\twhere is kept what was pushed, to continue it"}
)

// reads notes the variables that a command reads.
func reads(cmd *cobra.Command, lines ...string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[environment] += strings.Join(lines, "\n") + "\n"
}

// help writes what a command is for, how it is called, and what it reads.
func help(w io.Writer, cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	usage := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		usage = cmd.CommandPath() + " COMMAND [flags]"
	}
	fmt.Fprintf(w, "Usage: %s\n\n%s%s.\n", usage, strings.ToUpper(cmd.Short[:1]), cmd.Short[1:])
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.Long)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, "\nCommands:\n")
		list(w, commandLines(cmd, ""))
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n  %s\n", strings.ReplaceAll(cmd.Example, "\n", "\n  "))
	}
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", cmd.LocalFlags().FlagUsages())
	}
	if cmd.HasAvailableInheritedFlags() {
		fmt.Fprintf(w, "\nFlags of all commands:\n%s", cmd.InheritedFlags().FlagUsages())
	}
	if vars := cmd.Annotations[environment]; vars != "" {
		fmt.Fprint(w, "\nEnvironment:\n")
		list(w, strings.Split(strings.TrimSpace(vars), "\n"))
	}
	if !cmd.HasParent() {
		fmt.Fprint(w, "\nExit codes: 0 success, 1 failure, 2 wrong usage.\n\nstreamgate COMMAND --help tells more of a command.\n")
	}
}

// commandLines are the commands under cmd that can be run, with their
// purposes.
func commandLines(cmd *cobra.Command, before string) []string {
	var lines []string
	for _, c := range cmd.Commands() {
		switch {
		case c.HasAvailableSubCommands():
			lines = append(lines, commandLines(c, before+c.Name()+" ")...)
		case c.IsAvailableCommand():
			lines = append(lines, before+c.Use+"\t"+c.Short)
		}
	}
	return lines
}

func list(w io.Writer, lines []string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(table, "  "+line)
	}
	_ = table.Flush() // as with fmt.Fprint, nobody is left to tell
}

func helpCommand(p *cli) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND…]", Short: "tell what a command is for and how it is called",
		Example: "streamgate help push\nstreamgate help videos list",
		Args:    operands,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return noCommand(found, rest)
			}
			help(p.stdout, found)
			return nil
		},
	}
}

func completionCommand(p *cli) *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "print the completion script of bash, zsh or fish",
		Example:   "source <(streamgate completion bash)\nstreamgate completion fish >~/.config/fish/completions/streamgate.fish",
		Args:      operands,
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			}
			return usagef("completion: %q is no shell that is known; write bash, zsh or fish", args[0])
		},
	}
}
