package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
	"streamgate/node"
)

func uploadsCommand(p *cli) *cobra.Command {
	return group("uploads", "list what is being uploaded", uploadsList(p))
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
