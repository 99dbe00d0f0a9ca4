package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// load is what wrk measured.
type load struct {
	requests   int
	perSecond  float64
	cpuRequest float64 // of the server, seconds per request
}

// press puts load on an address and charges the server's processes with it.
func press(ctx context.Context, url string, d time.Duration, pids []int) (load, error) {
	program, err := findTool("wrk")
	if err != nil {
		return load{}, err
	}
	before, err := cpuSeconds(pids...)
	if err != nil {
		return load{}, err
	}
	out, err := command(ctx, program, "-t2", "-c32", "-d"+d.String(), url).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	after, err := cpuSeconds(pids...)
	if err != nil {
		return load{}, err
	}
	l, err := parseWrk(string(out))
	if err != nil {
		return load{}, err
	}
	l.cpuRequest = (after - before) / float64(l.requests)
	return l, nil
}

// parseWrk reads what wrk prints. Any failed request is an error: it would
// make the rest look fast.
func parseWrk(out string) (load, error) {
	requests := regexp.MustCompile(`(\d+) requests in `).FindStringSubmatch(out)
	rate := regexp.MustCompile(`Requests/sec:\s+([\d.]+)`).FindStringSubmatch(out)
	bad := regexp.MustCompile(`Non-2xx or 3xx responses: .*|Socket errors: .*`).FindString(out)
	if requests == nil || rate == nil {
		return load{}, fmt.Errorf("wrk printed no rate:\n%s", out)
	}
	if bad != "" {
		return load{}, fmt.Errorf("requests failed: %s", bad)
	}
	n, err := strconv.Atoi(requests[1])
	if err != nil || n == 0 {
		return load{}, fmt.Errorf("wrk made %q requests", requests[1])
	}
	perSecond, err := strconv.ParseFloat(rate[1], 64)
	return load{requests: n, perSecond: perSecond}, err
}
