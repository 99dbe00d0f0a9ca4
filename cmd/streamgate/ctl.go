package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/node"
	"streamgate/store"
)

// socketURL stands for the node in requests over the admin socket.
const socketURL = "http://streamgate"

// client talks to the node over its admin socket.
type client struct {
	dataDir    string
	http       *http.Client
	library    rpc.LibraryClient
	transcoder rpc.TranscoderClient
	access     rpc.AccessClient
}

// newClient makes a client for the node on a data directory. It does not
// connect yet. The socket's path is asked at each connection: a node that was
// restarted may have another.
func newClient(dataDir string) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", node.AdminSocket(dataDir))
	}
	h := &http.Client{Transport: &http.Transport{DialContext: dial}}
	return &client{
		dataDir: dataDir, http: h,
		library:    rpc.NewLibraryClient(h, socketURL),
		transcoder: rpc.NewTranscoderClient(h, socketURL),
		access:     rpc.NewAccessClient(h, socketURL),
	}
}

// ctl reads the command line and makes the client: what every command that
// talks to a node begins with.
func ctl(e *env, f *flags, operands int) (*client, []string, error) {
	args, err := f.parse(e, operands)
	if err != nil {
		return nil, nil, err
	}
	dir, err := f.dataDir()
	if err != nil {
		return nil, nil, err
	}
	return newClient(dir), args, nil
}

// explain turns an error of a call into one for people: the service's own
// sentence, or why the node cannot be reached and what to do.
func (c *client) explain(err error) error {
	var coded *connect.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the node on %s belongs to another user; run this as that user (sudo -u streamgate …) or as root", c.dataDir)
	case unreachable(err):
		return fmt.Errorf("no node is running on %s; start it with: streamgate serve --data %s", c.dataDir, c.dataDir)
	case errors.As(err, &coded) && coded.Code() != connect.CodeCanceled:
		return errors.New(coded.Message())
	default:
		return err
	}
}

// unreachable tells errors of a node that is not there from those it gave.
func unreachable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// printJSON writes a message as the API does: every field, snake_case.
func printJSON(w io.Writer, m proto.Message) error {
	data, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	var value json.RawMessage = data
	enc := json.NewEncoder(w) // protojson varies its spaces on purpose
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// printRows writes a table; the first row is its head.
func printRows(w io.Writer, rows [][]string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush() // nobody is left to tell
}

// printFields writes name and value pairs, leaving out empty values.
func printFields(w io.Writer, pairs ...string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", pairs[i], pairs[i+1])
		}
	}
	_ = table.Flush() // nobody is left to tell
}

// listFlags are the flags that every list has.
func (f *flags) listFlags() (state *string, limit *int, asJSON *bool) {
	state = f.String("state", "", "only those in this `STATE`")
	limit = f.Int("limit", 50, "at most `N`; 0 for all")
	return state, limit, f.jsonFlag()
}

func (f *flags) jsonFlag() *bool { return f.Bool("json", false, "print JSON") }

// pages gathers a paged list up to limit (0 for all).
func pages[T any](limit int, page func(size int32, cursor string) ([]T, string, error)) ([]T, error) {
	var all []T
	for cursor := ""; ; {
		size := store.MaxLimit
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		items, next, err := page(int32(size), cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
		cursor = next
	}
}

func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Local().Format(time.DateTime)
}

func percent(p float64) string { return fmt.Sprintf("%.0f%%", p) }

func failure(f *rpc.Failure) string {
	if f.GetCode() == "" {
		return ""
	}
	return f.GetCode() + ": " + f.GetMessage()
}
