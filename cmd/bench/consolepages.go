package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	consolePageMs = 50  // p99, at most
	consoleLoadKB = 150 // at most
)

// benchConsolePages measures, on a full node, how long the HTML of each page
// takes, of which the slowest page is judged, and how much a browser without a
// cache has to load until a page is there.
func benchConsolePages(ctx context.Context, b *bench) ([]result, error) {
	c, err := b.startConsole(ctx)
	if err != nil {
		return nil, err
	}
	defer c.kill()
	took, err := c.pageTimes(ctx, b.runs(100, 10))
	if err != nil {
		return nil, err
	}
	loads, err := c.pageLoads(ctx)
	if err != nil {
		return nil, err
	}
	slowest := most(took, func(s series) float64 { return s.quantile(0.99) })
	heaviest := most(loads, func(kB float64) float64 { return kB })
	b.logf("   slowest %s, heaviest %s", slowest, heaviest)
	full := fmt.Sprintf("%d tasks and %d videos", consoleTasks, consoleVideos)
	return []result{
		atMostP99(fmt.Sprintf("the console's HTML, %s, the slowest of %d pages (%s)", full, len(took), slowest), consolePageMs, "ms", took[slowest]),
		atMost(fmt.Sprintf("first load of the heaviest page of the console (%s), compressed", heaviest), consoleLoadKB, "kB", series{loads[heaviest]}),
	}, nil
}

// most is the key whose value is the greatest.
func most[V any](of map[string]V, value func(V) float64) string {
	return slices.MaxFunc(slices.Sorted(maps.Keys(of)), func(a, b string) int {
		if value(of[a]) > value(of[b]) {
			return 1
		}
		return -1
	})
}

// pageTimes asks every page so many times in turns: milliseconds until its last
// byte.
func (c *consoleNode) pageTimes(ctx context.Context, times int) (map[string]series, error) {
	client := newClient()
	client.Jar = c.jar
	defer client.CloseIdleConnections()
	took := map[string]series{}
	for range times {
		for _, page := range c.pages() {
			began := time.Now()
			if _, err := c.readPage(ctx, client, page); err != nil {
				return nil, err
			}
			took[page] = append(took[page], time.Since(began).Seconds()*1000)
		}
	}
	return took, nil
}

// readPage returns what a browser that takes gzip gets, unpacked.
func (c *consoleNode) readPage(ctx context.Context, client *http.Client, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != req.URL.Path {
		return "", fmt.Errorf("page %s: %s from %s", path, resp.Status, resp.Request.URL)
	}
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return "", fmt.Errorf("page %s: %w", path, err)
		}
	}
	text, err := io.ReadAll(body)
	return string(text), err
}

// pageLoads returns how many kilobytes come over the wire, headers and all, for
// each page with the scripts, styles and pictures that it names, by a client that
// has none of them yet. Players are pages of their own.
func (c *consoleNode) pageLoads(ctx context.Context) (map[string]float64, error) {
	loads := map[string]float64{}
	for _, page := range c.pages() {
		received := &atomic.Int64{}
		client := &http.Client{Jar: c.jar, Transport: &http.Transport{DialContext: countingDialer(received)}}
		text, err := c.readPage(ctx, client, page)
		if err != nil {
			return nil, err
		}
		for _, part := range partsOfPage(text) {
			if _, err := c.readPage(ctx, client, part); err != nil {
				return nil, err
			}
		}
		client.CloseIdleConnections()
		loads[page] = float64(received.Load()) / 1000
	}
	return loads, nil
}

var loaded = regexp.MustCompile(`<(?:script|img)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"`)

// partsOfPage are the addresses on the node that a page loads.
func partsOfPage(text string) (paths []string) {
	for _, m := range loaded.FindAllStringSubmatch(text, -1) {
		path := strings.ReplaceAll(m[1]+m[2], "&amp;", "&")
		if to, err := url.Parse(path); err == nil && to.Host == "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// countingDialer counts what comes over its connections.
func countingDialer(received *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &countingConn{conn, received}, err
	}
}

type countingConn struct {
	net.Conn
	received *atomic.Int64
}

// Read implements net.Conn.
func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}
