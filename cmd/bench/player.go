package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// playerGivesUp bounds how long a player asks again for what is not there yet.
const playerGivesUp = time.Minute

// player fetches as players do: the node holds a request for what is being
// made, and one that it gives up with 503 is sent again.
type player struct {
	base string // ends with a slash
}

// firstPicture fetches all that a picture needs: the master playlist, the
// first rendition's playlist and init, and its first cell. It returns that
// rendition's name.
func (p player) firstPicture(ctx context.Context) (string, error) {
	master, err := p.fetch(ctx, "master.m3u8")
	if err != nil {
		return "", err
	}
	list, ok := firstURI(master)
	if !ok {
		return "", fmt.Errorf("the master playlist names no rendition:\n%s", master)
	}
	rendition, _, _ := strings.Cut(list, "/")
	media, err := p.fetch(ctx, list)
	if err != nil {
		return "", err
	}
	init, okInit := attribute(media, "#EXT-X-MAP:", "URI")
	cell, okCell := firstURI(media)
	if !okInit || !okCell {
		return "", fmt.Errorf("the playlist of %s names no init or no cell:\n%s", rendition, media)
	}
	for _, name := range []string{init, cell} {
		if _, err := p.fetch(ctx, rendition+"/"+name); err != nil {
			return "", err
		}
	}
	return rendition, nil
}

// fetch gets something whole.
func (p player) fetch(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, playerGivesUp, errors.New(name+" did not come"))
	defer cancel()
	for {
		status, body, err := get(ctx, p.base+name)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, err
		case status == http.StatusOK:
			return body, nil
		case status != http.StatusServiceUnavailable:
			return nil, fmt.Errorf("GET %s: %d: %s", name, status, body)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func get(ctx context.Context, url string) (status int, body []byte, err error) {
	return getBy(ctx, http.DefaultClient, url)
}

func getBy(ctx context.Context, client *http.Client, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// uris are the lines of a playlist that are addresses (RFC 8216 §4.1).
func uris(playlist []byte) []string {
	var list []string
	for line := range strings.Lines(string(playlist)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list
}

func firstURI(playlist []byte) (string, bool) {
	for _, uri := range uris(playlist) {
		return uri, true
	}
	return "", false
}

// attribute returns a quoted attribute of the first tag of that name (RFC
// 8216 §4.2).
func attribute(playlist []byte, tag, name string) (string, bool) {
	_, rest, ok := strings.Cut(string(playlist), tag)
	if !ok {
		return "", false
	}
	line, _, _ := strings.Cut(rest, "\n")
	_, rest, ok = strings.Cut(line, name+`="`)
	if !ok {
		return "", false
	}
	value, _, ok := strings.Cut(rest, `"`)
	return value, ok
}
