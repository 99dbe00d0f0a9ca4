package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"
)

//go:embed nginx.conf.tmpl
var nginxConf string

//go:embed nginx-front.conf.tmpl
var nginxFrontConf string

// nginx is a running nginx and the upstream that it asks.
type nginx struct {
	auth *authUpstream
	cmd  *exec.Cmd
	dir  string
	base string // of its addresses
	url  string // with the token, ends with a slash
	pids []int  // master, workers and upstream
}

// nginxSettings fill the configuration.
type nginxSettings struct {
	Dir, Auth, Listen string
	Workers           int
	Root              bool
	// Back is the nginx behind one that only hands on.
	Back string
	// Mutual is for mutual TLS between the two, if it is not nil.
	Mutual *mutualTLS
}

// mutualTLS is the address of the one behind, and the files of both sides: each has
// its key and its certificate in one.
type mutualTLS struct{ Listen, Front, Back, Roots, Name string }

func (s nginxSettings) conf(text string) ([]byte, error) {
	var b bytes.Buffer
	t, err := template.New("nginx.conf").Parse(text)
	if err == nil {
		err = t.Execute(&b, s)
	}
	return b.Bytes(), err
}

// startNginx serves files, by name, behind the check; over mutual TLS too, if that is
// not nil.
func (b *bench) startNginx(ctx context.Context, files map[string][]byte, mutual *mutualTLS) (_ *nginx, err error) {
	dir, err := os.MkdirTemp(b.dir, "nginx-")
	if err != nil {
		return nil, err
	}
	for name, data := range files {
		path := filepath.Join(dir, "files", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return nil, err
		}
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	x := &nginx{dir: dir}
	if x.auth, err = startAuth(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			x.stop()
		}
	}()
	if err := x.run(ctx, nginxConf, nginxSettings{Auth: x.auth.addr, Listen: addrs[0], Mutual: mutual}); err != nil {
		return nil, err
	}
	x.url = x.base + "/s/" + x.auth.token + "/"
	if err := x.check(ctx, files); err != nil {
		return nil, err
	}
	x.pids = append(withChildren(x.cmd.Process.Pid), x.auth.cmd.Process.Pid)
	return x, nil
}

// before starts an nginx that hands requests on to this one; its processes are those of
// both.
func (x *nginx) before(ctx context.Context, b *bench, files map[string][]byte, mutual *mutualTLS) (_ *nginx, err error) {
	dir, err := os.MkdirTemp(b.dir, "nginx-front-")
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	front := &nginx{dir: dir}
	defer func() {
		if err != nil {
			front.stop()
		}
	}()
	settings := nginxSettings{Listen: addrs[0], Back: strings.TrimPrefix(x.base, "http://"), Mutual: mutual}
	if err := front.run(ctx, nginxFrontConf, settings); err != nil {
		return nil, err
	}
	front.url = front.base + "/s/" + x.auth.token + "/"
	if err := front.check(ctx, files); err != nil {
		return nil, err
	}
	front.pids = append(withChildren(front.cmd.Process.Pid), x.pids...)
	return front, nil
}

// run starts the program.
func (x *nginx) run(ctx context.Context, text string, s nginxSettings) error {
	s.Dir, s.Workers, s.Root = x.dir, min(2, runtime.NumCPU()), os.Geteuid() == 0
	conf, err := s.conf(text)
	if err != nil {
		return err
	}
	path := filepath.Join(x.dir, "nginx.conf")
	if err := os.WriteFile(path, conf, 0o644); err != nil {
		return err
	}
	program, err := findTool("nginx")
	if err != nil {
		return err
	}
	cmd := command(ctx, program, "-p", x.dir, "-c", path, "-e", filepath.Join(x.dir, "error.log"))
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nginx: %w", err)
	}
	x.cmd, x.base = cmd, "http://"+s.Listen
	return nil
}

// check waits until nginx answers, and sees that it gives each file to who
// has the ticket, and to nobody else.
func (x *nginx) check(ctx context.Context, files map[string][]byte) error {
	for name, data := range files {
		status, body, err := getSoon(ctx, x.url+name)
		if err != nil {
			return fmt.Errorf("nginx does not answer: %w\n%s", err, x.said())
		}
		if status != http.StatusOK || !bytes.Equal(body, data) {
			return fmt.Errorf("nginx does not serve %s: status %d, %d bytes\n%s", name, status, len(body), x.said())
		}
		status, _, err = get(ctx, x.base+"/s/forged/"+name)
		if err != nil {
			return err
		}
		if status != http.StatusForbidden {
			return fmt.Errorf("nginx answers a forged ticket with %d: its check does not work", status)
		}
	}
	return nil
}

// said is what nginx complained about.
func (x *nginx) said() []byte {
	said, _ := os.ReadFile(filepath.Join(x.dir, "error.log"))
	return said
}

// getSoon is get from a server that is about to listen.
func getSoon(ctx context.Context, url string) (status int, body []byte, err error) {
	for range 100 {
		if status, body, err = get(ctx, url); err == nil {
			return status, body, nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, nil, err
		}
	}
	return status, body, err
}

func (x *nginx) stop() {
	if x.cmd != nil {
		_ = x.cmd.Cancel() // the whole group, workers too
		_ = x.cmd.Wait()
	}
	if x.auth != nil {
		x.auth.stop()
	}
	os.RemoveAll(x.dir)
}
