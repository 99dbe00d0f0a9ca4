package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"streamgate/store/postgres"
)

// laterProgram builds the program of a version to come, which knows one step more of
// the database's tables.
func laterProgram(t *testing.T, step string) string {
	t.Helper()
	file, to := writeFile(t, "1.sql", step), filepath.Join(t.TempDir(), "streamgate")
	check(t, build(to, "-ldflags", "-X streamgate/store/postgres.laterSteps="+filepath.Dir(file)))
	return to
}

// TestClusterUpgrade exchanges the program of one node after the other while clients
// play, write, upload and have a video encoded: see TestClusterFaults. The two versions
// share the database, in which the newer one has changed the tables at once; a node of
// the older one that crashes starts again, and one that was upgraded can go back. A
// version that would take away what the others need is refused, and says whom it waits
// for.
func TestClusterUpgrade(t *testing.T) {
	chain := startChain(t)
	f := startFleet(t, gatedConfig(t, chain), "metadata", "metadata 2", "monitor", "transcoder", "transcoder 2", "upload", "streaming", "streaming 2", "api-gateway")
	known := f.schema()
	next := laterProgram(t, "-- compatible 4\nCREATE TABLE later (one text)")
	breaks := laterProgram(t, fmt.Sprintf("-- compatible %d\nDROP TABLE decisions", known+1))
	c := f.clients(chain)
	back := func(name string) {
		t.Helper()
		f.front.poll(name+" to be back", func() bool { return f.ready() == len(f.nodes) })
	}
	exchange := func(name, program string) {
		t.Helper()
		c.now(name + " is exchanged")
		n := f.node(name)
		if code := n.stop(); code != 0 {
			t.Errorf("%s ended with %d", name, code)
		}
		n.program = program
		n.start()
		back(name)
	}

	monitor := f.node("monitor")
	monitor.stop()
	monitor.program = breaks
	if err := monitor.tryStart(); err == nil || !strings.Contains(monitor.log.String(), "could not use the new ones") {
		t.Errorf("it changes the tables under the others: %v", err)
	}
	if got := f.schema(); got != known {
		t.Errorf("after a refused upgrade the tables have version %d, want %d", got, known)
	}
	monitor.program = next
	monitor.start()
	if got := f.schema(); got != known+1 {
		t.Errorf("the tables have version %d, want %d", got, known+1)
	}
	c.now("a node of the older version crashes")
	f.node("metadata 2").kill()
	f.node("metadata 2").start() // on the newer one's tables
	back("metadata 2")
	f.front.poll("writes", c.served)
	for _, name := range []string{"metadata", "metadata 2", "transcoder", "transcoder 2", "upload", "streaming", "streaming 2"} {
		exchange(name, next)
	}
	exchange("metadata", "") // and back
	c.ended()
	for line, n := range c.answers {
		if strings.Contains(line, "is exchanged: write 503") {
			t.Errorf("a node left in order, and writes were refused: %d %s", n, line)
		}
	}
	exchange("api-gateway", next) // which the clients ask
}

// schema is the version of the database's tables.
func (f *fleet) schema() int {
	f.t.Helper()
	look, err := postgres.Look(f.t.Context(), f.on.pg.Address("postgres"))
	check(f.t, err)
	return look.Schema
}
