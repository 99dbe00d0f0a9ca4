package node

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
)

// A socket that a program left is taken by the server whose it was, or by whoever
// listens there; a connection that was made in between is served.
func TestSockets(t *testing.T) {
	given := func() (addr, number string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return ln.Addr().String(), strconv.Itoa(int(file.Fd()))
	}
	public, one := given()
	grpc, two := given()
	_, three := given()
	s := takeSockets([]string{inheritEnv + "=public=" + one + ",grpc=" + two + ",old=" + three + ",odd,x=y,low=1"})
	if len(s.given) != 3 {
		t.Fatalf("%d sockets were taken", len(s.given))
	}
	conn, err := net.Dial("tcp", public) // before anybody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if s.pick("public", "127.0.0.1:1") != nil || s.pick("operator", "127.0.0.1:0") != nil {
		t.Error("a socket of another address, or of another server, was taken")
	}
	ln := s.pick("public", public)
	if ln == nil {
		t.Fatal("the public socket was not taken")
	}
	defer ln.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	if ln := s.pick("grpc", "127.0.0.1:0"); ln == nil || ln.Addr().String() != grpc {
		t.Error("port 0 did not take the server's own socket")
	} else {
		ln.Close()
	}
	s.close()
	if len(s.given) != 0 {
		t.Error("a socket that nobody wanted is kept")
	}
	if s := takeSockets([]string{"LISTEN_FDS=1", "LISTEN_PID=" + fmt.Sprint(os.Getpid()+1)}); len(s.given) != 0 {
		t.Error("another process's sockets were taken")
	}
}

func TestSameAddress(t *testing.T) {
	for _, row := range []struct {
		want, is string
		same     bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true}, {"127.0.0.1:80", "127.0.0.1:81", false}, {"127.0.0.1:0", "127.0.0.1:81", true},
		{"0.0.0.0:80", "[::]:80", true}, {":80", "[::]:80", true}, {"localhost:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "[::]:80", false}, {"0.0.0.0:80", "127.0.0.1:80", false}, {"video.example:80", "127.0.0.1:80", false}, {"x", "127.0.0.1:80", false},
	} {
		if got := sameAddress(row.want, row.is); got != row.same {
			t.Errorf("%s, %s: %v", row.want, row.is, got)
		}
	}
}
