package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func sessionsCommand(p *cli) *cobra.Command {
	return group("sessions", "make, list and end viewers' sessions", sessionsCreate(p), sessionsList(p), sessionsEnd(p))
}

func sessionsCreate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create VIDEO", Short: "make a session and print where the video plays in it",
		Long:    "Without --wallet no rule is asked. The links hold a secret, and end after streaming.session_ttl.",
		Example: "streamgate sessions create VIDEO\nstreamgate sessions create VIDEO --wallet 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
	}
	wallet := cmd.Flags().String("wallet", "", "view as this `WALLET`, under the video's rule")
	vaults := cmd.Flags().StringArray("vault", nil, "a cold `WALLET` for which it acts; may be repeated")
	code := cmd.Flags().String("code", "", "a ticket `CODE`, where the rule asks for one")
	password := cmd.Flags().String("password-file", "", "the password, where the rule asks for one, in `FILE`, - for standard input")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Session, error) {
		secret, err := readPassword(p.env, *password)
		if err != nil {
			return nil, err
		}
		return c.access.CreateSession(ctx, &rpc.CreateSessionRequest{
			VideoId: args[0], Wallet: *wallet, Vaults: *vaults, Code: *code, Password: secret,
		})
	}, func(w io.Writer, s *rpc.Session, _ []string) {
		printFields(w, "id", s.GetId(), "watch", s.GetWatchUrl(), "hls", s.GetHlsUrl(), "dash", s.GetDashUrl(), "until", when(s.GetExpiresAt()))
	})
}

// maxPassword bounds what is read of a password's file, bytes.
const maxPassword = 4096

// readPassword reads the first line of a file; a command line is seen by every
// user of the machine.
func readPassword(e *env, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	in := e.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPassword))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

func sessionsList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list who is watching, newest first", Example: "streamgate sessions list --state live"}
	limit := limitFlag(cmd)
	state := choiceFlag(cmd, "state", "", "only those in this `STATE`", "live", "ended")
	video := cmd.Flags().String("video", "", "only those of the video with this `ID`")
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListSessionsResponse, error) {
		sessions, err := pages(limit.value, func(size int32, cursor string) ([]*rpc.Session, string, error) {
			r, err := c.access.ListSessions(ctx, &rpc.ListSessionsRequest{Limit: size, Cursor: cursor, State: state.value, VideoId: *video})
			return r.GetSessions(), r.GetNextCursor(), err
		})
		return &rpc.ListSessionsResponse{Sessions: sessions}, err
	}, func(w io.Writer, r *rpc.ListSessionsResponse, _ []string) {
		rows := [][]string{{"ID", "STATE", "VIDEO", "WALLET", "BEGAN", "TICKET UNTIL", "ENDED BECAUSE"}}
		for _, s := range r.GetSessions() {
			who := s.GetWallet()
			if s.GetPreview() {
				who = "(preview)"
			}
			rows = append(rows, []string{s.GetId(), s.GetState(), s.GetVideoId(), who, when(s.GetCreatedAt()),
				when(s.GetExpiresAt()), s.GetError().GetCode()})
		}
		printRows(w, rows)
	})
}

func sessionsEnd(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "end ID", Short: "end a session on every node", Example: "streamgate sessions end ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.EndSessionResponse, error) {
		return c.access.EndSession(ctx, &rpc.EndSessionRequest{Id: args[0]})
	}, say[*rpc.EndSessionResponse]("Ended session %s."))
}
