package transcode

import "testing"

// The rule of the documented policy: up above 2.5 runnable jobs a worker, down
// below 0.5 when nothing waits, 2 to 16 workers, one for every ten tasks that
// wait.
func TestScale(t *testing.T) {
	policy := Scaling{Min: 2, Max: 16, TargetQueueLen: 10, Up: 2.5, Down: 0.5}
	for _, tc := range []struct {
		name string
		load load
		want int
	}{
		{"idle at the bound", load{workers: 2}, 2},
		{"idle", load{workers: 5}, 4},
		{"idle above the bound", load{workers: 20}, 16},
		{"below the lower bound", load{workers: 0}, 2},
		{"one job, below the ratio, but it waits", load{workers: 4, ready: 1}, 4},
		{"no job, but a task waits", load{workers: 4, waiting: 1}, 4},
		{"between the thresholds", load{workers: 4, ready: 8}, 4},
		{"just at the upper threshold", load{workers: 4, ready: 10}, 4},
		{"above it", load{workers: 4, ready: 11}, 5},
		{"far above it: one at a time", load{workers: 4, ready: 1000}, 5},
		{"above it at the bound", load{workers: 16, ready: 1000}, 16},
		{"tasks that wait want workers", load{workers: 2, ready: 4, waiting: 51}, 6},
		{"exactly so many", load{workers: 2, ready: 4, waiting: 50}, 5},
		{"more tasks than workers may be", load{workers: 2, ready: 4, waiting: 1000}, 16},
		{"no workers yet", load{workers: 0, ready: 3}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, why := policy.scale(tc.load)
			if got != tc.want || why == "" {
				t.Errorf("%+v: %d workers (%s), want %d", tc.load, got, why, tc.want)
			}
		})
	}
	if got, _ := (Scaling{Min: 1, Max: 3, Up: 2.5, Down: 0.5}).scale(load{workers: 1, waiting: 500}); got != 1 {
		t.Errorf("without a target length %d workers", got)
	}
}
