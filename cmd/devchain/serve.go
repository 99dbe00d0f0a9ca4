package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"streamgate/cmd/devchain/devnet"
)

// serve runs a chain until ctx ends.
func serve(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:8545", "address of the JSON-RPC server")
	chain := flags.Uint64("chain-id", devnet.DefaultChainID, "chain id")
	blockTime := flags.Duration("block-time", 0, "make a block at this interval; 0: for each transaction")
	demo := flags.Bool("demo", false, "give the holder the demo token")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 || *blockTime < 0 {
		return fmt.Errorf("serve: %w", errUsage)
	}
	n, err := devnet.Start(ctx, devnet.Options{Listen: *listen, ChainID: *chain, BlockTime: blockTime.Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	if *demo {
		if err := n.MintDemo(ctx); err != nil {
			return errors.Join(err, n.Close())
		}
	}
	if err := printNet(stdout, n.Client, *asJSON); err != nil {
		return errors.Join(err, n.Close())
	}
	<-ctx.Done()
	return n.Close()
}
