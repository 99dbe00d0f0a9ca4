package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// resumeFile remembers, from one run of push to the next, which video a file
// was being pushed into. Its name stands for path, size, time of change and
// node, so that a changed file begins anew. Its content is the video's id.
type resumeFile string

// newResumeFile names the file in the XDG state directory.
func newResumeFile(e *env, name string, info os.FileInfo, dataDir string) resumeFile {
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	return resumeFile(stateFile(e, "push", fmt.Sprintf("%q %d %d %q", name, info.Size(), info.ModTime().UnixNano(), dataDir)))
}

// stateFile is the file of a key among those of its kind in the XDG state
// directory; "" if nobody says where that is.
func stateFile(e *env, kind, key string) string {
	dir := lookup(e.vars, "XDG_STATE_HOME")
	if home := lookup(e.vars, "HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".local", "state")
	}
	if dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(dir, "streamgate", kind, hex.EncodeToString(sum[:16]))
}

// videoID returns what was remembered, or "".
func (r resumeFile) videoID() string {
	if r == "" {
		return ""
	}
	data, err := os.ReadFile(string(r))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (r resumeFile) remember(videoID string) error {
	if r == "" {
		return errors.New("neither XDG_STATE_HOME nor HOME is set")
	}
	if err := os.MkdirAll(filepath.Dir(string(r)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(string(r), []byte(videoID+"\n"), 0o600)
}

// forget ends the story; a file that stays only costs a question next time.
func (r resumeFile) forget() {
	if r != "" {
		_ = os.Remove(string(r))
	}
}

func lookup(vars []string, name string) string {
	for _, v := range vars {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
