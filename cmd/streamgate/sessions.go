package main

import (
	"context"
	"fmt"

	"streamgate/app/rpc"
)

func sessionsList(ctx context.Context, e *env, f *flags) error {
	state, limit, asJSON := f.listFlags()
	video := f.String("video", "", "only those of the video `ID`")
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	sessions, err := pages(*limit, func(size int32, cursor string) ([]*rpc.Session, string, error) {
		r, err := c.access.ListSessions(ctx, &rpc.ListSessionsRequest{Limit: size, Cursor: cursor, State: *state, VideoId: *video})
		return r.GetSessions(), r.GetNextCursor(), err
	})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, &rpc.ListSessionsResponse{Sessions: sessions})
	}
	rows := [][]string{{"ID", "STATE", "VIDEO", "WALLET", "BEGAN", "TICKET UNTIL", "ENDED BECAUSE"}}
	for _, s := range sessions {
		who := s.GetWallet()
		if s.GetPreview() {
			who = "(preview)"
		}
		rows = append(rows, []string{s.GetId(), s.GetState(), s.GetVideoId(), who, when(s.GetCreatedAt()),
			when(s.GetExpiresAt()), s.GetError().GetCode()})
	}
	printRows(e.stdout, rows)
	return nil
}

func sessionsEnd(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	if _, err := c.access.EndSession(ctx, &rpc.EndSessionRequest{Id: args[0]}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Ended session %s.\n", args[0])
	return nil
}

// codesCreate prints the codes alone on stdout, for scripts.
func codesCreate(ctx context.Context, e *env, f *flags) error {
	count := f.Int("count", 1, "how many: `N` from 1 to 1000")
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	out, err := c.access.CreateCodes(ctx, &rpc.CreateCodesRequest{Pool: args[0], Count: int32(*count)})
	if err != nil {
		return c.explain(err)
	}
	for _, code := range out.GetCodes() {
		fmt.Fprintln(e.stdout, code)
	}
	return nil
}

func codesDelete(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	if _, err := c.access.DeleteCodes(ctx, &rpc.DeleteCodesRequest{Pool: args[0]}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Every code of pool %s has ended.\n", args[0])
	return nil
}
