package monitor

import (
	"bytes"
	"math"
	"os"
	"runtime"
	"strconv"
)

// machine is what Linux says of the machine; NaN where there is no Linux.
type machine struct {
	busy             float64 // seconds of all cores since it was started
	available, total float64 // memory, bytes
}

func readMachine() machine {
	m := machine{math.NaN(), math.NaN(), math.NaN()}
	if data, err := os.ReadFile("/proc/stat"); err == nil {
		m.busy = busySeconds(data)
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.available, m.total = memoryOf(data, "MemAvailable:"), memoryOf(data, "MemTotal:")
	}
	return m
}

// ticks are what /proc/stat counts in: USER_HZ, which is 100 everywhere.
const ticks = 100

// busySeconds reads the first line of /proc/stat (proc_stat(5)): user nice
// system idle iowait irq softirq steal, and guest times, which user has too.
func busySeconds(stat []byte) float64 {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 8 || string(fields[0]) != "cpu" {
		return math.NaN()
	}
	sum := 0.0
	for i, field := range fields[1:min(9, len(fields))] {
		n, err := strconv.ParseFloat(string(field), 64)
		if err != nil {
			return math.NaN()
		}
		if i != 3 && i != 4 { // idle, iowait
			sum += n
		}
	}
	return sum / ticks
}

// memoryOf reads a line of /proc/meminfo (proc_meminfo(5)), as bytes.
func memoryOf(info []byte, name string) float64 {
	for line := range bytes.Lines(info) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != name {
			continue
		}
		if n, err := strconv.ParseFloat(string(fields[1]), 64); err == nil {
			return n * 1024
		}
	}
	return math.NaN()
}

// cores is how many the machine has.
func cores() float64 { return float64(runtime.NumCPU()) }
