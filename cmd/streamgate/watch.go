package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookEvery is how often a watched folder is read.
	lookEvery = 2 * time.Second
	// quietFor is how long a file must stay as it is to be taken.
	quietFor = 5 * time.Second
	// againAfter is when a file is tried again that the node did not take for a
	// reason that may pass.
	againAfter = time.Minute
	// maxTaken bounds the list of what was taken, bytes.
	maxTaken = 64 << 20
)

// look is a file as it was last seen.
type look struct {
	Size    int64 `json:"size"`
	ModTime int64 `json:"mod_time"` // ns
}

// watcher takes each video that comes into a folder once.
type watcher struct {
	folder    string
	recursive bool
	quiet     time.Duration
	taken     *takenFile
	skip      func(name, why string) // told once of each file

	seen    map[string]seenFile
	skipped map[string]bool
}

// seenFile is a file that waits to be taken.
type seenFile struct {
	look
	since time.Time // since when it has been so, or when it may be tried again
}

// due returns the files that stopped growing and were not taken.
func (w *watcher) due(now time.Time) ([]string, error) {
	skipped := map[string]bool{}
	names, err := videosIn(w.folder, w.recursive, func(name, why string) {
		if skipped[name] = true; !w.skipped[name] {
			w.skip(name, why)
		}
	})
	if err != nil {
		return nil, err
	}
	w.skipped = skipped
	seen := make(map[string]seenFile, len(names))
	var due []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil { // it went
			continue
		}
		is := look{info.Size(), info.ModTime().UnixNano()}
		was, known := w.seen[name]
		if !known || was.look != is {
			was = seenFile{is, now}
		}
		seen[name] = was
		if now.Sub(was.since) >= w.quiet && known && w.taken.files[name] != is {
			due = append(due, name)
		}
	}
	w.seen = seen
	return due, w.taken.keep(seen)
}

// watch pushes what comes into the folder until it is interrupted.
func (p *pusher) watch(ctx context.Context, c *cli, f pushFlags) error {
	folder, err := filepath.Abs(f.watch)
	if err != nil {
		return err
	}
	if info, err := os.Stat(folder); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("--watch %s is not a folder", f.watch)
	}
	taken, err := openTaken(stateFile(c.env, "watch", fmt.Sprintf("%q %q", folder, p.dataDir)), folder)
	if err != nil {
		return err
	}
	defer taken.close()
	w := &watcher{folder: folder, recursive: f.recursive, quiet: quietFor, taken: taken,
		skip: func(name, why string) { p.show.note("Skipped %s: %s.", name, why) }}
	p.show.note("Watching %s.", folder)
	return w.run(ctx, lookEvery, func(name string) error {
		video, err := p.file(ctx, c.env, name, "")
		switch {
		case err != nil:
			p.show.note("%s: %s", name, err)
			return err
		case *f.asJSON:
			return printLine(c.stdout, video)
		}
		tellPushed(c.stdout, name, video, false)
		return nil
	})
}

// run takes what is due until the context ends, which is how it ends well. What
// was pushed, or is no video, is taken; what fails otherwise is tried again.
func (w *watcher) run(ctx context.Context, every time.Duration, take func(name string) error) error {
	for {
		due, err := w.due(time.Now())
		if err != nil {
			return err
		}
		for _, name := range due {
			err := take(name)
			if ctx.Err() != nil {
				return nil
			}
			file := w.seen[name]
			if err != nil && !errors.Is(err, errVideoFailed) {
				file.since = time.Now().Add(againAfter)
				w.seen[name] = file
				continue
			}
			if err := w.taken.add(name, file.look); err != nil {
				return err
			}
		}
		if pause(ctx, every) != nil {
			return nil
		}
	}
}

// takenFile remembers from one run to the next what was taken from a folder,
// and keeps a second run off it.
type takenFile struct {
	path  string
	lock  *os.File
	files map[string]look
}

func openTaken(path, folder string) (*takenFile, error) {
	if path == "" {
		return nil, errors.New("--watch has no place to remember what it took: set XDG_STATE_HOME or HOME")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another streamgate push --watch has %s already", folder)
	}
	t := &takenFile{path: path, lock: lock, files: map[string]look{}}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil
	case err == nil && info.Size() > maxTaken:
		err = fmt.Errorf("%s is larger than %d bytes; remove it, and every file is taken again", path, maxTaken)
	case err == nil:
		var data []byte
		if data, err = os.ReadFile(path); err == nil && json.Unmarshal(data, &t.files) != nil {
			err = fmt.Errorf("%s is damaged; remove it, and every file is taken again", path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return t, nil
}

func (t *takenFile) close() { t.lock.Close() }

func (t *takenFile) add(name string, as look) error {
	t.files[name] = as
	return t.write()
}

// keep forgets the files that are gone.
func (t *takenFile) keep(there map[string]seenFile) error {
	gone := 0
	for name := range t.files {
		if _, ok := there[name]; !ok {
			delete(t.files, name)
			gone++
		}
	}
	if gone == 0 {
		return nil
	}
	return t.write()
}

// write replaces the file in one step.
func (t *takenFile) write() error {
	data, err := json.Marshal(t.files)
	if err != nil {
		return fmt.Errorf("remember what was taken: %w", err)
	}
	if err := os.WriteFile(t.path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(t.path+".new", t.path)
}
