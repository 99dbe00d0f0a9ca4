package console

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// unrecordedCalls change nothing that outlives them, or are a viewer's own.
var unrecordedCalls = []string{
	"CreateUpload",           // over HTTP, where node records it
	"Demand", "SimulateRule", // ask
	"CreateNonce", "SignIn", "SignOut", // a viewer's wallet
	"RenewSession", "LeaveSession", // a viewer's session
}

// TestEveryChangeIsRecorded: each call of the API that is not for reading only
// has a method of its own in recorded.go, which is what appends.
func TestEveryChangeIsRecorded(t *testing.T) {
	source, err := os.ReadFile("recorded.go")
	want(t, err, "")
	services := rpc.File_streamgate_proto.Services()
	for i := range services.Len() {
		name, methods := strings.ToLower(string(services.Get(i).Name())), services.Get(i).Methods()
		for j := range methods.Len() {
			call := string(methods.Get(j).Name())
			if reads(methods.Get(j)) || slices.Contains(unrecordedCalls, call) {
				continue
			}
			if !strings.Contains(string(source), "func (s *"+name+") "+call+"(") {
				t.Errorf("%s.%s is not recorded", name, call)
			}
		}
	}
}

func reads(m protoreflect.MethodDescriptor) bool {
	name := string(m.Name())
	return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Check")
}

// TestSessionsOfKeys: a session that a key makes is in the log, without what
// would play it; a viewer's is not.
func TestSessionsOfKeys(t *testing.T) {
	s, _ := open(t)
	gate := s.Audit.Access(ticketed{})
	_, err := gate.CreateSession(rpc.WithIdentity(t.Context(), rpc.Identity{Wallet: "0x1"}), &rpc.CreateSessionRequest{VideoId: "film"})
	want(t, err, "")
	key := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeOperator, KeyID: "k1"})
	_, err = gate.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film"})
	want(t, err, "")
	list, _, err := s.Audit.List(key, store.Query{})
	want(t, err, "")
	if len(list) != 1 || list[0].Action != "session.create" || list[0].Who != "key k1" || list[0].Object != "s" {
		t.Fatalf("%+v", list)
	}
	if after := string(list[0].After); strings.Contains(after, "secret") || !strings.Contains(after, "film") {
		t.Errorf("after: %s", after)
	}
}

// ticketed makes a session for everybody.
type ticketed struct{ rpc.AccessClient }

func (ticketed) CreateSession(context.Context, *rpc.CreateSessionRequest) (*rpc.Session, error) {
	return &rpc.Session{Id: "s", VideoId: "film", Token: "secret", HlsUrl: "/s/secret/master.m3u8"}, nil
}
