package node

import (
	"context"
	"fmt"
	"io"
	"sync"

	"streamgate/app/access/evm"
)

// ChainFinding is what was found about one thing that a chain's endpoint must
// do.
type ChainFinding = evm.Finding

// CheckChains tries all endpoints of a checked configuration, at the same time.
func CheckChains(ctx context.Context, cfg *Config) ([]ChainFinding, error) {
	found, errs := make([][]ChainFinding, len(cfg.Chains)), make([]error, len(cfg.Chains))
	var all sync.WaitGroup
	for i := range cfg.Chains {
		all.Go(func() { found[i], errs[i] = evm.Check(ctx, cfg.Chains[i].evmConfig()) })
	}
	all.Wait()
	var list []ChainFinding
	for i := range cfg.Chains {
		if errs[i] != nil {
			return nil, fmt.Errorf("chain %d: %w", cfg.Chains[i].ID, errs[i])
		}
		list = append(list, found[i]...)
	}
	return list, nil
}

// WriteChainCheck writes what CheckChains found, a line for each finding and
// one for its mend.
func WriteChainCheck(w io.Writer, found []ChainFinding) {
	endpoint := ""
	for _, f := range found {
		if name := f.Chain + ", " + f.Endpoint; name != endpoint {
			endpoint = name
			fmt.Fprintln(w, name)
		}
		mark := "ok  "
		switch {
		case !f.Works:
			mark = "BAD "
		case f.Mend != "":
			mark = "note"
		}
		fmt.Fprintf(w, "  %s %-16s %s\n", mark, f.What, f.State)
		if f.Mend != "" {
			fmt.Fprintf(w, "       %-16s %s\n", "", f.Mend)
		}
	}
}
