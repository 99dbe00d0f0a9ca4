package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"streamgate/app/rpc"
)

// maxSocketPath is the longest path of a Unix socket used, bytes: the kernel's
// limit is 107.
const maxSocketPath = 100

// runDir is the folder of the data directory that only lasts as long as the
// node runs.
const runDir = "run"

// AdminSocket returns the path of the admin socket of the node that runs on a
// data directory, whether or not it runs now.
func AdminSocket(dataDir string) string {
	if data, err := os.ReadFile(filepath.Join(dataDir, runDir, "admin.path")); err == nil {
		return strings.TrimSpace(string(data))
	}
	return filepath.Join(dataDir, runDir, "admin.sock")
}

// adminServer is the name of the server on the admin socket.
const adminServer = "admin"

// admin serves the Kernel's Mux on a Unix socket in the data directory, where
// the caller is admin: who may open the socket owns the node. The folder is
// 0700 and the socket 0600.
type admin struct{}

func (admin) Name() string { return "admin" }

func (admin) Start(ctx context.Context, k *Kernel) error {
	ln, err := listenAdmin(k.DataDir, os.Getenv("XDG_RUNTIME_DIR"))
	if err != nil {
		return fmt.Errorf("open the admin socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ReadyPath, func(w http.ResponseWriter, r *http.Request) {
		ready := k.readiness(r.Context())
		ready.Listeners, ready.Boot = k.state.listeners(), k.BootID // whoever has the socket may know them
		writeReadiness(w, ready)
	})
	mux.HandleFunc("POST "+SetupLinkPath, k.serveSetupLink)
	mux.HandleFunc("GET "+AuditVerifyPath, k.serveAuditVerify)
	mux.HandleFunc("POST "+MigratePath, k.serveMigrate)
	mux.Handle("/", asAdmin(k.Mux, k.PublicURL))
	return k.Serve(ctx, Server{Name: adminServer, Listener: ln, Handler: mux})
}

func (admin) Stop(context.Context) error { return nil }

// asAdmin makes every caller admin, and links point to the public address.
func asAdmin(next http.Handler, base func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := rpc.WithIdentity(r.Context(), rpc.Identity{Scope: rpc.ScopeAdmin})
		next.ServeHTTP(w, r.WithContext(rpc.WithBaseURL(ctx, base())))
	})
}

// listenAdmin binds the socket. The caller holds the data directory's lock, so
// that a socket that is already there is a dead node's.
func listenAdmin(dataDir, runtimeDir string) (net.Listener, error) {
	run := filepath.Join(dataDir, runDir)
	if err := privateDir(run); err != nil {
		return nil, err
	}
	note := filepath.Join(run, "admin.path")
	if err := os.Remove(note); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path := filepath.Join(run, "admin.sock")
	if len(path) > maxSocketPath {
		short := shortRunDir(dataDir, runtimeDir)
		if err := privateDir(short); err != nil {
			return nil, err
		}
		path = filepath.Join(short, "admin.sock")
		if err := os.WriteFile(note, []byte(path+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// shortRunDir is a folder with a short name for a data directory with a long one.
func shortRunDir(dataDir, runtimeDir string) string {
	if runtimeDir == "" || len(runtimeDir) > maxSocketPath/2 {
		runtimeDir = os.TempDir()
	}
	sum := sha256.Sum256([]byte(dataDir))
	return filepath.Join(runtimeDir, "streamgate-"+hex.EncodeToString(sum[:6]))
}

// privateDir makes a folder that only this user can enter. One that is there
// already must be his own and no link: in a shared folder it could be a trap.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a folder of this user; remove it", dir)
	}
	return os.Chmod(dir, 0o700)
}
