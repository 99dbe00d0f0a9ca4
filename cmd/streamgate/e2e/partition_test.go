package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// between is the address under which nodes reach each other where links stand
// between them: it is this machine too.
const between = "127.0.0.2"

// links pass on what the nodes of a fleet send each other, or do not.
type links struct {
	t     *testing.T
	fleet *fleet

	mu      sync.Mutex
	changed chan struct{}       // closed when the faults change
	faults  map[[2]string]fault // by two names of nodes, the lesser first
	routes  fault               // of all connections of the event bus
	all     map[*link]struct{}

	looking sync.Mutex // before mu
	looked  time.Time
	owners  map[string]string // names of nodes by addresses, as it was then
}

// fault is what links do to two nodes.
type fault int

const (
	_      fault = iota
	broken       // connections end, and new ones too
	silent       // connections stay, and nothing comes through
)

// link is one connection from a node to another.
type link struct {
	in    net.Conn
	since time.Time
	to    string
	from  string // "" until asked for
	route bool   // of the event bus
}

// listen begins to pass on what comes for a node's ports, one of which is that of
// the event bus.
func (n *links) listen(name, calls, events string) {
	for _, address := range []string{calls, events} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			n.t.Fatal(err)
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(between, port))
		if err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go n.pass(&link{in: conn, since: time.Now(), to: name, route: address == events}, address)
			}
		}()
	}
}

func (n *links) pass(l *link, address string) {
	defer l.in.Close()
	n.mu.Lock()
	n.all[l] = struct{}{}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.all, l)
		n.mu.Unlock()
	}()
	if !n.open(l) {
		return
	}
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	var both sync.WaitGroup
	both.Go(func() { n.copy(l, out, l.in) })
	both.Go(func() { n.copy(l, l.in, out) })
	both.Wait()
}

// copy passes one direction on until either end closes it.
func (n *links) copy(l *link, to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		got, err := from.Read(buf)
		if got > 0 && n.open(l) {
			if _, werr := to.Write(buf[:got]); werr != nil {
				err = werr
			}
		}
		if now, _ := n.faultOf(l); err != nil || now != 0 {
			_ = to.(*net.TCPConn).CloseWrite() // it may be closed
			_ = from.(*net.TCPConn).CloseRead()
			return
		}
	}
}

// open waits until something may pass a link; false if it is broken.
func (n *links) open(l *link) bool {
	for {
		now, changed := n.faultOf(l)
		switch now {
		case broken:
			return false
		case silent:
			<-changed
		default:
			return true
		}
	}
}

// faultOf is what is wrong with a link, and what is closed when that changes. Whose it
// is, is asked only while nodes are apart: all of them run then.
func (n *links) faultOf(l *link) (fault, <-chan struct{}) {
	n.mu.Lock()
	apart := len(n.faults) > 0
	n.mu.Unlock()
	from := ""
	if apart {
		from = n.owner(l)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.route && n.routes != 0 {
		return n.routes, n.changed
	}
	return n.faults[pair(from, l.to)], n.changed
}

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// owner is the node whose connection a link is, as the kernel knows. One look at all
// of them does for all links that were there.
func (n *links) owner(l *link) string {
	n.looking.Lock()
	defer n.looking.Unlock()
	if l.from != "" {
		return l.from
	}
	if n.looked.Before(l.since) {
		n.looked, n.owners = time.Now(), map[string]string{}
		all := allSockets(n.t)
		for name, node := range n.fleet.nodes {
			for _, s := range socketsOf(node.cmd.Process.Pid, all) {
				n.owners[s.local] = name
			}
		}
	}
	if l.from = n.owners[l.in.RemoteAddr().String()]; l.from == "" {
		l.since = time.Now() // it has ended, or was passed over: the table changes while it is read
	}
	return l.from
}

// cut puts a fault between two nodes; heal takes all faults away.
func (n *links) cut(a, b string, f fault) { n.change(func() { n.faults[pair(a, b)] = f }) }

// cutRoutes puts a fault on the routes of the event bus, all of them.
func (n *links) cutRoutes(f fault) { n.change(func() { n.routes = f }) }

func (n *links) heal() { n.change(func() { clear(n.faults); n.routes = 0 }) }

// change changes what is wrong, and ends the connections that are broken now.
func (n *links) change(what func()) {
	n.mu.Lock()
	what()
	close(n.changed)
	n.changed = make(chan struct{})
	all := slices.Collect(maps.Keys(n.all))
	n.mu.Unlock()
	for _, l := range all {
		if now, _ := n.faultOf(l); now == broken {
			l.in.Close()
		}
	}
}

// newLinks makes links at which nothing is wrong.
func newLinks(f *fleet) *links {
	return &links{t: f.t, fleet: f, changed: make(chan struct{}), faults: map[[2]string]fault{}, all: map[*link]struct{}{}}
}

// answering is how a bucket does.
type answering int32

const (
	well    answering = iota
	busy              // 503 SlowDown
	slow              // after a second
	cutting           // bodies end in the middle, both ways
)

// bucket stands before the server of a bucket, whose address it has.
type bucket struct {
	how atomic.Int32
	url string
}

func (b *bucket) set(how answering) { b.how.Store(int32(how)) }

var errCut = errors.New("cut in the middle")

// halfOf ends with an error after n bytes.
type halfOf struct {
	io.ReadCloser
	n int64
}

func (h *halfOf) Read(p []byte) (int, error) {
	if h.n <= 0 {
		return 0, errCut
	}
	got, err := h.ReadCloser.Read(p[:min(int64(len(p)), h.n)])
	h.n -= int64(got)
	return got, err
}

// newBucket stands before the bucket at an address.
func newBucket(t *testing.T, address string) *bucket {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host // which is signed
			if answering(b.how.Load()) == cutting && r.In.ContentLength > 1 {
				r.Out.Body = &halfOf{r.Out.Body, r.In.ContentLength / 2}
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if answering(b.how.Load()) == cutting && r.ContentLength > 1 {
				r.Body = &halfOf{r.Body, r.ContentLength / 2}
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch answering(b.how.Load()) {
		case busy:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
			return
		case slow:
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
			}
		}
		proxy.ServeHTTP(w, r)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	here := *to
	here.Host = listener.Addr().String()
	b.url = here.String()
	return b
}

// socket is a TCP socket.
type socket struct {
	inode, local string
	listening    bool
}

// sockets are those of a process.
func sockets(t *testing.T, pid int) []socket { return socketsOf(pid, allSockets(t)) }

// allSockets are those of this machine.
func allSockets(t *testing.T) []socket {
	t.Helper()
	var out []socket
	for _, table := range []string{"tcp", "tcp6"} {
		data, _ := os.ReadFile("/proc/net/" + table)
		for line := range strings.Lines(string(data)) {
			if field := strings.Fields(line); len(field) >= 10 && field[0] != "sl" {
				out = append(out, socket{field[9], kernelAddress(t, field[1]), field[3] == "0A"}) // LISTEN
			}
		}
	}
	return out
}

// socketsOf are those among all that a process has.
func socketsOf(pid int, all []socket) []socket {
	proc := fmt.Sprintf("/proc/%d/fd/", pid)
	own := map[string]bool{}   // inodes
	fds, _ := os.ReadDir(proc) // none of a process that has ended
	for _, fd := range fds {
		if to, err := os.Readlink(proc + fd.Name()); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.Trim(to, "socket:[]")] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s socket) bool { return !own[s.inode] })
}
