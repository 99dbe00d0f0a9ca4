package cluster

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func entry(id, boot string, index uint64) *api.ServiceEntry {
	i := node(id, boot)
	return &api.ServiceEntry{Service: &api.AgentService{Meta: writeMeta(&i), ModifyIndex: index}}
}

func boots(all []Instance) string {
	var out []string
	for _, i := range all {
		out = append(out, i.ID+i.Boot)
	}
	return strings.Join(out, " ")
}

// TestView: which nodes count after a row of answers, one second after another.
func TestView(t *testing.T) {
	const away = "away"
	type answer []*api.ServiceEntry
	for _, c := range []struct {
		name    string
		answers []any
		want    string
	}{
		{"all that are named", []any{answer{entry("b", "1", 2), entry("a", "1", 1)}}, "a1 b1"},
		{"no longer named", []any{answer{entry("a", "1", 1), entry("b", "1", 2)}, answer{entry("a", "1", 1)}}, "a1"},
		{"at two agents", []any{answer{entry("a", "1", 5), entry("a", "2", 9)}}, "a2"},
		{"at two agents, the other way round", []any{answer{entry("a", "2", 9), entry("a", "1", 5)}}, "a2"},
		{"not named after Consul was away", []any{answer{entry("a", "1", 1), entry("b", "1", 2)}, away, answer{entry("a", "1", 1)}}, "a1 b1"},
		{"started again meanwhile", []any{answer{entry("b", "1", 200)}, away, answer{entry("b", "2", 3)}}, "b2"},
		{
			"not named for long after Consul was away",
			[]any{answer{entry("a", "1", 1), entry("b", "1", 2)}, away, answer{entry("a", "1", 1)}, answer{entry("a", "1", 1)}, answer{entry("a", "1", 1)}}, "a1",
		},
		{"this node is not named either", []any{answer{entry("a", "1", 1), entry("b", "1", 2)}, answer{}}, "a1 b1"},
		{"this node is not named for long", []any{answer{entry("a", "1", 1), entry("b", "1", 2)}, answer{}, answer{}, answer{}}, ""},
		{"this node is not named yet", []any{answer{entry("b", "1", 2)}, answer{}}, ""},
		{"no node of ours", []any{answer{{Service: &api.AgentService{}}}}, ""},
	} {
		v, now := view{grace: 1500 * time.Millisecond}, time.Now()
		var got []Instance
		for _, a := range c.answers {
			if entries, ok := a.(answer); ok {
				got = v.take(entries, "a", now)
			} else {
				v.miss()
			}
			now = now.Add(time.Second)
		}
		if boots(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, boots(got), c.want)
		}
	}
}

func TestWeigh(t *testing.T) {
	var v view
	v.take([]*api.ServiceEntry{entry("a", "1", 1), entry("b", "1", 1)}, "", time.Now())
	got := v.weigh(map[string]claim{"a": {Boot: "1", Load: 0.5}, "b": {Boot: "0", Load: 0.5}})
	if got[0].Load != 0.5 || got[1].Load != 0 {
		t.Errorf("%+v: the load is that of the boot it was told by", got)
	}
	for text, want := range map[string]claim{
		`{"boot":"1","load":0.25}`: {Boot: "1", Load: 0.25}, "": {}, "x": {}, `{"boot":1}`: {},
		`{"boot":"` + strings.Repeat("1", maxClaim) + `"}`: {},
	} {
		if got := readClaim(&api.KVPair{Value: []byte(text)}); got != want {
			t.Errorf("%.20s: %+v", text, got)
		}
	}
}

// TestMeta: what is written of a node is what is read, within Consul's bounds.
func TestMeta(t *testing.T) {
	i := node("a", "1")
	i.Draining, i.Addr, i.Schema = true, "", 4
	if got := readInstance(&api.AgentService{Meta: writeMeta(&i)}); !reflect.DeepEqual(got, i) {
		t.Errorf("%+v, want %+v", got, i)
	}
	i.Encoder = strings.Repeat("x", 600)
	if got := writeMeta(&i)[metaEncoder]; len(got) != maxMeta {
		t.Errorf("%d bytes", len(got))
	}
}
