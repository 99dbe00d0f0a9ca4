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
	"text/template"
	"time"
)

//go:embed nginx.conf.tmpl
var nginxConf string

// nginx is a running nginx and the upstream that it asks.
type nginx struct {
	auth *authUpstream
	cmd  *exec.Cmd
	dir  string
	url  string // with the token, ends with a slash
	pids []int  // master, workers and upstream
}

// nginxSettings fill the configuration.
type nginxSettings struct {
	Dir, Auth, Listen string
	Workers           int
	Root              bool
}

func (s nginxSettings) conf() ([]byte, error) {
	var b bytes.Buffer
	t, err := template.New("nginx.conf").Parse(nginxConf)
	if err == nil {
		err = t.Execute(&b, s)
	}
	return b.Bytes(), err
}

// startNginx serves files, by name, behind the check.
func (b *bench) startNginx(ctx context.Context, files map[string][]byte) (_ *nginx, err error) {
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
	conf, err := nginxSettings{
		Dir: dir, Auth: x.auth.addr, Listen: addrs[0], Workers: min(2, runtime.NumCPU()), Root: os.Geteuid() == 0,
	}.conf()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, conf, 0o644); err != nil {
		return nil, err
	}
	program, err := findTool("nginx")
	if err != nil {
		return nil, err
	}
	cmd := command(ctx, program, "-p", dir, "-c", path, "-e", filepath.Join(dir, "error.log"))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	x.cmd = cmd
	x.url = "http://" + addrs[0] + "/s/" + x.auth.token + "/"
	if err := x.check(ctx, "http://"+addrs[0], files); err != nil {
		return nil, err
	}
	x.pids = append(withChildren(cmd.Process.Pid), x.auth.cmd.Process.Pid)
	return x, nil
}

// check waits until nginx answers, and sees that it gives each file to who
// has the ticket, and to nobody else.
func (x *nginx) check(ctx context.Context, base string, files map[string][]byte) error {
	for name, data := range files {
		status, body, err := getSoon(ctx, x.url+name)
		if err != nil {
			return fmt.Errorf("nginx does not answer: %w\n%s", err, x.said())
		}
		if status != http.StatusOK || !bytes.Equal(body, data) {
			return fmt.Errorf("nginx does not serve %s: status %d, %d bytes\n%s", name, status, len(body), x.said())
		}
		status, _, err = get(ctx, base+"/s/forged/"+name)
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
	x.auth.stop()
	os.RemoveAll(x.dir)
}
