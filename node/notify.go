package node

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// notifier speaks the service manager's protocol, sd_notify(3): datagrams to
// the socket that it named. Without one it does nothing; a failure to send is
// of no consequence.
type notifier struct {
	socket   string
	watchdog time.Duration // between signs of life; 0 for none
}

func newNotifier(env []string) notifier {
	vars := environment(env)
	n := notifier{socket: vars["NOTIFY_SOCKET"]}
	if usec, err := strconv.ParseInt(vars["WATCHDOG_USEC"], 10, 64); err == nil && usec > 0 && n.socket != "" {
		n.watchdog = time.Duration(usec) * time.Microsecond / 2
	}
	return n
}

// ready tells that the node serves.
func (n notifier) ready(url string) { n.send("READY=1\nSTATUS=Serving at " + url) }

// waiting tells what keeps the node from being ready, and that its start takes at
// least another pause.
func (n notifier) waiting(why error, pause time.Duration) {
	most := pause + time.Minute
	n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\nSTATUS=Waiting: %s", most.Microseconds(), oneLine(why)))
}

// beat sends the signs of life that the manager asked for, until ctx is done.
func (n notifier) beat(ctx context.Context) {
	if n.watchdog == 0 {
		return
	}
	tick := time.NewTicker(n.watchdog)
	defer tick.Stop()
	for {
		n.send("WATCHDOG=1")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n notifier) stopping() { n.send("STOPPING=1\nSTATUS=Letting running jobs finish") }

func (n notifier) send(message string) {
	if n.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte(message))
	_ = conn.Close()
}
