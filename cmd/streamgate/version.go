package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version prints which program this is.
func version(_ context.Context, e *env, f *flags) error {
	if _, err := f.parse(e, 0); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "streamgate %s %s %s/%s\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// programVersion is what the Go tool noted at build: a tag, or the commit.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
