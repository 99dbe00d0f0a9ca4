package servertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions tune a server. The zero value is for tests: what it has written
// outlives its end, but not that of the machine.
type PostgresOptions struct {
	// Settings are further ones, name=value.
	Settings []string
	// Durable syncs, as a server in use does.
	Durable bool
}

// Postgres is a PostgreSQL of its own, whose user test may do anything.
type Postgres struct {
	process
	bin  string
	args []string
}

// StartPostgres makes a server and starts it; ErrMissing.
func StartPostgres(opts PostgresOptions) (*Postgres, error) {
	bin := newestBin()
	if bin == "" {
		return nil, fmt.Errorf("PostgreSQL (Debian's package postgresql): %w", ErrMissing)
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	p := &Postgres{process: process{dir: dir}, bin: bin}
	p.args = []string{"-D", "data", "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=150", "-c", "shared_buffers=128MB"}
	if !opts.Durable {
		p.args = append(p.args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	for _, setting := range opts.Settings {
		p.args = append(p.args, "-c", setting)
	}
	if err = p.initialise(); err == nil {
		err = p.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

func (p *Postgres) initialise() error {
	initdb, err := p.Command(filepath.Join(p.bin, "initdb"), "--pgdata", "data", "--username", "test", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
	if err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// Start starts a server that was stopped or killed, and waits until it answers.
func (p *Postgres) Start() error {
	// One that was killed leaves its socket behind, which a new one takes over.
	cmd, err := p.Command(filepath.Join(p.bin, "postgres"), p.args...)
	if err != nil {
		return err
	}
	return p.launch(cmd, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, p.Address("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Stop sends the clients away and stops the server in order.
func (p *Postgres) Stop() error { return p.end(syscall.SIGINT) }

// Kill stops it as a crash would: what it had not committed is lost.
func (p *Postgres) Kill() error { return p.end(syscall.SIGQUIT) }

// Close stops the server and removes all it had.
func (p *Postgres) Close() error {
	defer os.RemoveAll(p.dir)
	return p.Stop()
}

// Dir is the scratch directory, which has the server's socket.
func (p *Postgres) Dir() string { return p.dir }

// Address is a database's.
func (p *Postgres) Address(database string) string {
	return "host=" + p.dir + " user=test dbname=" + database
}

// Command prepares a program that runs in the scratch directory as the server's
// user, and ends with this process.
func (p *Postgres) Command(path string, args ...string) (*exec.Cmd, error) {
	return p.command("postgres", path, args...)
}
