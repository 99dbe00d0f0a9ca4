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

// WriteChainCheck checks all endpoints and writes what was found, a line for
// each finding and one for its mend. It fails if an endpoint cannot be used.
func WriteChainCheck(ctx context.Context, cfg *Config, w io.Writer) error {
	if len(cfg.Chains) == 0 {
		_, err := fmt.Fprintln(w, "No chain is configured; list some under chains, each with its id and urls.")
		return err
	}
	found, err := CheckChains(ctx, cfg)
	if err != nil {
		return err
	}
	endpoint, faulty := "", 0
	for _, f := range found {
		if name := f.Chain + ", " + f.Endpoint; name != endpoint {
			endpoint = name
			fmt.Fprintln(w, name)
		}
		mark := "ok  "
		switch {
		case !f.Works:
			mark, faulty = "BAD ", faulty+1
		case f.Mend != "":
			mark = "note"
		}
		fmt.Fprintf(w, "  %s %-16s %s\n", mark, f.What, f.State)
		if f.Mend != "" {
			fmt.Fprintf(w, "       %-16s %s\n", "", f.Mend)
		}
	}
	if faulty > 0 {
		return fmt.Errorf("%d of %d checks found an endpoint that cannot be used", faulty, len(found))
	}
	return nil
}
