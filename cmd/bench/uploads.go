package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	"golang.org/x/sync/errgroup"
)

// uploadRounds are how many files are sent at once, and their size.
var uploadRounds = []struct {
	files int
	size  int64
}{{1, 500_000_000}, {8, 60_000_000}}

// benchUploads compares tus uploads, one PATCH a file, with tusd: as it comes,
// which neither syncs nor hashes, and with a sync of each file before the
// answer. What the node acknowledges is synced and hashed.
func benchUploads(ctx context.Context, b *bench) ([]result, error) {
	var all []result
	for _, round := range uploadRounds {
		if b.quick {
			round.size /= 10
		}
		results, err := b.uploads(ctx, round.files, round.size)
		if err != nil {
			return nil, err
		}
		all = append(all, results...)
	}
	return all, nil
}

func (b *bench) uploads(ctx context.Context, files int, size int64) ([]result, error) {
	file, err := b.noise(size)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	n, err := b.startNode(ctx, unlimitedYAML)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	admin, err := n.admin(ctx)
	if err != nil {
		return nil, err
	}
	// What becomes of the files is not this row's business.
	if err := n.call(ctx, http.MethodPost, "/api/v1/queue:pause", struct{}{}, nil); err != nil {
		return nil, err
	}
	sides := []*uploadSide{{name: "node", url: n.url + "/api/v1/uploads", bearer: admin.bearer, pid: n.pid()}}
	for _, name := range []string{tusdCommand, syncedTusdCommand} {
		h, url, err := startHelper(ctx, name)
		if err != nil {
			return nil, err
		}
		defer h.stop()
		sides = append(sides, &uploadSide{name: name, url: url, pid: h.cmd.Process.Pid})
	}
	for range b.runs(5, 1) {
		for _, s := range sides {
			if err := s.send(ctx, file, size, files); err != nil {
				return nil, fmt.Errorf("upload to %s: %w", s.name, err)
			}
		}
		b.logf("   %d × %d MB: node %.0f, tusd %.0f, with a sync %.0f MB/s", files, size/1e6, last(sides[0].rate), last(sides[1].rate), last(sides[2].rate))
	}
	what := fmt.Sprintf("upload of %d MB", size/1e6)
	if files > 1 {
		what = fmt.Sprintf("%d uploads at once of %d MB", files, size/1e6)
	}
	rate := func(peer int, name string) comparison {
		return comparison{what: what, unit: "MB/s", peer: name, ours: sides[0].rate, them: sides[peer].rate}
	}
	cpu := comparison{what: what + ", CPU", unit: "CPU ms/MB", peer: "tusd", ours: sides[0].cpu, them: sides[1].cpu}
	return []result{rate(2, "tusd with a sync").atLeast(1), rate(1, "tusd").atLeast(0.8), cpu.atMost(1.2)}, nil
}

// noise writes a file of random bytes.
func (b *bench) noise(size int64) (string, error) {
	f, err := os.Create(filepath.Join(b.dir, "noise"))
	if err != nil {
		return "", err
	}
	source := rand.NewChaCha8([32]byte{1})
	_, err = io.CopyN(f, source, size)
	return f.Name(), errors.Join(err, f.Close())
}

// uploadSide is a server that takes uploads.
type uploadSide struct {
	name, url, bearer string
	pid               int
	rate              series // MB/s
	cpu               series // ms per MB
}

// send uploads the file several times at once and notes how fast that was.
func (s *uploadSide) send(ctx context.Context, file string, size int64, times int) error {
	before, err := cpuSeconds(s.pid)
	if err != nil {
		return err
	}
	began := time.Now()
	group, sending := errgroup.WithContext(ctx)
	for range times {
		group.Go(func() error { return s.sendOne(sending, file, size) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	after, err := cpuSeconds(s.pid)
	if err != nil {
		return err
	}
	megabytes := float64(size) * float64(times) / 1e6
	s.rate = append(s.rate, megabytes/took)
	s.cpu = append(s.cpu, (after-before)*1000/megabytes)
	return nil
}

func (s *uploadSide) sendOne(ctx context.Context, file string, size int64) error {
	location, err := s.request(ctx, http.MethodPost, s.url, nil, map[string]string{"Upload-Length": strconv.FormatInt(size, 10), "Upload-Metadata": "filename YS5tcDQ="})
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.request(ctx, http.MethodPatch, location, io.LimitReader(f, size), map[string]string{"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"})
	return err
}

// request returns the address that the answer's Location names, or "".
func (s *uploadSide) request(ctx context.Context, method, address string, body io.Reader, headers map[string]string) (location string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return "", err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	if s.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+s.bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, said)
	}
	at, err := resp.Location()
	switch {
	case errors.Is(err, http.ErrNoLocation):
		return "", nil
	case err != nil:
		return "", err
	}
	return at.String(), nil
}

// The names of the helpers that are tusd.
const (
	tusdCommand       = "tusd"
	syncedTusdCommand = "synced-tusd"
)

// serveTusd runs tusd on its file store in a directory of its own.
func serveTusd(sync bool) func(io.Reader, io.Writer) error {
	return func(stdin io.Reader, stdout io.Writer) error {
		dir, err := os.MkdirTemp("", "bench-tusd-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		composer := handler.NewStoreComposer()
		filestore.New(dir).UseIn(composer)
		memorylocker.New().UseIn(composer)
		config := handler.Config{BasePath: "/files/", StoreComposer: composer}
		// Each file goes again once it is acknowledged, as the node's does.
		config.PreFinishResponseCallback = func(e handler.HookEvent) (handler.HTTPResponse, error) {
			path := filepath.Join(dir, e.Upload.ID)
			defer os.Remove(path)
			if !sync {
				return handler.HTTPResponse{}, nil
			}
			f, err := os.Open(path)
			if err != nil {
				return handler.HTTPResponse{}, err
			}
			return handler.HTTPResponse{}, errors.Join(f.Sync(), f.Close())
		}
		h, err := handler.NewHandler(config)
		if err != nil {
			return err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		server := &http.Server{Handler: http.StripPrefix("/files/", h), ReadHeaderTimeout: time.Minute}
		go server.Serve(ln) //nolint:errcheck // it ends with the process
		if _, err := fmt.Fprintf(stdout, "http://%s/files/\n", ln.Addr()); err != nil {
			return err
		}
		_, err = bufio.NewReader(stdin).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	}
}
