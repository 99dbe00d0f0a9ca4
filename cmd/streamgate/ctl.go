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
	"github.com/spf13/cobra"
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
	uploads    rpc.UploadsClient
	transcoder rpc.TranscoderClient
	access     rpc.AccessClient
	monitor    rpc.MonitorClient
	webhooks   rpc.WebhooksClient
	alerts     rpc.AlertsClient
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
		uploads:    rpc.NewUploadsClient(h, socketURL),
		transcoder: rpc.NewTranscoderClient(h, socketURL),
		access:     rpc.NewAccessClient(h, socketURL),
		monitor:    rpc.NewMonitorClient(h, socketURL),
		webhooks:   rpc.NewWebhooksClient(h, socketURL),
		alerts:     rpc.NewAlertsClient(h, socketURL),
	}
}

// ask makes a command of one question to the node: do asks, and tell writes the
// answer for people. With --json the answer is written as the API gives it.
func ask[M proto.Message](p *cli, cmd *cobra.Command, do func(context.Context, *client, []string) (M, error),
	tell func(w io.Writer, answer M, args []string)) *cobra.Command {
	asJSON := jsonFlag(cmd)
	reads(cmd, configEnv...)
	cmd.Args = operands
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		answer, err := do(cmd.Context(), c, args)
		switch {
		case err != nil:
			return c.explain(err)
		case *asJSON:
			return printJSON(p.stdout, answer)
		}
		tell(p.stdout, answer, args)
		return nil
	}
	return cmd
}

// say is what ask tells when all is said by a sentence, which may name the
// operands.
func say[M proto.Message](format string) func(io.Writer, M, []string) {
	return func(w io.Writer, _ M, args []string) {
		var values []any
		for _, a := range args[:min(len(args), strings.Count(format, "%s"))] {
			values = append(values, a)
		}
		fmt.Fprintf(w, format+"\n", values...)
	}
}

// ask asks the node on its operator's socket for a JSON value beside the API's.
func (c *client) ask(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, socketURL+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return newStatusError(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(into); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return nil
}

// explain turns an error of a call into one for people: the service's own
// sentence, or why the node cannot be reached and what to do.
func (c *client) explain(err error) error {
	var coded *connect.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission) && errors.As(err, new(*net.OpError)):
		return fmt.Errorf("the node on %s belongs to another user; run this as that user (sudo -u streamgate …) or as root", c.dataDir)
	case unreachable(err):
		return fmt.Errorf("no node is running on %s; start it with: streamgate serve --data %s", c.dataDir, c.dataDir)
	case errors.As(err, &coded) && coded.Code() != connect.CodeCanceled:
		return &callError{coded.Message(), err}
	default:
		return err
	}
}

// callError is an error that the node gave, in its own words.
type callError struct {
	text  string
	cause error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.cause }

// unreachable tells errors of a node that is not there from those it gave, and
// from those of files.
func unreachable(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED))
}

// printJSON writes a message as the API does, on several lines.
func printJSON(w io.Writer, m proto.Message) error {
	data, err := rpc.JSONCodecs()[0].Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return printValue(w, json.RawMessage(data))
}

// printValue writes what is no message of the API as JSON.
func printValue(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// printLine writes a message as the API does, on one line.
func printLine(w io.Writer, m proto.Message) error {
	data, err := rpc.JSONCodecs()[0].Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
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

// pages gathers a paged list up to limit (0 for all).
func pages[T any](limit int32, page func(size int32, cursor string) ([]T, string, error)) ([]T, error) {
	var all []T
	for cursor := ""; ; {
		size := int32(store.MaxLimit)
		if limit > 0 {
			size = min(size, limit-int32(len(all)))
		}
		items, next, err := page(size, cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" || limit > 0 && int32(len(all)) >= limit {
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

// cellWidth is how much of a text a table shows, characters.
const cellWidth = 48

// cell is a text that may be long, or hold what would upset a terminal, for a
// table.
func cell(text string) string {
	r := []rune(rpc.PlainText(text))
	if len(r) > cellWidth {
		return string(r[:cellWidth-1]) + "…"
	}
	return string(r)
}
