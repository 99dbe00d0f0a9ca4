package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
	"streamgate/node"
)

func videosCommand(p *cli) *cobra.Command {
	return group("videos", "list, show, change and delete videos", videosList(p), videosShow(p), videosCells(p), videosUpdate(p), videosDelete(p))
}

func videosList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the videos, newest first", Example: "streamgate videos list --state ready --limit 10"}
	limit := limitFlag(cmd)
	state := choiceFlag(cmd, "state", "", "only those in this `STATE`", "uploading", "processing", "playable", "ready", "failed")
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListVideosResponse, error) {
		videos, err := pages(limit.value, func(size int32, cursor string) ([]*rpc.Video, string, error) {
			r, err := c.library.ListVideos(ctx, &rpc.ListVideosRequest{Limit: size, Cursor: cursor, State: state.value})
			return r.GetVideos(), r.GetNextCursor(), err
		})
		return &rpc.ListVideosResponse{Videos: videos}, err
	}, tellVideos)
}

func tellVideos(w io.Writer, r *rpc.ListVideosResponse, _ []string) {
	rows := [][]string{{"ID", "STATE", "DONE", "LENGTH", "PUBLIC", "CREATED", "TITLE"}}
	for _, v := range r.GetVideos() {
		rows = append(rows, []string{v.GetId(), v.GetState(), percent(v.GetProgress()), seconds(v.GetDurationSeconds()),
			yes(v.GetPublic()), when(v.GetCreatedAt()), cell(v.GetTitle())})
	}
	printRows(w, rows)
}

func videosShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "show one video", Example: "streamgate videos show ID --json"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Video, error) {
		return c.library.GetVideo(ctx, &rpc.GetVideoRequest{Id: args[0]})
	}, tellVideo)
}

func tellVideo(w io.Writer, v *rpc.Video, _ []string) {
	printFields(w, "id", v.GetId(), "title", rpc.PlainText(v.GetTitle()), "state", v.GetState(), "error", failure(v.GetError()),
		"done", percent(v.GetProgress()), "length", seconds(v.GetDurationSeconds()), "picture", picture(v.GetWidth(), v.GetHeight()),
		"size", node.Bytes(v.GetSizeBytes()).Short(), "sha256", v.GetSha256(), "public", yes(v.GetPublic()), "profile", v.GetProfile(),
		"task", v.GetTaskId(), "created", when(v.GetCreatedAt()), "upload", v.GetUploadUrl(),
		"watch", v.GetWatchUrl(), "hls", v.GetHlsUrl(), "dash", v.GetDashUrl())
	for _, warning := range v.GetWarnings() {
		printFields(w, "warning", warning.GetMessage())
	}
	if len(v.GetRenditions()) == 0 {
		return
	}
	rows := [][]string{{"", "", "", "", ""}, {"RENDITION", "CODECS", "PICTURE", "RATE", "DONE"}}
	for _, r := range v.GetRenditions() {
		rows = append(rows, []string{renditionName(r), r.GetCodecs(), picture(r.GetWidth(), r.GetHeight()),
			strconv.Itoa(int(r.GetBandwidth()/1000)) + " kbit/s", percent(r.GetProgress())})
	}
	printRows(w, rows)
}

// renditionName is a rendition's name, and whether players are still to be shown it.
func renditionName(r interface {
	GetName() string
	GetNext() bool
}) string {
	if r.GetNext() {
		return r.GetName() + " (next)"
	}
	return r.GetName()
}

// videosCells shows which segments of each rendition are made.
func videosCells(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "cells ID", Short: "show which segments of a video are made", Example: "streamgate videos cells ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Cells, error) {
		return c.library.GetCells(ctx, &rpc.GetCellsRequest{VideoId: args[0]})
	}, func(w io.Writer, cells *rpc.Cells, _ []string) {
		rows := [][]string{{"RENDITION", "SIZE", "SEGMENTS"}}
		for _, r := range cells.GetRenditions() {
			var runs []string
			for _, run := range r.GetReady() {
				runs = append(runs, segments(run.GetFrom(), run.GetTo()))
			}
			rows = append(rows, []string{renditionName(r), node.Bytes(r.GetSizeBytes()).Short(), cell(strings.Join(runs, ", "))})
		}
		printRows(w, rows)
	})
}

func videosUpdate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ID", Short: "change a video's title, and who may watch it",
		Example: "streamgate videos update ID --title 'A film'\nstreamgate videos update ID --public=false\nstreamgate videos update ID --rule rule.json",
	}
	title := cmd.Flags().String("title", "", "the new `TITLE`")
	public := cmd.Flags().Bool("public", false, "let anybody watch; --public=false makes it private")
	ruleFile := cmd.Flags().String("rule", "", "who may watch: a rule as JSON in `FILE`, - for standard input")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Video, error) {
		req := &rpc.UpdateVideoRequest{Id: args[0]}
		if cmd.Flags().Changed("title") {
			if !utf8.ValidString(*title) {
				return nil, usagef("videos update: --title %q is no UTF-8 text", *title)
			}
			req.Title = title
		}
		if cmd.Flags().Changed("public") {
			req.Public = public
		}
		switch {
		case req.Title == nil && req.Public == nil && *ruleFile == "":
			return nil, usagef("videos update: say what to change: --title, --public or --rule")
		case *public && *ruleFile != "":
			return nil, usagef("videos update: --public lets anybody watch, --rule does not; give one of them")
		}
		var rule *structpb.Struct
		if *ruleFile != "" {
			var err error
			if rule, err = readRule(p.env, *ruleFile); err != nil {
				return nil, err
			}
		}
		if req.Title != nil || req.Public != nil {
			if v, err := c.library.UpdateVideo(ctx, req); err != nil || rule == nil {
				return v, err
			}
		}
		if _, err := c.access.SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: args[0], Rule: rule}); err != nil {
			return nil, err
		}
		return c.library.GetVideo(ctx, &rpc.GetVideoRequest{Id: args[0]})
	}, tellVideo)
}

func videosDelete(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID", Short: "delete a video and its media", Example: "streamgate videos delete ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.DeleteVideoResponse, error) {
		return c.library.DeleteVideo(ctx, &rpc.DeleteVideoRequest{Id: args[0]})
	}, say[*rpc.DeleteVideoResponse]("Deleted video %s."))
}

func picture(width, height int32) string {
	if width == 0 {
		return ""
	}
	return fmt.Sprintf("%d×%d", width, height)
}

func seconds(s float64) string {
	if s == 0 {
		return ""
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second / 10).String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
