package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a wrong command line: exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// problem is an error under --json: the members of the API's problems (RFC
// 9457) that mean something here.
type problem struct {
	Type   string `json:"type"` // always about:blank
	Title  string `json:"title"`
	Status int    `json:"status,omitempty"` // if the node answered
	Detail string `json:"detail"`
	Code   string `json:"code"` // the API's or the video's, or usage, interrupted or failed
}

// report writes an error as one line and returns the exit code.
func report(ctx context.Context, e *env, err error, asJSON bool) int {
	if err == nil {
		return exitOK
	}
	var usage *usageError
	var told *callError
	p, exit := problem{Title: "The command failed", Code: "failed", Detail: err.Error()}, exitFailure
	switch {
	case errors.As(err, &usage):
		p.Title, p.Code, exit = "Wrong usage", "usage", exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		if p.Title, p.Code = "Interrupted", "interrupted"; !errors.As(err, &told) {
			p.Detail = "interrupted"
		}
	}
	if !asJSON {
		fmt.Fprintf(e.stderr, "streamgate: %s\n", p.Detail)
		return exit
	}
	p.Type = "about:blank"
	p.fromNode(err)
	enc := json.NewEncoder(e.stderr)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p) // strings always encode; nobody is left to tell
	return exit
}

// fromNode fills in what the node said of its own error.
func (p *problem) fromNode(err error) {
	var coded *connect.Error
	var status *statusError
	var video *videoError
	switch reason, code := rpc.Reason(err); {
	case reason != "" && errors.As(err, &coded):
		if code == 0 {
			code = rpc.HTTPStatus(coded.Code())
		}
		p.Status, p.Code = code, reason
	case errors.As(err, &status):
		p.Status, p.Code = status.status, status.code
	case errors.As(err, &video):
		p.Code = video.reason.GetCode()
		return
	default:
		return
	}
	p.Title = http.StatusText(p.Status)
}

// wantsJSON tells whether errors are written as JSON: also where the command
// line is wrong, and --json was not reached.
func wantsJSON(cmd *cobra.Command, args []string) bool {
	return cmd != nil && cmd.Flags().Lookup("json") != nil &&
		(cmd.Flags().Lookup("json").Value.String() == "true" || slices.Contains(args, "--json"))
}
