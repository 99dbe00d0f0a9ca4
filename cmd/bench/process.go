package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// clockTicks is the unit of CPU time in /proc, per second (USER_HZ is 100 on
// every architecture that Go runs on).
const clockTicks = 100

// command prepares a program in a process group of its own, which is killed
// as a whole when ctx ends: the bench decides who sees a Ctrl-C, and nothing
// outlives it.
func command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// cpuSeconds is the user and system time of processes and of the children
// that they have waited for.
func cpuSeconds(pids ...int) (float64, error) {
	total := 0.0
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		s, err := parseStat(string(stat))
		if err != nil {
			return 0, err
		}
		total += s.cpu
	}
	return total, nil
}

// ownSeconds is the user and system time of a process, without its children.
func ownSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	s, err := parseStat(string(stat))
	return s.own, err
}

// procStat is what the bench reads of /proc/PID/stat.
type procStat struct {
	parent int
	cpu    float64 // seconds, waited-for children included
	own    float64 // without them
}

// parseStat reads a line of /proc/PID/stat (proc_pid_stat(5)). The name in
// parentheses may have anything in it, parentheses too.
func parseStat(line string) (procStat, error) {
	rest := line[strings.LastIndexByte(line, ')')+1:]
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return procStat{}, fmt.Errorf("process state %q is too short", line)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return procStat{}, fmt.Errorf("process state: parent %q", fields[1])
	}
	ticks, own := 0, 0
	for i, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(f)
		if err != nil {
			return procStat{}, fmt.Errorf("process state: time %q", f)
		}
		ticks += n
		if i < 2 {
			own += n
		}
	}
	return procStat{parent, float64(ticks) / clockTicks, float64(own) / clockTicks}, nil
}

// withChildren returns a process and its children.
func withChildren(pid int) []int {
	pids := []int{pid}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if s, err := parseStat(string(stat)); err == nil && s.parent == pid {
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids
}

// residentMiB is the resident memory of a process.
func residentMiB(pid int) (float64, error) { return statusMiB(pid, "VmRSS") }

// statusMiB reads a size of /proc/PID/status (proc_pid_status(5)).
func statusMiB(pid int, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return float64(kilobytes(field(status, name))) / (1 << 20), nil
}
