package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

const (
	// maxEvent is the longest line of the stream, bytes.
	maxEvent = 1 << 20
	// maxEvents bounds --count.
	maxEvents = 1_000_000_000
)

// event is one of GET /api/v1/events, as the stream has it.
type event struct {
	ID    string          `json:"id"`
	Event string          `json:"event"` // like video.changed
	Data  json.RawMessage `json:"data"`
}

func eventsCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "follow what happens on the node, until Ctrl-C",
		Long:    "With --json each line is one event. Events are hints: what happens while the node is away is not told later.",
		Example: "streamgate events --type video. --json\nstreamgate events --video ID --count 1",
		Args:    operands,
	}
	asJSON := jsonFlag(cmd)
	video := cmd.Flags().String("video", "", "only those of the video with this `ID`")
	kind := cmd.Flags().String("type", "", "only those whose type begins with `TYPE`, like video. or transcode.task.failed")
	count := numberFlag(cmd, "count", 0, 0, maxEvents, "end after `N` events; 0 for never")
	reads(cmd, configEnv...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		left := count.value
		err = c.followEvents(cmd.Context(), p.stderr, func(e event) (bool, error) {
			if !strings.HasPrefix(e.Event, *kind) || *video != "" && e.videoID() != *video {
				return true, nil
			}
			left--
			return left != 0, e.print(p.stdout, *asJSON)
		})
		if cmd.Context().Err() != nil { // it has no other end
			return nil
		}
		return c.explain(err)
	}
	return cmd
}

func (e event) videoID() string {
	var about struct {
		VideoID string `json:"video_id"`
	}
	_ = json.Unmarshal(e.Data, &about) // what has no video is of none
	return about.VideoID
}

func (e event) print(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	_, err := fmt.Fprintf(w, "%s  %-24s %s\n", time.Now().Format(time.TimeOnly), e.Event, rpc.PlainText(string(e.Data)))
	return err
}

// followEvents hands on every event until take says no. A node that restarts
// is waited for.
func (c *client) followEvents(ctx context.Context, notes io.Writer, take func(event) (bool, error)) error {
	retry, connected := newBackoff(), false
	for {
		more, err := c.readEvents(ctx, take, func() {
			if connected {
				fmt.Fprintln(notes, "Connected again; what happened in between is not told.")
			}
			retry, connected = newBackoff(), true
		})
		if !more || err != nil && (!connected || !passing(err)) {
			return err
		}
		if err == nil {
			err = errors.New("the node ended the stream of events")
		}
		if err := retry.wait(ctx, err); err != nil {
			return err
		}
	}
}

// readEvents reads one stream to its end; it returns whether more are wanted.
func (c *client) readEvents(ctx context.Context, take func(event) (bool, error), connected func()) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, socketURL+"/api/v1/events", nil)
	if err != nil {
		return false, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return true, newStatusError(resp)
	}
	connected()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	var e event
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "id":
			e.ID = value
		case name == "event":
			e.Event = value
		case name == "data":
			e.Data = json.RawMessage(value)
		case lines.Text() == "" && e.Event != "" && json.Valid(e.Data):
			if more, err := take(e); err != nil || !more {
				return false, err
			}
			e = event{}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return false, fmt.Errorf("the node sent an event of more than %d bytes", maxEvent)
	}
	return true, nil // the node has ended the stream, or the connection broke
}
