package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is where and when it was measured.
type machine struct {
	date                  time.Time
	cores                 int
	cpu                   string
	memory                int64 // bytes
	kernel                string
	ffmpeg, nginx, golang string
}

func lookAtMachine(ctx context.Context) machine {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	meminfo, _ := os.ReadFile("/proc/meminfo")
	return machine{
		date: time.Now(), cores: runtime.NumCPU(), cpu: field(cpuinfo, "model name"),
		memory: kilobytes(field(meminfo, "MemTotal")), kernel: strings.TrimSpace(string(kernel)),
		ffmpeg: version(ctx, "ffmpeg", "-version"), nginx: version(ctx, "nginx", "-v"), golang: runtime.Version(),
	}
}

func (m machine) lines() []string {
	return []string{
		m.date.UTC().Format("2 January 2006, 15:04 UTC"),
		fmt.Sprintf("%d cores, %s, %.1f GiB of memory", m.cores, m.cpu, float64(m.memory)/(1<<30)),
		"Linux " + m.kernel,
		strings.Join([]string{m.ffmpeg, m.nginx, m.golang}, ", "),
	}
}

// field returns the value of the first "name : value" line; "unknown" if
// there is none.
func field(text []byte, name string) string {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// kilobytes reads "24105 kB" and returns bytes.
func kilobytes(text string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return n << 10
}

// version is the beginning of the first line in which a program says what it is.
func version(ctx context.Context, tool, flag string) string {
	path, err := findTool(tool)
	if err != nil {
		return "no " + tool
	}
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, " Copyright")
	return strings.TrimPrefix(line, "nginx version: ")
}
