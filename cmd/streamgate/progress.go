package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"streamgate/app/rpc"
	"streamgate/node"
)

// progress tells on stderr how far push is: a bar on a terminal, else only
// the notes.
type progress struct {
	env *env

	mu    sync.Mutex // HTTP reads the body in a goroutine of its own
	label string
	total int64
	begun time.Time
	first int64     // offset at which this run began, for the rate
	drawn time.Time // the last time
	open  bool      // a bar stands on the current line
}

const (
	barWidth = 30
	// drawEvery bounds the redraws.
	drawEvery = 100 * time.Millisecond
)

func newProgress(e *env) *progress { return &progress{env: e} }

// begin starts a bar of bytes; a total of 0 is not known.
func (p *progress) begin(label string, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.label, p.total, p.begun, p.first = label, total, time.Now(), -1
}

// moved draws the bar of bytes.
func (p *progress) moved(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first < 0 {
		p.first = at
	}
	if (at < p.total || p.total == 0) && time.Since(p.drawn) < drawEvery {
		return
	}
	if p.total == 0 { // of a pipe
		p.draw(p.label, 0, node.Bytes(at).Short())
		return
	}
	text := node.Bytes(at).Short() + " of " + node.Bytes(p.total).Short()
	if took := time.Since(p.begun).Seconds(); at > p.first && took > 0.5 {
		rate := float64(at-p.first) / took
		text += fmt.Sprintf("  %s/s  %s left", node.Bytes(rate).Short(), seconds(float64(p.total-at)/rate))
	}
	p.draw(p.label, float64(at)/float64(p.total), text)
}

// transcoding draws the bar of the task.
func (p *progress) transcoding(v *rpc.Video, t *rpc.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := v.GetState()
	if t.GetSpeed() > 0 {
		text += "  " + speed(t.GetSpeed())
	}
	if t != nil && t.Eta != nil {
		text += "  " + left(t) + " left"
	}
	p.draw("Transcoding", v.GetProgress()/100, text)
}

// draw replaces the current line. The lock is held.
func (p *progress) draw(label string, part float64, text string) {
	if !p.env.terminal {
		return
	}
	full := int(barWidth * max(0, min(1, part)))
	bar := strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
	fmt.Fprintf(p.env.stderr, "\r\x1b[K%-12s %s %3.0f%%  %s", label, bar, 100*part, text)
	p.drawn, p.open = time.Now(), true
}

// note writes a line of its own.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
	fmt.Fprintf(p.env.stderr, format+"\n", args...)
}

// done leaves the line of the bar.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
}

func (p *progress) close() {
	if p.open {
		fmt.Fprint(p.env.stderr, "\r\x1b[K")
		p.open = false
	}
}
