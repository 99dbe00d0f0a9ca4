package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"streamgate/app/media/confine"
	"streamgate/node"
)

const (
	// lowDisk is the free space below which doctor warns, bytes: a film's
	// renditions take about as much as its source.
	lowDisk = 10 << 30
	// lowFiles is the number of open files a busy node needs.
	lowFiles = 4096
)

// finding is one line of the doctor.
type finding struct {
	what  string
	state string // what was found
	mend  string // the command that mends it; "" means all is well
}

// doctor looks at everything a node needs of its machine.
func doctor(ctx context.Context, e *env, f *flags) error {
	cfg, err := f.load(e)
	if err != nil {
		return err
	}
	findings := []finding{checkFFmpeg(ctx, cfg), checkConfinement(cfg)}
	findings = append(findings, checkDataDir(cfg.DataDir)...)
	findings = append(findings, checkPorts(ctx, cfg)...)
	findings = append(findings, checkFiles())
	chains, err := checkChains(ctx, cfg)
	if err != nil {
		return err
	}
	findings = append(findings, chains...)
	faulty := 0
	for _, found := range findings {
		mark := "ok  "
		if found.mend != "" {
			mark, faulty = "BAD ", faulty+1
		}
		fmt.Fprintf(e.stdout, "%s %-16s %s\n", mark, found.what, found.state)
		if found.mend != "" {
			fmt.Fprintf(e.stdout, "     %-16s mend it: %s\n", "", found.mend)
		}
	}
	if faulty > 0 {
		return fmt.Errorf("%d of %d checks found something wrong", faulty, len(findings))
	}
	return nil
}

func checkFFmpeg(ctx context.Context, cfg *node.Config) finding {
	found := finding{what: "ffmpeg"}
	tools, err := node.FindTools(cfg.Transcoder.FFmpeg)
	version := ""
	if err == nil {
		version, err = node.ProbeTools(ctx, tools)
	}
	if err != nil {
		found.state, found.mend = err.Error(), "sudo apt-get install ffmpeg"
		return found
	}
	found.state = fmt.Sprintf("%s, version %s, with libx264 and aac", tools.FFmpeg, version)
	return found
}

// checkConfinement says what ffmpeg is shut off from.
func checkConfinement(cfg *node.Config) finding {
	found := finding{what: "confinement"}
	if !cfg.Transcoder.Confine {
		found.state, found.mend = "ffmpeg may read every file and reach every address", "set transcoder.confine to true"
		return found
	}
	force := confine.Check()
	found.state = force.Sentence()
	return found
}

// checkChains tries the endpoints of chains. What works, if not as well as it
// might, is no fault.
func checkChains(ctx context.Context, cfg *node.Config) ([]finding, error) {
	list, err := node.CheckChains(ctx, cfg)
	findings := make([]finding, 0, len(list))
	for _, f := range list {
		found := finding{what: f.What, state: f.Chain + ", " + f.Endpoint + ": " + f.State, mend: f.Mend}
		if f.Works && f.Mend != "" {
			found.state, found.mend = found.state+" "+f.Mend, ""
		}
		findings = append(findings, found)
	}
	return findings, err
}

// checkDataDir looks at the directory, or at the nearest one above that is
// there, in which it would be made.
func checkDataDir(dir string) []finding {
	there := dir
	for {
		if _, err := os.Stat(there); err == nil || there == filepath.Dir(there) {
			break
		}
		there = filepath.Dir(there)
	}
	writable := finding{what: "data directory", state: dir + " is writable"}
	if unix.Access(there, unix.W_OK|unix.X_OK) != nil {
		writable.state = dir + " cannot be written by this user"
		writable.mend = "sudo install -d -o $USER " + dir
	} else if there != dir {
		writable.state = dir + " will be made at the first start"
	}
	disk := finding{what: "disk"}
	var fs unix.Statfs_t
	if err := unix.Statfs(there, &fs); err != nil {
		disk.state, disk.mend = err.Error(), "choose another data directory with --data DIR"
		return []finding{writable, disk}
	}
	free := int64(fs.Bavail) * fs.Bsize
	disk.state = node.Bytes(free).Short() + " free"
	if free < lowDisk {
		disk.mend = "free some space, or put the data directory on a larger disk with --data DIR"
	}
	return []finding{writable, disk}
}

// checkPorts finds whether each port can be had, or is held by the node that
// runs on this configuration.
func checkPorts(ctx context.Context, cfg *node.Config) []finding {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	_, err := readiness(ctx, cfg.Monitor.Listen)
	running := err == nil && nodeRuns(cfg.DataDir)
	port := func(p int) string { return net.JoinHostPort(cfg.APIGateway.Host, strconv.Itoa(p)) }
	var findings []finding
	for _, p := range []struct{ key, addr string }{
		{"api_gateway.port", port(cfg.APIGateway.Port)},
		{"api_gateway.grpc_port", port(cfg.APIGateway.GRPCPort)},
		{"transcoder.grpc_port", port(cfg.Transcoder.GRPCPort)},
		{"monitor.listen", cfg.Monitor.Listen},
	} {
		found := finding{what: "port " + p.addr[strings.LastIndexByte(p.addr, ':')+1:], state: p.addr + " is free"}
		ln, err := net.Listen("tcp", p.addr)
		switch {
		case err == nil:
			_ = ln.Close()
		case running && errors.Is(err, unix.EADDRINUSE):
			found.state = p.addr + " is held by the running node"
		default:
			found.state = p.addr + ": " + plain(err)
			found.mend = fmt.Sprintf("see who holds it (ss -ltnp 'sport = :%s'), or set %s to another", found.what[len("port "):], p.key)
		}
		findings = append(findings, found)
	}
	return findings
}

// nodeRuns tells whether a node answers on the data directory's socket.
func nodeRuns(dataDir string) bool {
	conn, err := net.DialTimeout("unix", node.AdminSocket(dataDir), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// plain is the cause of a network error without its operation and address.
func plain(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return err.Error()
}

func checkFiles() finding {
	var limit unix.Rlimit
	found := finding{what: "open files"}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		found.state = err.Error()
		return found
	}
	// The Go runtime raises the soft limit to the hard one.
	found.state = fmt.Sprintf("at most %d", limit.Max)
	if limit.Max < lowFiles {
		found.mend = "ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the service"
	}
	return found
}
