package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// row measures one thing, or several that are measured together.
type row struct {
	name  string
	tools []string // programs it needs besides the node
	run   func(context.Context, *bench) ([]result, error)
}

// clusterTools are what a cluster needs, besides what make bin/minio bin/consul builds.
var clusterTools = []string{"ffmpeg", "initdb", "redis-server"}

func rows() []row {
	return []row{
		{"start", nil, benchStart},
		{"memory", nil, benchMemory},
		{"picture-copy", []string{"ffmpeg"}, benchPictureCopy},
		{"picture-encode", []string{"ffmpeg"}, benchPictureEncode},
		{"slow-line", []string{"ffmpeg"}, benchSlowLine},
		{"ladder", []string{"ffmpeg"}, benchLadder},
		{"cells", []string{"ffmpeg", "nginx", "wrk"}, benchCells},
		{"playlists", []string{"ffmpeg", "nginx", "wrk"}, benchPlaylists},
		{"demand", []string{"ffmpeg"}, benchDemand},
		{"revocation", []string{"ffmpeg"}, benchRevocation},
		{"ticket", nil, benchTicket},
		{"decision", nil, benchDecision},
		{"many-sessions", []string{"ffmpeg", "wrk"}, benchManySessions},
		{"sign-in", nil, benchSignIn},
		{"uploads", nil, benchUploads},
		{"queue", []string{"initdb", "redis-server"}, benchQueue},
		{"depth", nil, benchDepth},
		{"cluster-queue", []string{"initdb"}, benchClusterQueue},
		{"busy-memory", []string{"ffmpeg"}, benchBusyMemory},
		{"borders", []string{"ffmpeg"}, benchBorders},
		{"crash", []string{"ffmpeg"}, benchCrash},
		{"cluster-nodes", clusterTools, benchClusterNodes},
		{"cluster-revocation", clusterTools, benchClusterRevocation},
		{"cluster-cells", append([]string{"nginx", "wrk"}, clusterTools...), benchClusterCells},
		{"cluster-transcoders", clusterTools, benchClusterTranscoders},
		{"cluster-source", clusterTools, benchClusterSource},
		{"cluster-far-cell", clusterTools, benchClusterFarCell},
		{"migration", clusterTools, benchMigration},
		{"console-pages", []string{"ffmpeg"}, benchConsolePages},
		{"console-watched", []string{"ffmpeg"}, benchConsoleWatched},
		{"console-paint", []string{"ffmpeg", "chromium"}, benchConsolePaint},
	}
}

// pick returns the rows with these comma-separated names; all if there are none.
func pick(all []row, names string) ([]row, error) {
	if names == "" {
		return all, nil
	}
	var known []string
	for _, r := range all {
		known = append(known, r.name)
	}
	var picked []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.Index(known, strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; the rows are %s", name, strings.Join(known, ", "))
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// haveTools tells which program is missing, and how to get it.
func (r row) haveTools() error {
	for _, tool := range r.tools {
		if _, err := findTool(tool); err != nil {
			return fmt.Errorf("row %s needs %s, which is not installed: apt-get install %s (or leave the row out with -rows)", r.name, tool, packageOf(tool))
		}
	}
	return nil
}

// packageOf is the Debian package that a program is in.
func packageOf(tool string) string {
	if tool == "initdb" {
		return "postgresql"
	}
	return tool
}

// findTool finds a program also where ordinary users have no path to.
func findTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, pattern := range []string{"/usr/sbin/", "/usr/lib/postgresql/*/bin/"} {
		if found, _ := filepath.Glob(pattern + name); len(found) > 0 {
			return exec.LookPath(found[len(found)-1])
		}
	}
	return "", err
}
