package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "print the version", Example: "streamgate version", Args: operands}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error { return p.printVersion(*asJSON) }
	return cmd
}

// printVersion says which program this is.
func (p *cli) printVersion(asJSON bool) error {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if asJSON {
		return printValue(p.stdout, map[string]string{"version": programVersion(), "go": runtime.Version(), "platform": platform})
	}
	fmt.Fprintf(p.stdout, "streamgate %s %s %s\n", programVersion(), runtime.Version(), platform)
	return nil
}

// buildVersion is the version where a build names it (make VERSION=…), as it must
// where the sources come without their repository.
var buildVersion string

// programVersion is what the build named, or else what the Go tool noted: a tag, or
// the commit.
func programVersion() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
