package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake has fixed rates.
type fake struct{ got []load }

func (f *fake) about() string { return "a fake" }
func (f *fake) close() error  { return nil }

func (f *fake) push(_ context.Context, l load) (float64, error) {
	f.got = append(f.got, l)
	return 12.5, nil
}

func (f *fake) work(context.Context, load) (float64, error) { return 0, errors.New("it is broken") }

func TestServe(t *testing.T) {
	f := &fake{}
	var out strings.Builder
	in := `{"peer":"fake","what":"push","parallel":16,"seconds":0.5,"payload":{"a":1}}
{"peer":"fake","what":"work"}
{"peer":"nobody","what":"push"}
nonsense
`
	if err := serve(t.Context(), []named{{"fake", f}}, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	want := `{"peers":[{"name":"fake","about":"a fake"}]}
{"per_second":12.5}
{"per_second":0,"error":"it is broken"}
{"per_second":0,"error":"no peer \"nobody\" can \"push\""}
`
	if !strings.HasPrefix(out.String(), want) || !strings.Contains(out.String(), "read the request") {
		t.Errorf("got\n%s", out.String())
	}
	if len(f.got) != 1 || f.got[0].Parallel != 16 || f.got[0].duration() != 500*time.Millisecond || string(f.got[0].Payload) != `{"a":1}` {
		t.Errorf("got %+v", f.got)
	}
}

func TestPerSecond(t *testing.T) {
	var n atomic.Int64
	full := errors.New("full")
	rate, err := perSecond(t.Context(), 4, time.Minute, func(context.Context) error {
		if n.Add(1) > 100 {
			return full
		}
		return nil
	})
	if rate <= 0 || !errors.Is(err, full) {
		t.Errorf("%f, %v", rate, err)
	}
}

func TestMeterEndsWithTheLastEvent(t *testing.T) {
	m := newMeter(3)
	for range 4 {
		m.event()
	}
	if rate, err := m.rate(t.Context(), time.Minute); rate <= 0 || err != nil {
		t.Errorf("%f, %v", rate, err)
	}
}

func TestMajor(t *testing.T) {
	if got := major("/usr/lib/postgresql/15/bin/initdb"); got != 15 {
		t.Errorf("got %d", got)
	}
}
