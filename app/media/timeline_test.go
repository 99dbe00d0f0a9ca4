package media

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"streamgate/store"
)

// randomPackets makes the packets of a stream: groups of pictures of random
// length and reordering, random frame durations, gaps, repeated times, hidden
// packets and some before the first key.
func randomPackets(r *rand.Rand, timescale int64) []packet {
	var list []packet
	at := r.Int64N(1000) - 500
	for range r.IntN(12) + 1 {
		n := r.IntN(80) + 1
		group := make([]packet, n)
		for i := range group {
			d := max(1, timescale/int64(r.IntN(60)+10))
			switch r.IntN(60) {
			case 0:
				d = timescale * int64(r.IntN(20)+1)
			case 1:
				d = 0
			}
			group[i] = packet{pts: at, duration: d, size: int32(r.IntN(9999)), discard: r.IntN(200) == 0}
			at += d
		}
		group[0].key = true
		for i := 1; i+2 < n && r.IntN(3) > 0; i += 3 {
			group[i], group[i+2] = group[i+2], group[i] // reordering inside the group
		}
		if r.IntN(5) == 0 && n > 2 {
			group[0], group[1] = group[1], group[0] // an open group
		}
		list = append(list, group...)
	}
	return list
}

func FuzzTimeline(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint32(12800), seed%3 == 0)
	}
	f.Add(uint64(7), uint32(25), false)
	f.Add(uint64(8), uint32(1), false)
	f.Fuzz(func(t *testing.T, seed uint64, timescale uint32, wholeGroups bool) {
		timescale = max(1, timescale%maxTimescale)
		r := rand.New(rand.NewPCG(seed, 1))
		packets := randomPackets(r, int64(timescale))
		s, err := showFrames(packets, int64(timescale), 25)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.PTS) == 0 {
			return
		}
		profile := DefaultProfile()
		pace := profile.pace(int64(timescale))
		starts := cutFrames(s, pace)
		tl := timelineOf(s, starts, timescale)
		checkTimeline(t, &tl, s.Frames)
		checkLengths(t, s, &tl, pace)
		for _, b := range tl.Frames[1:tl.Segments()] {
			if !s.sure[b] {
				t.Fatalf("segment begins at frame %d, whose time is not its own", b)
			}
		}
		if d := encodedDelay(s, starts); d < 0 || d > tl.Ticks() {
			t.Fatalf("delay %d", d)
		}
		if bounds := audioBounds(&tl, 48000); float64(timescale) > 10 && !ascends(bounds) {
			t.Fatalf("audio bounds %v for %v", bounds, tl.Bounds)
		}
		checkCopy(t, s, packets, pace, timescale)
	})
}

// checkLengths: no segment is longer than its target, but for the frame that
// fills it, frames at which none may begin, and a tiny rest at the end.
func checkLengths(t *testing.T, s shown, tl *store.Timeline, p pace) {
	t.Helper()
	for i := range tl.Segments() {
		from, to := tl.Frames[i], tl.Frames[i+1]
		last := to - 1
		for last > from && (!s.sure[last] || i == tl.Segments()-1 && s.End-s.PTS[last] < p.tiny) {
			last--
		}
		if s.PTS[last]-s.PTS[from] >= p.target(i) && last > from {
			t.Fatalf("segment %d is %d ticks long, and could end at frame %d", i, tl.Bounds[i+1]-tl.Bounds[i], last)
		}
	}
}

// checkCopy: where a copy is allowed, its segments begin at keys and hold the
// same frames in both orders.
func checkCopy(t *testing.T, s shown, packets []packet, p pace, timescale uint32) {
	t.Helper()
	count := 0
	for _, pk := range packets {
		if pk.key {
			count++
		}
	}
	keys, why := copyKeys(s, packets, keyScan{idrs: count, steady: true}, p)
	if why != "" {
		return
	}
	tl := timelineOf(s, cutKeys(s, keys, p), timescale)
	checkTimeline(t, &tl, s.Frames)
	for i := range tl.Segments() {
		from, to := tl.Frames[i], tl.Frames[i+1]
		if !packets[from].key {
			t.Fatalf("segment %d begins with no key", i)
		}
		if tl.Bounds[i+1]-tl.Bounds[i] > p.longest {
			t.Fatalf("segment %d is %d ticks long", i, tl.Bounds[i+1]-tl.Bounds[i])
		}
		for _, pk := range packets[from:to] {
			if at := pk.pts - s.first; at < tl.Bounds[i] || at >= tl.Bounds[i+1] {
				t.Fatalf("segment %d holds a frame of %d", i, at)
			}
		}
	}
	d := copiedDelay(s, packets)
	for i, pk := range packets {
		if pk.pts-s.first-s.PTS[i]+d < 0 {
			t.Fatalf("frame %d has a negative offset", i)
		}
	}
}

// steady makes n frames of d ticks.
func steady(n int, d int64) shown {
	packets := make([]packet, n)
	for i := range packets {
		packets[i] = packet{pts: int64(i) * d, duration: d, key: i == 0}
	}
	s, _ := showFrames(packets, 1000, 0)
	return s
}

func TestCutFrames(t *testing.T) {
	pace := DefaultProfile().pace(1000)
	gap := steady(100, 40)
	for i := 50; i < 100; i++ {
		gap.PTS[i] += 494_000
	}
	gap.End += 494_000
	for name, tc := range map[string]struct {
		s    shown
		want []int
	}{
		"25 fps":          {steady(500, 40), []int{0, 50, 100, 200, 300, 400, 500}},
		"tiny rest":       {steady(308, 40), []int{0, 50, 100, 200, 308}},
		"small rest":      {steady(320, 40), []int{0, 50, 100, 200, 300, 320}},
		"29.97 fps":       {steady(300, 33), []int{0, 61, 122, 244, 300}},
		"gap":             {gap, []int{0, 50, 100}},
		"one frame":       {steady(1, 40), []int{0, 1}},
		"a frame a while": {steady(4, 9000), []int{0, 1, 2, 3, 4}},
	} {
		if got := cutFrames(tc.s, pace); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestCutKeys(t *testing.T) {
	pace := longGroups().pace(1000)
	for name, tc := range map[string]struct {
		s    shown
		keys []int
		want []int
	}{
		"every second":    {steady(400, 40), []int{0, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 325, 350, 375}, []int{0, 50, 100, 225, 350, 400}},
		"every 10 s":      {steady(500, 40), []int{0, 250}, []int{0, 250, 500}},
		"tiny last group": {steady(260, 40), []int{0, 250}, []int{0, 260}},
		"only one":        {steady(260, 40), []int{0}, []int{0, 260}},
	} {
		if got := cutKeys(tc.s, tc.keys, pace); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Pictures for scrubbing are at every border and about two seconds apart, at
// frames that can be found by their times.
func TestKeyTimes(t *testing.T) {
	for name, tc := range map[string]struct{ starts, want []int }{
		"short":     {[]int{0, 50, 99}, []int{0, 50}},
		"four":      {[]int{0, 50, 100, 200}, []int{0, 50, 100, 150}},
		"five":      {[]int{0, 125}, []int{0, 41, 83}},
		"not found": {[]int{0, 20, 120}, []int{0, 20}},
	} {
		s := steady(tc.starts[len(tc.starts)-1], 1)
		if name == "not found" {
			s.sure[70] = false
		}
		var got []int
		tl := timelineOf(s, tc.starts, 25)
		for _, at := range keyTimes(s, &tl, 50) {
			got = append(got, int(at))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestShowFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		packets []packet
		want    []int64
		first   int64
		exact   bool
	}{
		"reordered":            {[]packet{{pts: 10, key: true}, {pts: 40}, {pts: 20}, {pts: 30, duration: 10}}, []int64{0, 10, 20, 30}, 10, true},
		"discarded":            {[]packet{{pts: -10, key: true, discard: true}, {pts: 0, discard: true}, {pts: 10}, {pts: 20}}, []int64{0, 10}, 10, true},
		"before the first key": {[]packet{{pts: 10}, {pts: 20, key: true}, {pts: 15}, {pts: 30}}, []int64{0, 10}, 20, true},
		"repeated times":       {[]packet{{pts: 0, key: true}, {pts: 10}, {pts: 10}, {pts: 10}, {pts: 20, duration: 10}}, []int64{0, 10, 11, 12, 20}, 0, false},
	} {
		s, err := showFrames(tc.packets, 100, 0)
		if err != nil || !slices.Equal(s.PTS, tc.want) || s.first != tc.first || s.exact != tc.exact || s.End != tc.want[len(tc.want)-1]+10 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := showFrames([]packet{{pts: 1, key: true}, {pts: missing}}, 100, 0); !errors.Is(err, errNoTimes) {
		t.Errorf("missing time: %v", err)
	}
}

func TestAudioTimeline(t *testing.T) {
	for _, tc := range []struct {
		seconds  float64
		segments int
	}{{0, 1}, {0.01, 1}, {2, 1}, {4, 2}, {6, 3}, {3600, 899}} {
		tl := audioTimeline(tc.seconds, 48000, DefaultProfile())
		checkTimeline(t, &tl, Frames{})
		end := float64(tl.Ticks()) / 48000
		if tl.Segments() != tc.segments || end < tc.seconds || end >= tc.seconds+0.022 {
			t.Errorf("%g seconds: %d segments until %g", tc.seconds, tl.Segments(), end)
		}
	}
}
