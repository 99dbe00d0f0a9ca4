package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
	"streamgate/node"
)

func uploadsCommand(p *cli) *cobra.Command {
	return group("uploads", "list, fetch and give up uploads", uploadsList(p), uploadsFetch(p), uploadsShow(p), uploadsDelete(p))
}

func uploadsFetch(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "fetch URL", Short: "have the node fetch a video, and do not wait for it",
		Example: "streamgate uploads fetch https://example.org/film.mp4 --title 'A film'\nstreamgate uploads fetch https://example.org/film.mp4 --video ID",
	}
	req := &rpc.FetchUploadRequest{}
	cmd.Flags().StringVar(&req.VideoId, "video", "", "for the video with this `ID`, which waits for its source")
	cmd.Flags().StringVar(&req.Title, "title", "", "`TITLE` of a new video (default: the file's name)")
	cmd.Flags().BoolVar(&req.Public, "public", false, "let anybody watch it, without a session")
	cmd.Flags().StringVar(&req.Profile, "profile", "", "encode it with this `PROFILE` of the configuration (default: default)")
	cmd.Flags().StringVar(&req.Sha256, "sha256", "", "refuse a file with another SHA-256 than `SUM`")
	priority := priorityFlag(cmd, "`N` from 0 (last) to 100 (first)")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Upload, error) {
		req.SourceUrl = args[0]
		if priority.set {
			req.Priority = &priority.value
		}
		return c.uploads.FetchUpload(ctx, req)
	}, tellUpload)
}

func uploadsShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "show one upload", Example: "streamgate uploads show ID --json"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Upload, error) {
		return c.uploads.GetUpload(ctx, &rpc.GetUploadRequest{Id: args[0]})
	}, tellUpload)
}

func uploadsDelete(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete ID", Short: "give up an upload or a fetch, and the video that was made with it", Example: "streamgate uploads delete ID",
	}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.DeleteUploadResponse, error) {
		return c.uploads.DeleteUpload(ctx, &rpc.DeleteUploadRequest{Id: args[0]})
	}, say[*rpc.DeleteUploadResponse]("Deleted upload %s."))
}

func tellUpload(w io.Writer, u *rpc.Upload, _ []string) {
	size := ""
	if u.GetSizeBytes() > 0 {
		size = node.Bytes(u.GetSizeBytes()).Short()
	}
	printFields(w, "id", u.GetId(), "video", u.GetVideoId(), "state", u.GetState(), "error", failure(u.GetError()),
		"from", u.GetSourceUrl(), "has", node.Bytes(u.GetOffset()).Short(), "of", size,
		"created", when(u.GetCreatedAt()), "expires", when(u.GetExpiresAt()))
}

func uploadsList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the unfinished uploads, newest first", Example: "streamgate uploads list"}
	limit := limitFlag(cmd)
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListUploadsResponse, error) {
		uploads, err := pages(limit.value, func(size int32, cursor string) ([]*rpc.Upload, string, error) {
			r, err := c.uploads.ListUploads(ctx, &rpc.ListUploadsRequest{Limit: size, Cursor: cursor})
			return r.GetUploads(), r.GetNextCursor(), err
		})
		return &rpc.ListUploadsResponse{Uploads: uploads}, err
	}, func(w io.Writer, r *rpc.ListUploadsResponse, _ []string) {
		rows := [][]string{{"ID", "VIDEO", "STATE", "HAS", "OF", "CREATED", "EXPIRES"}}
		for _, u := range r.GetUploads() {
			size := ""
			if u.GetSizeBytes() > 0 {
				size = node.Bytes(u.GetSizeBytes()).Short()
			}
			rows = append(rows, []string{u.GetId(), u.GetVideoId(), u.GetState(), node.Bytes(u.GetOffset()).Short(), size,
				when(u.GetCreatedAt()), when(u.GetExpiresAt())})
		}
		printRows(w, rows)
	})
}
