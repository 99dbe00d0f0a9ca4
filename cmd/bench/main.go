// Bench measures a node against its targets, side by side with what people
// would use instead.
//
// # Usage
//
//	go run ./cmd/bench -binary bin/streamgate -peers bin/bench-peers [-out RESULTS.md] [-rows NAME,…] [-quick]
//
// It prints a table of what was measured, with the machine and the date, and
// with -out writes it to a file. -rows picks rows by name ("-rows help" lists
// them); -quick makes fewer and shorter runs, to see that a row works rather
// than to know its number. Rows that miss their target do not make it fail;
// rows that could not be measured do.
//
// The clip named by -clip, if it is there, is what the sources are made of,
// else ffmpeg draws something. Sources are made once and kept in -cache (about
// 6 GB); everything else is removed at the end, also after Ctrl-C, and every
// program that was started is ended. Whatever listens does so on loopback.
//
// # What the numbers mean
//
// Rows measure real processes from outside: the node is the binary, run with an
// empty data directory and free ports; CPU time is what the kernel charged to
// the process and the children it has waited for. The rows ticket, decision,
// sign-in, queue and depth run the node's own code in the bench's process
// instead, which is therefore built as the node is, without cgo; cluster-queue runs it
// in processes of the bench. The rows cluster-… and migration have the servers of a
// cluster, of which make bench builds MinIO and Consul. Chains are development chains,
// each a process of its own, with a block for each transaction. What is compared
// is measured in the same run in turns, A B A B, and the medians are compared:
// the ratio then says little about the machine and how busy it was. The
// measured column is "median (least–most)", or percentiles where it says so.
//
// # Testing
//
// The readers of what other programs print, the statistics and the table are
// tested beside the code; the rows themselves by running them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		if serve, ok := helpers()[os.Args[1]]; ok {
			exit(serve(os.Stdin, os.Stdout))
		}
	}
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // the second signal ends the process
	exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func exit(err error) {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "bench: stopped; everything it started is ended")
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(1)
}

// bench is what every row needs.
type bench struct {
	binary  string
	peers   string // the program of the folder peers
	quick   bool
	dir     string // removed at the end
	sources *sources
	log     io.Writer
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

// runs is how many runs a row makes: few of them if the bench is quick.
func (b *bench) runs(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	binary := f.String("binary", "bin/streamgate", "the program to measure")
	peers := f.String("peers", "bin/bench-peers", "the program that measures other queues")
	out := f.String("out", "", "also write the table to this `file`")
	names := f.String("rows", "", "rows to measure, by `name`, comma-separated; default all")
	quick := f.Bool("quick", false, "fewer and shorter runs")
	clip := f.String("clip", "../shared/media/bbb480.mp4", "what sources are made of, if it is there: at least 30 s with sound")
	cache := f.String("cache", filepath.Join(os.TempDir(), "streamgate-bench-sources"), "where sources are kept between runs")
	if err := f.Parse(args); err != nil {
		return err
	}
	picked, err := pick(rows(), *names)
	if err != nil {
		return err
	}
	for _, r := range picked {
		if err := r.haveTools(); err != nil {
			return err
		}
	}
	program, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("no program to measure: %w; make build-monolith builds it", err)
	}
	dir, err := os.MkdirTemp("", "streamgate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{
		binary: program, peers: *peers, quick: *quick, dir: dir, log: stderr,
		sources: &sources{dir: *cache, clip: *clip, log: stderr},
	}
	report := b.measure(ctx, picked)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	report.machine = lookAtMachine(ctx)
	report.quick = *quick
	fmt.Fprint(stdout, report.markdown())
	if *out != "" {
		if err := os.WriteFile(*out, []byte(report.markdown()), 0o644); err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
	}
	if len(report.failed) > 0 {
		return fmt.Errorf("not measured: %s", strings.Join(report.failed, ", "))
	}
	return nil
}

// measure runs the rows one after another; one that fails does not stop the rest.
func (b *bench) measure(ctx context.Context, picked []row) *report {
	rep := &report{}
	for _, r := range picked {
		b.logf("== %s", r.name)
		results, err := r.run(ctx, b)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			b.logf("%s: %v", r.name, err)
			rep.failed = append(rep.failed, r.name)
			results = append(results, result{what: r.name, measured: "could not be measured"})
		}
		for _, res := range results {
			b.logf("   %s: %s %s %s", res.what, res.measured, res.ratio, res.verdict())
		}
		rep.results = append(rep.results, results...)
	}
	return rep
}
