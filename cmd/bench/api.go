package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// video is what the bench reads of a video.
type video struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	TaskID     string `json:"task_id"`
	Renditions []struct {
		Name string `json:"name"`
		Copy bool   `json:"copy"`
	} `json:"renditions"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// copied tells whether the source is offered as it is.
func (v video) copied() bool {
	for _, r := range v.Renditions {
		if r.Copy && r.Name == "source" {
			return true
		}
	}
	return false
}

// caller is somebody who asks the API.
type caller struct {
	client *http.Client
	url    string // of the public edge
	bearer string // a key or a login; "" for nobody
}

// newClient returns a client that keeps its connections: net/http's own keeps
// two, and the bench would measure how fast new ones are made.
func newClient() *http.Client {
	const most = 512
	return &http.Client{Transport: &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most, IdleConnTimeout: time.Minute}}
}

// call asks the API and decodes the answer into out, unless that is nil.
func (c caller) call(ctx context.Context, method, path string, body, out any) error {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	data, err := c.send(ctx, method, path, payload, 0)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(data, out)
}

func (c caller) send(ctx context.Context, method, path string, body io.Reader, size int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		req.ContentLength = size
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, err
}

// visitor is nobody yet. Each number has an address of its own on loopback, so
// that the limits of clients count each for itself.
func (n *node) visitor(number int) caller {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+number/250), byte(1+number%250))}
	return caller{&http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: from}).DialContext}}, n.url, ""}
}

// admin asks with the admin's key, which is made when first needed.
func (n *node) admin(ctx context.Context) (caller, error) {
	if n.key == "" {
		key, err := n.newKey(ctx)
		if err != nil {
			return caller{}, err
		}
		n.key = key
	}
	return caller{n.client, n.url, n.key}, nil
}

// call is the admin's.
func (n *node) call(ctx context.Context, method, path string, body, out any) error {
	admin, err := n.admin(ctx)
	if err != nil {
		return err
	}
	return admin.call(ctx, method, path, body, out)
}

func (n *node) newKey(ctx context.Context) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, n.cmd.Path, "keys", "create", "--scope", "admin", "--data", n.data())
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("create a key: %w: %s", err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// upload makes a video of a file with one PUT, as curl -T does, and returns
// when the node has acknowledged its last byte.
func (n *node) upload(ctx context.Context, file, profile string, public bool) (video, time.Time, error) {
	var v video
	create := map[string]any{"title": "bench", "public": public, "profile": profile}
	if err := n.call(ctx, http.MethodPost, "/api/v1/videos", create, &v); err != nil {
		return v, time.Time{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return v, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return v, time.Time{}, err
	}
	admin, err := n.admin(ctx)
	if err != nil {
		return v, time.Time{}, err
	}
	_, err = admin.send(ctx, http.MethodPut, "/api/v1/videos/"+v.ID+"/source", f, info.Size())
	return v, time.Now(), err
}

func (n *node) video(ctx context.Context, id string) (video, error) {
	var v video
	err := n.call(ctx, http.MethodGet, "/api/v1/videos/"+id, nil, &v)
	if err == nil && v.State == "failed" && v.Error != nil {
		err = errors.New("the video has failed: " + v.Error.Message)
	}
	return v, err
}

// awaitTask returns when the video's task has succeeded: all of its jobs are
// done, the stills too.
func (n *node) awaitTask(ctx context.Context, id string) error {
	for {
		v, err := n.video(ctx, id)
		if err != nil {
			return err
		}
		var task struct {
			State string `json:"state"`
		}
		if v.TaskID != "" {
			if err := n.call(ctx, http.MethodGet, "/api/v1/tasks/"+v.TaskID, nil, &task); err != nil {
				return err
			}
		}
		switch task.State {
		case "succeeded":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("the task is %s", task.State)
		}
		if err := sleep(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

// busy is how many workers have a job.
func (n *node) busy(ctx context.Context) (int, error) {
	var m struct {
		Active int `json:"active_workers"`
	}
	err := n.call(ctx, http.MethodGet, "/api/v1/transcoder/metrics", nil, &m)
	return m.Active, err
}

// discard deletes a video and returns when nothing is being made any more.
func (n *node) discard(ctx context.Context, id string) error {
	if err := n.call(ctx, http.MethodDelete, "/api/v1/videos/"+id, nil, nil); err != nil {
		return err
	}
	return n.awaitIdle(ctx)
}

// awaitIdle returns when no worker has a job.
func (n *node) awaitIdle(ctx context.Context) error {
	for {
		active, err := n.busy(ctx)
		if err != nil || active == 0 {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
