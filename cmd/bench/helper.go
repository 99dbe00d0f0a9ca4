package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// helpers are the programs that the bench is itself when it is run with one of
// these names: processes of their own, so that their CPU time can be told
// apart. Each prints one line when it is ready, and ends when stdin does.
func helpers() map[string]func(stdin io.Reader, stdout io.Writer) error {
	return map[string]func(io.Reader, io.Writer) error{
		queueCommand: serveQueue, authCommand: serveAuth, chainCommand: serveChain, tusdCommand: serveTusd(false), syncedTusdCommand: serveTusd(true),
	}
}

// helper is such a process, seen from the bench.
type helper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader // what it says after its first line
}

// startHelper runs a helper and returns the line that it printed.
func startHelper(ctx context.Context, name string) (_ *helper, line string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	h := &helper{cmd: command(ctx, self, name)}
	var said strings.Builder
	h.cmd.Stderr = &said
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", name, err)
	}
	h.out = bufio.NewReader(out)
	if line, err = h.out.ReadString('\n'); err != nil {
		h.stop()
		return nil, "", fmt.Errorf("%s did not start: %w\n%s", name, err, said.String())
	}
	return h, strings.TrimSpace(line), nil
}

// ask sends a line and reads the answer, both JSON; only to helpers that answer.
func (h *helper) ask(question, answer any) error {
	if err := json.NewEncoder(h.stdin).Encode(question); err != nil {
		return err
	}
	line, err := h.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

func (h *helper) stop() {
	h.stdin.Close()
	_ = h.cmd.Wait() // also if it was killed
}
