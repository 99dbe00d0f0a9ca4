package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"streamgate/app/rpc"
)

// CallerHeader carries, from node to node, on whose behalf a request is made:
// signed with the key of the sender's certificate, for one role, for a moment.
// From anybody else it is worth nothing.
const CallerHeader = "Streamgate-Caller"

// RefusedHeader is in the answer of a node that takes nothing from the sender, and says
// why: another node may.
const RefusedHeader = "Streamgate-Refused"

// callerLife is for how long a signature counts, either way of the receiver's
// clock.
const callerLife = time.Minute

// caller is what CallerHeader says.
type caller struct {
	rpc.Identity
	BaseURL string `json:",omitempty"`
	TraceID string `json:",omitempty"`
	To      string // the role that is called
	At      int64  // Unix milliseconds
}

// Sign writes CallerHeader for a request to a role: who calls is in its context.
func (i *Identity) Sign(r *http.Request, to string) error {
	ctx := r.Context()
	payload, err := json.Marshal(caller{
		Identity: rpc.Caller(ctx), BaseURL: rpc.BaseURL(ctx), TraceID: rpc.TraceID(ctx), To: to, At: time.Now().UnixMilli(),
	})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, i.key(), sum[:])
	if err != nil {
		return err
	}
	r.Header.Set(CallerHeader, encode(payload)+"."+encode(signature))
	return nil
}

// What is wrong with a request from another node.
var (
	ErrNoPeer  = errors.New("a node's certificate is needed")
	ErrCaller  = errors.New(CallerHeader + " is not signed by the node that sends it")
	ErrClock   = errors.New("the clocks of two nodes differ")
	ErrAddress = errors.New("the request is for another role")
	ErrScope   = errors.New("that role may not ask for this")
)

// looks are the procedures by which any node may see how the others are.
var looks = []string{rpc.MonitorGetNodeProcedure, rpc.MonitorGetMetricsHistoryProcedure}

// acts are the procedures that a role's own work needs beside those of viewers. The
// gateway speaks for every caller and metadata for the deployment: they may ask for
// anything, so theirs are the nodes to guard.
var acts = map[string][]string{
	"upload":     {rpc.TranscoderCreateTaskProcedure, rpc.AccessSetVideoRuleProcedure},
	"streaming":  {rpc.TranscoderDemandProcedure},
	"monitor":    {rpc.TranscoderGetMetricsProcedure, rpc.TranscoderListWorkersProcedure},
	"transcoder": {},
}

// mayAct tells whether a node of these roles may ask for a path with a scope.
func mayAct(roles []string, path string) bool {
	for _, role := range roles {
		allowed, bounded := acts[role]
		if !bounded && role != RoleCA || slices.Contains(allowed, path) || slices.Contains(looks, path) {
			return true
		}
	}
	return false
}

// Caller takes a request of another node into the context of whoever it is made
// for. Unexpected errors of it go to log.
func (i *Identity) Caller(r *http.Request, log *slog.Logger) (context.Context, error) {
	peer := Peer(r)
	if peer == nil {
		return nil, ErrNoPeer
	}
	first, second, _ := strings.Cut(r.Header.Get(CallerHeader), ".")
	payload, err := decode(first)
	signature, err2 := decode(second)
	key, ok := peer.PublicKey.(*ecdsa.PublicKey)
	sum := sha256.Sum256(payload)
	if err != nil || err2 != nil || !ok || !ecdsa.VerifyASN1(key, sum[:], signature) {
		return nil, ErrCaller
	}
	var c caller
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCaller, err)
	}
	if off := time.Since(time.UnixMilli(c.At)).Abs(); off > callerLife {
		return nil, fmt.Errorf("%w: node %s is %v off; set both by NTP", ErrClock, peer.Subject.CommonName, off.Round(time.Second))
	}
	if c.To != AnyRole && !slices.Contains(i.roles, c.To) {
		return nil, fmt.Errorf("%w: %s", ErrAddress, c.To)
	}
	if c.Scope > rpc.ScopeNone && !mayAct(rolesOf(peer.DNSNames), r.URL.Path) {
		return nil, fmt.Errorf("%w: %s by node %s with %v", ErrScope, r.URL.Path, peer.Subject.CommonName, rolesOf(peer.DNSNames))
	}
	ctx := rpc.WithIdentity(r.Context(), c.Identity)
	ctx = rpc.WithTrace(ctx, c.TraceID, log)
	return rpc.WithBaseURL(ctx, c.BaseURL), nil
}
