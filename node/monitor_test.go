package node

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"streamgate/store/servertest"
)

// TestQueueMetrics: of the queue, which is the deployment's, a node with the role
// monitor tells, with that role alone too, and no other: what an autoscaler reads is
// there once.
func TestQueueMetrics(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	for role, want := range map[Role]bool{RoleMonitor: true, RoleTranscoder: false, RoleMetadata: false} {
		t.Run(string(role), func(t *testing.T) {
			n := registered(t, server, t.TempDir(), Options{Roles: []Role{role}})
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := n.Stop(); err != nil {
					t.Error(err)
				}
			}()
			resp, err := http.DefaultClient.Do(mustRequest(t, "http://"+n.Addr("operator")+"/metrics"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"streamgate_transcoder_queue_length 0\n", "streamgate_transcoder_jobs_ready 0\n", "streamgate_transcoder_queue_age_seconds 0\n"} {
				if got := strings.Contains(string(text), name); got != want {
					t.Errorf("it has %q: %v", name, got)
				}
			}
		})
	}
}
