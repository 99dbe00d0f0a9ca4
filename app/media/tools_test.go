package media

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// shell runs a script whose pipes are 3 and 4.
func shell(script string, pipes ...func(io.Reader) error) run {
	return run{path: "sh", args: []string{"-c", script}, pipes: pipes}
}

func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func TestRun(t *testing.T) {
	errOurs := errors.New("ours")
	for name, c := range map[string]struct {
		run  run
		want error
		says string
	}{
		"well":                    {run: shell("echo a >&3; echo b >&4", drain, drain)},
		"child fails":             {run: shell("echo oh no >&2; exit 3", drain), says: "exit status 3: oh no"},
		"child fails, pipe cut":   {run: shell("echo oh no >&2; exit 3", func(r io.Reader) error { _ = drain(r); return errCut }), says: "oh no"},
		"pipe cut":                {run: shell("exit 0", func(r io.Reader) error { _ = drain(r); return errCut }), want: errCut},
		"reader fails":            {run: shell("cat /dev/zero >&3", func(io.Reader) error { return errOurs }), want: errOurs},
		"reader's unexpected EOF": {run: shell("cat /dev/zero >&3", func(io.Reader) error { return io.ErrUnexpectedEOF }), want: io.ErrUnexpectedEOF},
		"other reader fails":      {run: shell("cat /dev/zero >&3", drain, func(io.Reader) error { return errOurs }), want: errOurs},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.run.do(t.Context())
			switch {
			case c.want == nil && c.says == "" && err != nil,
				c.want != nil && !errors.Is(err, c.want),
				c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRunCancelled(t *testing.T) {
	errWhy := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := shell("cat /dev/zero >&3", func(r io.Reader) error { cancel(errWhy); return drain(r) }).do(ctx)
	if !errors.Is(err, errWhy) {
		t.Fatal(err)
	}
}
