package history

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, metrics ...string) *Log {
	t.Helper()
	l, err := Open(dir, metrics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (l *Log) append(t *testing.T, at time.Time, values ...float64) {
	t.Helper()
	if err := l.Append(at, values); err != nil {
		t.Fatal(err)
	}
}

func (l *Log) points(t *testing.T, q Query, now time.Time, metric string) []Point {
	t.Helper()
	out, err := l.Read(q, now, metric)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// TestEightDays writes more than the rings hold, with a gap and a restart in the
// middle, and compares what is read with the plain list.
func TestEightDays(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "a", "b")
	value := func(n int) float64 { return float64(n % 997) }
	const all = 8 * 24 * 60 * 4
	gap := func(n int) bool { return n >= all-3000 && n < all-2000 }
	for n := range all {
		if n == all-1000 {
			if err := l.Close(); err != nil { // as after a kill: nothing else is written at the end
				t.Fatal(err)
			}
			l = open(t, dir, "a", "b")
		}
		if !gap(n) {
			l.append(t, start.Add(time.Duration(n)*FineStep), value(n), math.NaN())
		}
	}
	end := start.Add(all * FineStep)
	day := l.points(t, Query{From: end.Add(-FineSpan), To: end}, end, "a")
	if want := 4*60*24 - 1000; len(day) != want {
		t.Fatalf("the day has %d points, want %d", len(day), want)
	}
	for _, p := range day {
		if n := int(p.At.Sub(start) / FineStep); p.Mean != value(n) || p.Max != value(n) || gap(n) {
			t.Fatalf("at %v (sample %d): %v", p.At, n, p)
		}
	}
	week := l.points(t, Query{From: end.Add(-30 * 24 * time.Hour), To: end, Step: time.Hour}, end, "a")
	if len(week) != 7*24-3 { // 1000 samples are 4 h 10 min
		t.Errorf("the week has %d points", len(week))
	}
	for _, p := range week {
		first := int(p.At.Sub(start) / FineStep)
		sum, count, most := 0.0, 0, 0.0
		for n := first; n < first+240; n++ {
			if !gap(n) {
				sum, count, most = sum+value(n), count+1, max(most, value(n))
			}
		}
		// Slots count the same, even those that a gap has left with fewer samples.
		if math.Abs(p.Mean-sum/float64(count)) > 20 || p.Max != most {
			t.Errorf("the hour at %v: %v, want %v and %v", p.At, p, sum/float64(count), most)
		}
	}
	if got := l.points(t, Query{From: start, To: end}, end, "b"); got != nil {
		t.Errorf("what was never seen has points: %v", got)
	}
	if got := l.points(t, Query{From: start, To: end}, end, "c"); got != nil {
		t.Errorf("an unknown metric has points: %v", got)
	}
	total := int64(0)
	for _, name := range []string{"fine", "coarse"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if want := int64(2*headerSize + 7776*(slotHead+2*8)); total != want {
		t.Errorf("the files have %d bytes, want %d", total, want)
	}
	if most := 2*headerSize + 7776*(slotHead+maxMetrics*8); most > 16<<20 {
		t.Errorf("the most that the files may take is %d bytes", most)
	}
}

// TestOtherMetrics: metrics come and go; what stays keeps its past.
func TestOtherMetrics(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "a", "b")
	l.append(t, start, 1, 2)
	l.Close()
	l = open(t, dir, "b", "c")
	l.append(t, start.Add(FineStep), 3, 4)
	q, now := Query{From: start, To: start.Add(time.Minute)}, start.Add(time.Minute)
	if got := l.points(t, q, now, "b"); len(got) != 2 || got[0].Mean != 2 || got[1].Mean != 3 {
		t.Errorf("b: %v", got)
	}
	if got := l.points(t, q, now, "c"); len(got) != 1 || got[0].Mean != 4 {
		t.Errorf("c: %v", got)
	}
}

// TestDamage: a slot that is damaged is as if nothing had been seen, a file that
// is cut reads as far as it goes, and one that is none is begun anew.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "a")
	for n := range 4 {
		l.append(t, start.Add(time.Duration(n)*FineStep), float64(n))
	}
	l.Close()
	path := filepath.Join(dir, "fine")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(slotHead + 8)
	at := headerSize + start.Unix()/15%l.fine.slots*size
	q, now := Query{From: start, To: start.Add(time.Minute)}, start.Add(time.Minute)
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		want   int
	}{
		{"nothing", func(b []byte) []byte { return b }, 4},
		{"a bit", func(b []byte) []byte { b[at+size+6] ^= 1; return b }, 3},
		{"the end", func(b []byte) []byte { return b[:at+2*size+3] }, 2},
		{"the header", func(b []byte) []byte { b[30] ^= 1; return b }, 0},
		{"all", func([]byte) []byte { return nil }, 0},
	} {
		if err := os.WriteFile(path, c.damage(append([]byte(nil), data...)), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, "a")
		if got := l.points(t, q, now, "a"); len(got) != c.want {
			t.Errorf("without %s: %v", c.name, got)
		}
		l.append(t, start, 7)
		if got := l.points(t, q, now, "a"); len(got) == 0 || got[0].Mean != 7 {
			t.Errorf("without %s, after an append: %v", c.name, got)
		}
		l.Close()
	}
}

// FuzzRing: whatever is in the file, a ring opens, reads and writes.
func FuzzRing(f *testing.F) {
	r := &ring{step: FineStep, slots: 4, metrics: []string{"a"}}
	f.Add(r.header())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "ring")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := openRing(path, FineStep, time.Minute, []string{"a"})
		if err != nil {
			t.Fatal(err)
		}
		defer r.file.Close()
		if err := r.write(start, []float64{5}, []float64{5}); err != nil {
			t.Fatal(err)
		}
		got, err := r.read(start, start.Add(time.Second))
		if err != nil || len(got) != 1 || got[0].mean(0) != 5 {
			t.Errorf("%v, %v", got, err)
		}
	})
}
