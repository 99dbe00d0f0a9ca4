package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"streamgate/app/rpc"
	"streamgate/node"
)

func videosList(ctx context.Context, e *env, f *flags) error {
	state, limit, asJSON := f.listFlags()
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	videos, err := pages(*limit, func(size int32, cursor string) ([]*rpc.Video, string, error) {
		r, err := c.library.ListVideos(ctx, &rpc.ListVideosRequest{Limit: size, Cursor: cursor, State: *state})
		return r.GetVideos(), r.GetNextCursor(), err
	})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, &rpc.ListVideosResponse{Videos: videos})
	}
	rows := [][]string{{"ID", "STATE", "DONE", "LENGTH", "PUBLIC", "CREATED", "TITLE"}}
	for _, v := range videos {
		rows = append(rows, []string{v.GetId(), v.GetState(), percent(v.GetProgress()), seconds(v.GetDurationSeconds()),
			yes(v.GetPublic()), when(v.GetCreatedAt()), v.GetTitle()})
	}
	printRows(e.stdout, rows)
	return nil
}

func videosShow(ctx context.Context, e *env, f *flags) error {
	asJSON := f.jsonFlag()
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	v, err := c.library.GetVideo(ctx, &rpc.GetVideoRequest{Id: args[0]})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, v)
	}
	printFields(e.stdout, "id", v.GetId(), "title", v.GetTitle(), "state", v.GetState(), "error", failure(v.GetError()),
		"done", percent(v.GetProgress()), "length", seconds(v.GetDurationSeconds()), "picture", picture(v.GetWidth(), v.GetHeight()),
		"size", node.Bytes(v.GetSizeBytes()).Short(), "sha256", v.GetSha256(), "public", yes(v.GetPublic()), "profile", v.GetProfile(),
		"task", v.GetTaskId(), "created", when(v.GetCreatedAt()), "upload", v.GetUploadUrl(),
		"watch", v.GetWatchUrl(), "hls", v.GetHlsUrl(), "dash", v.GetDashUrl())
	if len(v.GetRenditions()) == 0 {
		return nil
	}
	rows := [][]string{{"", "", "", "", ""}, {"RENDITION", "CODECS", "PICTURE", "RATE", "DONE"}}
	for _, r := range v.GetRenditions() {
		rows = append(rows, []string{r.GetName(), r.GetCodecs(), picture(r.GetWidth(), r.GetHeight()),
			strconv.Itoa(int(r.GetBandwidth()/1000)) + " kbit/s", percent(r.GetProgress())})
	}
	printRows(e.stdout, rows)
	return nil
}

func videosDelete(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	if _, err := c.library.DeleteVideo(ctx, &rpc.DeleteVideoRequest{Id: args[0]}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Deleted video %s.\n", args[0])
	return nil
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
