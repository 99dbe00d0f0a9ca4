// Streamgate is a self-hosted video platform in one program: upload a video,
// and seconds later it plays as HLS and DASH. This is its manual; "streamgate
// COMMAND --help" has each command's flags and examples.
//
// # Running a node
//
//	streamgate [serve] [--data DIR] [--listen ADDR] [--config FILE] [--set KEY=VALUE]… [--role ROLES]
//
// Without arguments the node listens on http://127.0.0.1:8080 and keeps its
// data in the data directory (see data_dir in "streamgate config print").
// --listen sets api_gateway.host and api_gateway.port; --set sets any key of
// the configuration, whose reference is packaging/config/streamgate.yaml. The
// command line beats the environment (STREAMGATE_API_GATEWAY_PORT …), which
// beats the file: --config, else $STREAMGATE_CONFIG, else ./config.yaml, else
// /etc/streamgate/streamgate.yaml.
//
// The roles are those of --role (--role upload,streaming), else what follows
// "streamgate-" in the name by which the program was called, else monolith, which
// is everything. Others than that need deployment.mode: cluster.
//
// The operator's listener (monitor.listen, 127.0.0.1:6060) has /healthz,
// /readyz, /metrics and /debug/pprof/. SIGTERM or SIGINT stops the node in
// order: it stops accepting, lets running jobs end (up to 60 s), then exits
// with 0. A second signal ends it at once; unfinished work is then resumed at
// the next start.
//
// # Talking to a node
//
// All other commands but ca, doctor, healthcheck, config and version use the admin
// socket in the node's data directory: run them on the node's machine, as its
// user, with the same --data DIR or --config FILE. They need no key.
//
// With --json a command prints one JSON value: the resource as the REST API
// answers it (app/gateway/openapi.json). What has no end (events, push --watch)
// prints a value on each line. An error is then a JSON object on standard
// error, like the API's problems.
//
// push uploads videos, follows their transcode and prints where to watch them.
// If it is interrupted, the same command continues where it stopped. keys
// create prints the key alone, so that KEY=$(streamgate keys create --scope
// admin) works; it is shown only once.
//
// migrate --to FILE moves everything that the running node keeps to the stores that
// another configuration names, from files to PostgreSQL and S3 or back, and has the
// node go on with that one. Videos play all the time; writes are refused for some
// seconds. --dry-run tells what there is to move; interrupted, it goes on.
//
// # Exit codes
//
// 0 success, 1 failure (the last line of standard error says why), 2 wrong
// usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // the second signal ends the process
	os.Exit(run(ctx, &env{
		name: os.Args[0], vars: os.Environ(),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, terminal: isTerminal(os.Stderr),
	}, os.Args[1:]))
}
