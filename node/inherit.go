package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inherited is a listening socket that outlives the program, so that no connection is
// refused while another one takes its place.
type inherited struct {
	name string // of its server
	file *os.File
}

// inheritEnv has the sockets of a program that has made itself this one, as
// NAME=NUMBER with commas between.
const inheritEnv = "STREAMGATE_LISTENERS"

// inheritance are the sockets of all servers of the node.
func (k *Kernel) inheritance() (out []inherited) {
	k.state.mu.Lock()
	defer k.state.mu.Unlock()
	for name, ln := range k.state.lns {
		if file, err := ln.File(); err == nil { // else the address is bound anew
			out = append(out, inherited{name, file})
		}
	}
	return out
}

// Exec makes this process one that goes on as s says. It returns only if that fails.
func (s *Switch) Exec(program string, env []string) error {
	var names []string
	for _, in := range s.Files {
		fd := in.file.Fd()
		if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err == nil {
			names = append(names, in.name+"="+strconv.Itoa(int(fd)))
		}
	}
	next := append([]string{}, s.Env...)
	for _, pair := range env {
		if !strings.HasPrefix(pair, envPrefix) && !strings.HasPrefix(pair, "LISTEN_") {
			next = append(next, pair)
		}
	}
	next = append(next, inheritEnv+"="+strings.Join(names, ","))
	err := syscall.Exec("/proc/self/exe", append([]string{program}, s.Args...), next)
	return fmt.Errorf("go on with the other configuration: %w; start it with: %s %s", err, program, strings.Join(s.Args, " "))
}

// sockets are what the node was given to listen on: by the program that it was
// before, or by the service manager (sd_listen_fds(3)).
type sockets struct {
	given []givenSocket
}

type givenSocket struct {
	name string
	ln   net.Listener
}

// takeSockets takes what the environment tells of. Without a name, or by another
// one, a socket counts by its address.
func takeSockets(env []string) (s sockets) {
	vars := environment(env)
	for pair := range strings.SplitSeq(vars[inheritEnv], ",") {
		if name, number, ok := strings.Cut(pair, "="); ok {
			s.take(name, number)
		}
	}
	n, err := strconv.Atoi(vars["LISTEN_FDS"])
	if err != nil || vars["LISTEN_PID"] != strconv.Itoa(os.Getpid()) {
		return s
	}
	names := strings.Split(vars["LISTEN_FDNAMES"], ":")
	const first = 3 // SD_LISTEN_FDS_START
	for i := range min(n, 64) {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		s.take(name, strconv.Itoa(first+i))
	}
	return s
}

func (s *sockets) take(name, number string) {
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 {
		return
	}
	file := os.NewFile(uintptr(fd), name)
	ln, err := net.FileListener(file)
	if file != nil {
		_ = file.Close() // the listener has its own
	}
	if err == nil {
		s.given = append(s.given, givenSocket{name, ln})
	}
}

// pick returns the socket of a server at an address, nil if none was given.
func (s *sockets) pick(server, addr string) net.Listener {
	for i, g := range s.given {
		if sameAddress(addr, g.ln.Addr().String()) && (g.name == server || !strings.HasSuffix(addr, ":0")) {
			s.given = append(s.given[:i:i], s.given[i+1:]...)
			return g.ln
		}
	}
	return nil
}

// sameAddress tells whether a socket listens where an address of the configuration
// says; port 0 is any port.
func sameAddress(want, is string) bool {
	wantHost, wantPort, err1 := net.SplitHostPort(want)
	isHost, isPort, err2 := net.SplitHostPort(is)
	if errors.Join(err1, err2) != nil || wantPort != isPort && wantPort != "0" {
		return false
	}
	a, b := net.ParseIP(wantHost), net.ParseIP(isHost)
	switch {
	case wantHost == isHost:
		return true
	case wantHost == "localhost":
		return b != nil && b.IsLoopback()
	case a == nil && wantHost != "" || b == nil:
		return false
	}
	return a.Equal(b) || (wantHost == "" || a.IsUnspecified()) && b.IsUnspecified()
}

// close closes what nobody wanted: connections to it would wait for ever.
func (s *sockets) close() {
	for _, g := range s.given {
		_ = g.ln.Close()
	}
	s.given = nil
}
