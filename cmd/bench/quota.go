package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// quota is a cgroup whose processes have so much of a core together, in periods of
// 100 ms, and no more; their children are in it as well.
type quota struct{ dir string }

const quotaPeriod = 100_000 // microseconds

// newQuota makes one, which takes root. cgroups are of version 2 if their root has
// the CPU controller, or else the controller has a hierarchy of its own (version 1).
func newQuota(name string, cores float64) (*quota, error) {
	most := strconv.Itoa(int(cores * quotaPeriod))
	root, limits := "/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", strconv.Itoa(quotaPeriod)}, {"cpu.cfs_quota_us", most}}
	if controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control"); strings.Contains(string(controllers), "cpu") {
		root, limits = "/sys/fs/cgroup", [][2]string{{"cpu.max", most + " " + strconv.Itoa(quotaPeriod)}}
	}
	q := &quota{filepath.Join(root, fmt.Sprintf("streamgate-bench-%d-%s", os.Getpid(), name))}
	if err := os.Mkdir(q.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup with a CPU quota (as root; version 2 needs cpu in %s/cgroup.subtree_control): %w", root, err)
	}
	for _, l := range limits {
		if err := os.WriteFile(filepath.Join(q.dir, l[0]), []byte(l[1]), 0o644); err != nil {
			q.remove()
			return nil, fmt.Errorf("set a CPU quota: %w", err)
		}
	}
	return q, nil
}

// put puts a process in, with the children that it will have.
func (q *quota) put(pid int) error {
	if err := os.WriteFile(filepath.Join(q.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return fmt.Errorf("put a process under its CPU quota: %w", err)
	}
	return nil
}

// remove removes it when its processes have ended.
func (q *quota) remove() { _ = os.Remove(q.dir) }
