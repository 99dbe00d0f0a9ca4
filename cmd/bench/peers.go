package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// peersStop is how long the peers may take to stop in order.
const peersStop = 30 * time.Second

// peers is the child that measures other queues; see the folder peers.
type peers struct {
	cmd   *exec.Cmd
	dir   string
	stdin io.WriteCloser
	out   *bufio.Reader
	known []peer
}

// peer is a queue of somebody else's.
type peer struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Postgres is the address of its server, if that is what it runs on.
	Postgres string `json:"postgres"`
}

// peerLoad is what a peer is asked to bear; the fields are explained there.
type peerLoad struct {
	Peer     string          `json:"peer"`
	What     string          `json:"what"`
	Parallel int             `json:"parallel"`
	Nodes    int             `json:"nodes,omitempty"`
	Seconds  float64         `json:"seconds"`
	Waiting  int             `json:"waiting"`
	Payload  json.RawMessage `json:"payload"`
}

// startPeers returns when all of them run, or the one of that name. Their scratch
// directory is beside the bench's own, whose rights shut their servers out.
func (b *bench) startPeers(ctx context.Context, only string) (_ *peers, err error) {
	dir, err := os.MkdirTemp("", "streamgate-peers-")
	if err != nil {
		return nil, err
	}
	p := &peers{dir: dir}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	if err := os.Chmod(dir, 0o711); err != nil { // the servers have their own folders in it
		return nil, err
	}
	if _, err := os.Stat(b.peers); err != nil {
		return nil, fmt.Errorf("no program to measure other queues: %w; make bench builds it", err)
	}
	cmd := command(ctx, b.peers, "-dir", dir, "-only", only)
	var said strings.Builder
	cmd.Stderr = &said
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// Its servers end in order when it sees the end of its input.
	cmd.Cancel, cmd.WaitDelay = p.stdin.Close, peersStop
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.cmd = cmd
	var hello struct {
		Peers []peer `json:"peers"`
	}
	if err := p.read(&hello); err != nil {
		p.stop()
		return nil, fmt.Errorf("the peers did not start: %w\n%s", err, said.String())
	}
	p.known = hello.Peers
	return p, nil
}

func (p *peers) read(answer any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

// measure asks a peer and returns a rate per second.
func (p *peers) measure(l peerLoad) (float64, error) {
	line, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return 0, err
	}
	var answer struct {
		PerSecond float64 `json:"per_second"`
		Error     string  `json:"error"`
	}
	if err := p.read(&answer); err != nil {
		return 0, fmt.Errorf("%s gave no answer: %w", l.Peer, err)
	}
	if answer.Error != "" {
		return 0, errors.New(l.Peer + ": " + answer.Error)
	}
	return answer.PerSecond, nil
}

func (p *peers) stop() {
	if p.cmd != nil {
		p.stdin.Close()
		_ = p.cmd.Wait() // also if it was killed, or waited for already
	}
	os.RemoveAll(p.dir)
}
