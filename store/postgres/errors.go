package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"streamgate/store"
)

// The server's codes that mean something here (PostgreSQL, appendix A).
const (
	codeUnique        = "23505"
	codeReadOnly      = "25006" // of a standby, or of what was the primary
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeDiskFull      = "53100"
	codeTooMany       = "53300" // connections
	codeIdle          = "25P03" // for too long, within a transaction
	classConnection   = "08"
)

// failure is the error of a call that ended with err. If the caller's context is
// over, that is the reason.
func failure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, puddle.ErrClosedPool):
		return ErrClosed
	case code(err) == codeDiskFull:
		return fmt.Errorf("%w on the database's disk: %w", store.ErrFull, err)
	case code(err) == codeHeld:
		return store.ErrReadOnly
	case code(err) == codeMoved:
		return store.Unavailable(moved(err))
	case unreachable(err):
		return fmt.Errorf("%w: the database cannot be reached: %w", store.ErrUnavailable, err)
	}
	return err
}

// code is the server's code of an error, "" if it is not the server's.
func code(err error) string {
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refusal.Code
	}
	return ""
}

// refused tells whether the server refused a transaction, of which nothing is
// left then.
func refused(err error) bool { return code(err) != "" && !unreachable(err) }

// rolledBack tells whether the server gave a transaction up for another's sake:
// it may be run again as it was.
func rolledBack(err error) bool {
	return slices.Contains([]string{codeDeadlock, codeSerialization}, code(err))
}

// unreachable tells whether there is no server now that would do it.
func unreachable(err error) bool {
	if c := code(err); c != "" {
		// 57P01 to 57P03: it is stopping, has crashed, is starting.
		return strings.HasPrefix(c, classConnection) || strings.HasPrefix(c, "57P") && c != "57P04" || c == codeTooMany || c == codeReadOnly || c == codeIdle
	}
	_, network := errors.AsType[net.Error](err)
	return network || neverConnected(err) || pgconn.Timeout(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed)
}

// lost tells whether a connection ended that there was.
func lost(err error) bool { return unreachable(err) && !neverConnected(err) }

func neverConnected(err error) bool {
	_, yes := errors.AsType[*pgconn.ConnectError](err)
	return yes
}
