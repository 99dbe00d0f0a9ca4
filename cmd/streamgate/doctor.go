package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
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
	What  string `json:"what"`
	State string `json:"state"`          // what was found
	Mend  string `json:"mend,omitempty"` // the command that mends it; "" means all is well
}

// doctorCommand looks at everything a node needs of its machine.
func doctorCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "say what is wrong on this machine and how to mend it",
		Example: "streamgate doctor --config streamgate.yaml", Args: operands,
	}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := p.config()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		findings := []finding{checkFFmpeg(ctx, cfg), checkConfinement(cfg)}
		findings = append(findings, checkDataDir(cfg.DataDir)...)
		findings = append(findings, checkPorts(ctx, cfg)...)
		findings = append(findings, checkFiles())
		for _, f := range node.CheckServers(ctx, cfg) {
			findings = append(findings, finding(f))
		}
		chains, err := checkChains(ctx, cfg)
		if err != nil {
			return err
		}
		findings = append(findings, chains...)
		if *asJSON {
			err = printValue(p.stdout, map[string][]finding{"findings": findings})
		} else {
			tellFindings(p.stdout, findings)
		}
		faulty := 0
		for _, found := range findings {
			if found.Mend != "" {
				faulty++
			}
		}
		if err == nil && faulty > 0 {
			err = fmt.Errorf("%d of %d checks found something wrong", faulty, len(findings))
		}
		return err
	}
	return cmd
}

func tellFindings(w io.Writer, findings []finding) {
	for _, found := range findings {
		mark := "ok  "
		if found.Mend != "" {
			mark = "BAD "
		}
		fmt.Fprintf(w, "%s %-16s %s\n", mark, found.What, found.State)
		if found.Mend != "" {
			fmt.Fprintf(w, "     %-16s mend it: %s\n", "", found.Mend)
		}
	}
}

func checkFFmpeg(ctx context.Context, cfg *node.Config) finding {
	found := finding{What: "ffmpeg"}
	tools, err := node.FindTools(cfg.Transcoder.FFmpeg)
	version := ""
	if err == nil {
		version, err = node.ProbeTools(ctx, tools)
	}
	if err != nil {
		found.State, found.Mend = err.Error(), "sudo apt-get install ffmpeg"
		return found
	}
	found.State = fmt.Sprintf("%s, version %s, with libx264 and aac", tools.FFmpeg, version)
	return found
}

// checkConfinement says what ffmpeg is shut off from.
func checkConfinement(cfg *node.Config) finding {
	found := finding{What: "confinement"}
	if !cfg.Transcoder.Confine {
		found.State, found.Mend = "ffmpeg may read every file and reach every address", "set transcoder.confine to true"
		return found
	}
	force := confine.Check()
	found.State = force.Sentence()
	return found
}

// checkChains tries the endpoints of chains. What works, if not as well as it
// might, is no fault.
func checkChains(ctx context.Context, cfg *node.Config) ([]finding, error) {
	list, err := node.CheckChains(ctx, cfg)
	findings := make([]finding, 0, len(list))
	for _, f := range list {
		found := finding{What: f.What, State: f.Chain + ", " + f.Endpoint + ": " + f.State, Mend: f.Mend}
		if f.Works && f.Mend != "" {
			found.State, found.Mend = found.State+" "+f.Mend, ""
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
	writable := finding{What: "data directory", State: dir + " is writable"}
	if unix.Access(there, unix.W_OK|unix.X_OK) != nil {
		writable.State = dir + " cannot be written by this user"
		writable.Mend = "sudo install -d -o $USER " + dir
	} else if there != dir {
		writable.State = dir + " will be made at the first start"
	}
	disk := finding{What: "disk"}
	var fs unix.Statfs_t
	if err := unix.Statfs(there, &fs); err != nil {
		disk.State, disk.Mend = err.Error(), "choose another data directory with --data DIR"
		return []finding{writable, disk}
	}
	free := int64(fs.Bavail) * fs.Bsize
	disk.State = node.Bytes(free).Short() + " free"
	if free < lowDisk {
		disk.Mend = "free some space, or put the data directory on a larger disk with --data DIR"
	}
	return []finding{writable, disk}
}

// checkPorts asks the node that runs on the data directory where it listens.
// What it does not hold, or all if none runs, must be free.
func checkPorts(ctx context.Context, cfg *node.Config) []finding {
	held := listeners(ctx, cfg.DataDir)
	port := func(p int) string { return net.JoinHostPort(cfg.APIGateway.Host, strconv.Itoa(p)) }
	var findings []finding
	for _, p := range []struct{ key, server, addr string }{
		{"api_gateway.port", "public", port(cfg.APIGateway.Port)},
		{"api_gateway.grpc_port", "grpc", port(cfg.APIGateway.GRPCPort)},
		{"transcoder.grpc_port", "transcoder grpc", port(cfg.Transcoder.GRPCPort)},
		{"monitor.listen", "operator", cfg.Monitor.Listen},
	} {
		if addr := held[p.server]; addr != "" {
			findings = append(findings, finding{What: "port " + portOf(addr), State: fmt.Sprintf("the running node listens on %s (%s)", addr, p.key)})
			continue
		}
		found := finding{What: "port " + portOf(p.addr), State: p.addr + " is free"}
		if ln, err := net.Listen("tcp", p.addr); err == nil {
			_ = ln.Close()
		} else {
			found.State = p.addr + ": " + plain(err)
			found.Mend = fmt.Sprintf("see who holds it (ss -ltnp 'sport = :%s'), or set %s to another", portOf(p.addr), p.key)
		}
		findings = append(findings, found)
	}
	return findings
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// listeners asks the node that runs on a data directory for its addresses, by
// the names of its servers; none runs, or it is another's, if there are none.
func listeners(ctx context.Context, dataDir string) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, socketURL+node.ReadyPath, nil)
	if err != nil {
		return nil
	}
	resp, err := newClient(dataDir).http.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var ready node.Readiness
	if json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&ready) != nil {
		return nil
	}
	return ready.Listeners
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
	found := finding{What: "open files"}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		found.State = err.Error()
		return found
	}
	// The Go runtime raises the soft limit to the hard one.
	found.State = fmt.Sprintf("at most %d", limit.Max)
	if limit.Max < lowFiles {
		found.Mend = "ulimit -Hn 65536 as root, or LimitNOFILE=65536 in the service"
	}
	return found
}
