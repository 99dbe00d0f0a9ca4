package servertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// Replica makes a server that follows this one over its replication protocol, and
// starts it. It has whatever this one has committed from then on, and answers reads
// only until it is promoted.
func (p *Postgres) Replica() (*Postgres, error) {
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	r := &Postgres{process: process{dir: dir}, bin: p.bin}
	for _, arg := range p.args {
		r.args = append(r.args, strings.ReplaceAll(arg, p.dir, dir))
	}
	backup, err := r.Command(filepath.Join(p.bin, "pg_basebackup"), "--host", p.dir, "--username", "test", "--pgdata", "data",
		"--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync")
	if err == nil {
		var out []byte
		if out, err = backup.CombinedOutput(); err != nil {
			err = fmt.Errorf("pg_basebackup: %w\n%s", err, out)
		}
	}
	if err == nil {
		err = r.Start()
	}
	if err == nil {
		err = p.exec("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a replica: %w", err), r.Close())
	}
	return r, nil
}

// Promote makes a replica take writes.
func (p *Postgres) Promote() error { return p.exec("SELECT pg_promote()") }

// exec runs statements, each by itself.
func (p *Postgres) exec(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.Address("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it was only asked
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
