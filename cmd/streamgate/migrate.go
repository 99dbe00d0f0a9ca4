package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"streamgate/node"
)

// migrateCommand moves the deployment of the running node to other stores.
func migrateCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "move the deployment to the stores of another configuration, while it runs",
		Long: `Moves everything from the stores of the running node (a monolith's files, or a
cluster's PostgreSQL and S3) to those that another configuration names, and has the
node go on with that one. Videos play all the time; writes are refused with 503 and
Retry-After for some seconds at the end. Interrupted, it changes nothing but the
target: run it again, and it goes on where it was. What was moved away from stays as
it is and is not used any more: remove it when you do not want to go back.

The other configuration is read from the file, from this command's environment and
--set. The node keeps its data directory. To a cluster: run streamgate ca init first.`,
		Example: "streamgate migrate --to cluster.yaml --dry-run\nstreamgate migrate --to cluster.yaml\nstreamgate migrate --to streamgate.yaml",
		Args:    operands,
	}
	file := cmd.Flags().String("to", "", "the other configuration `FILE`")
	dry := cmd.Flags().Bool("dry-run", false, "tell what there is to move, and change nothing")
	var set []node.Setting
	cmd.Flags().Var(settings{&set}, "set", "set a key of the other configuration, `KEY=VALUE`; may be repeated")
	asJSON := jsonFlag(cmd)
	reads(cmd, configEnv...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file == "" {
			return usagef("migrate: --to FILE is missing; see streamgate migrate --help")
		}
		path, err := filepath.Abs(*file)
		if err != nil {
			return err
		}
		c, err := p.client()
		if err != nil {
			return err
		}
		m := &mover{cli: p, client: c, bar: newProgress(p.env), asJSON: *asJSON}
		return m.run(cmd.Context(), node.MigrateRequest{File: path, Set: set, Env: p.ownEnv(), DryRun: *dry})
	}
	return cmd
}

// ownEnv are the program's variables, but those that say which node to talk to.
func (p *cli) ownEnv() []string {
	return slices.DeleteFunc(slices.Clone(p.vars), func(pair string) bool {
		return !strings.HasPrefix(pair, "STREAMGATE_") || strings.HasPrefix(pair, "STREAMGATE_DATA_DIR=") || strings.HasPrefix(pair, "STREAMGATE_CONFIG=")
	})
}

// mover follows a migration.
type mover struct {
	*cli
	client *client
	bar    *progress
	asJSON bool
	plan   *node.MigratePlan
	last   node.MigrateEvent
	step   string
}

// migrated is what migrate --json prints.
type migrated struct {
	*node.MigratePlan
	Moved bool    `json:"moved"`
	Pause float64 `json:"pause_seconds,omitempty"` // for which writes were refused
}

func (m *mover) run(ctx context.Context, req node.MigrateRequest) error {
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, socketURL+node.MigratePath, bytes.NewReader(data))
	if err != nil {
		return err
	}
	resp, err := m.client.http.Do(ask)
	if err != nil {
		return m.client.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return newStatusError(resp)
	}
	if err := m.follow(resp.Body); err != nil {
		return err
	}
	if req.DryRun {
		return m.tellPlan()
	}
	if err := m.awaitReady(ctx); err != nil {
		return err
	}
	if m.asJSON {
		return printValue(m.stdout, migrated{MigratePlan: m.plan, Moved: true, Pause: m.last.Pause})
	}
	fmt.Fprintf(m.stdout, "The deployment was moved: %d objects, %d records; writes were refused for %.1f s.\nThe node goes on with the other configuration. From now on start it with:\n\n    streamgate %s\n",
		m.last.Objects, m.last.Entries, m.last.Pause, strings.Join(m.plan.Next, " "))
	return nil
}

// errCut: the node ended, or was cut off.
var errCut = errors.New("the node has not said how the migration ended; start it as before if it does not run, and run this again")

// follow reads what the node tells until the end.
func (m *mover) follow(r io.Reader) error {
	lines := json.NewDecoder(r)
	for {
		var e node.MigrateEvent
		if err := lines.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errCut
			}
			return fmt.Errorf("%w (%w)", errCut, err)
		}
		switch {
		case e.Problem != "":
			return errors.New(e.Problem)
		case e.Done:
			return nil
		case e.Plan != nil:
			m.plan = e.Plan
		default:
			m.show(e)
		}
	}
}

// show tells of each step once, and of objects with a bar.
func (m *mover) show(e node.MigrateEvent) {
	if m.last = e; e.Step != m.step {
		m.step = e.Step
		switch e.Step {
		case "objects":
			m.bar.begin("copying objects", m.plan.Bytes)
		case "pause":
			m.bar.note("Writes are refused while the rest is copied.")
		case "verify":
			m.bar.note("Comparing both sides.")
		}
	}
	if e.Step == "objects" {
		m.bar.moved(e.Bytes)
	}
}

// tellPlan prints what a migration would do.
func (m *mover) tellPlan() error {
	if m.asJSON {
		return printValue(m.stdout, migrated{MigratePlan: m.plan})
	}
	records := 0
	for _, n := range m.plan.Tables {
		records += n
	}
	printFields(m.stdout,
		"from", m.plan.From, "to", m.plan.To, "target", targetWords[m.plan.State],
		"objects", fmt.Sprint(m.plan.Objects), "bytes", node.Bytes(m.plan.Bytes).Short(), "copied already", fmt.Sprint(m.plan.Copied),
		"videos", fmt.Sprint(m.plan.Tables["videos"]), "jobs", fmt.Sprint(m.plan.Tables["jobs"]), "records in all", fmt.Sprint(records))
	return nil
}

var targetWords = map[string]string{
	"empty": "empty", "begun": "a move to it has begun, and goes on", "left": "the deployment was moved away from it; what it has is replaced",
}

// awaitReady waits until the node serves on the other configuration.
func (m *mover) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		var ready node.Readiness
		if err := m.client.ask(ctx, http.MethodGet, node.ReadyPath, &ready); err == nil && ready.Boot != m.plan.Boot {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("everything was moved, but the node is not ready; see its log, and start it with: streamgate %s", strings.Join(m.plan.Next, " "))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
