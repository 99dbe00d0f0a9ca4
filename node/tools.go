package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"

	"streamgate/app/media"
)

// ErrTools means that ffmpeg or ffprobe is missing or cannot do what is needed.
var ErrTools = errors.New("ffmpeg cannot be used")

// FindTools looks for ffmpeg and ffprobe: configured is the path of ffmpeg or
// "" for the PATH. ErrTools.
func FindTools(configured string) (media.Tools, error) {
	name := configured
	if name == "" {
		name = "ffmpeg"
	}
	ffmpeg, err := exec.LookPath(name)
	if err != nil {
		return media.Tools{}, fmt.Errorf("%w: transcoder.ffmpeg: %s was not found; install it (apt-get install ffmpeg) or set its path", ErrTools, name)
	}
	ffprobe := filepath.Join(filepath.Dir(ffmpeg), "ffprobe")
	if _, err := os.Stat(ffprobe); err != nil {
		if ffprobe, err = exec.LookPath("ffprobe"); err != nil {
			return media.Tools{}, fmt.Errorf("%w: ffprobe is neither beside %s nor in the PATH; install it (apt-get install ffmpeg)", ErrTools, ffmpeg)
		}
	}
	return media.Tools{FFmpeg: ffmpeg, FFprobe: ffprobe}, nil
}

// encoders are those that ffmpeg must have been built with.
var encoders = [...]string{"libx264", "aac"}

// ProbeTools runs ffmpeg to learn its version and whether it has the encoders
// needed, in one run: starting it takes tens of milliseconds. ErrTools.
func ProbeTools(ctx context.Context, t media.Tools) (version string, err error) {
	var list, banner bytes.Buffer
	cmd := exec.CommandContext(ctx, t.FFmpeg, "-nostdin", "-encoders")
	cmd.Stdout, cmd.Stderr = &list, &banner
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s does not run: %w", ErrTools, t.FFmpeg, err)
	}
	first, _, _ := strings.Cut(banner.String(), "\n")
	version, _, _ = strings.Cut(strings.TrimPrefix(first, "ffmpeg version "), " ")
	for _, name := range encoders {
		if !bytes.Contains(list.Bytes(), []byte(" "+name+" ")) {
			return version, fmt.Errorf("%w: %s %s lacks the encoder %s; install Debian's (apt-get install ffmpeg) or set transcoder.ffmpeg", ErrTools, t.FFmpeg, version, name)
		}
	}
	return version, nil
}

// tools finds ffmpeg at start, and looks at what it can do while the node is
// already getting ready.
type tools struct {
	fault    atomic.Pointer[error]
	version  atomic.Pointer[string]
	encoder  string        // see media.Tools.Identify
	identify chan struct{} // closed when encoder is known, or cannot be
}

// known is the node's encoder, "" as long as it is not known.
func (t *tools) known() string {
	select {
	case <-t.identify:
		return t.encoder
	default:
		return ""
	}
}

// identity waits until the node's encoder is known; "" if it cannot be.
func (t *tools) identity(ctx context.Context) string {
	select {
	case <-t.identify:
		return t.encoder
	case <-ctx.Done():
		return ""
	}
}

// found is the version, "" as long as it is not known, and what is wrong.
func (t *tools) found() (version string, err error) {
	if fault := t.fault.Load(); fault != nil {
		err = *fault
	}
	if v := t.version.Load(); v != nil {
		version = *v
	}
	return version, err
}

func (t *tools) Name() string { return "ffmpeg" }

func (t *tools) Start(_ context.Context, k *Kernel) error {
	found, err := FindTools(k.Config.Transcoder.FFmpeg)
	if err != nil {
		return err
	}
	found.MaxMemory = int64(k.Config.Transcoder.MaxMemory)
	found.Confine = k.Config.Transcoder.Confine
	k.Tools = found
	k.Check(t.Name(), func(context.Context) error {
		_, err := t.found()
		return err
	})
	k.ffmpeg, k.encoder, k.knownEncoder = t.found, t.identity, t.known
	t.identify = make(chan struct{})
	k.Go(t.Name(), func(ctx context.Context) error {
		defer close(t.identify)
		version, err := ProbeTools(ctx, found)
		t.version.Store(&version)
		if err == nil {
			t.encoder, err = found.Identify(ctx)
		}
		if err != nil && ctx.Err() == nil {
			t.fault.Store(&err)
			k.Log.Error("ffmpeg", "err", err)
			return nil // what is made already can still be watched
		}
		k.Log.Debug("ffmpeg", "path", found.FFmpeg, "version", version, "encoder", t.encoder)
		return nil
	})
	return nil
}

func (t *tools) Stop(context.Context) error { return nil }
