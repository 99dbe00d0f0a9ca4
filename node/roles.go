package node

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what a node does for its deployment.
type Role string

// The roles. A monolith has all the others.
const (
	RoleMonolith   Role = "monolith"
	RoleGateway    Role = "api-gateway"
	RoleUpload     Role = "upload"
	RoleTranscoder Role = "transcoder"
	RoleStreaming  Role = "streaming"
	RoleMetadata   Role = "metadata"
	RoleMonitor    Role = "monitor"
)

// Roles lists every role, the monolith first.
func Roles() []Role {
	return append([]Role{RoleMonolith}, every()...)
}

func every() []Role {
	return []Role{RoleGateway, RoleUpload, RoleTranscoder, RoleStreaming, RoleMetadata, RoleMonitor}
}

// ParseRoles returns the roles of a list like "upload,transcoder".
func ParseRoles(list string) ([]Role, error) {
	var roles []Role
	for name := range strings.SplitSeq(list, ",") {
		role, err := parseRole(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if len(roles) > 1 && slices.Contains(roles, RoleMonolith) {
		return nil, fmt.Errorf("%q: a monolith has every role; write %s alone, or the others without it", list, RoleMonolith)
	}
	return roles, nil
}

func parseRole(name string) (Role, error) {
	if role := Role(name); slices.Contains(Roles(), role) {
		return role, nil
	}
	names := make([]string, 0, len(Roles()))
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return "", fmt.Errorf("%q is no role; write one of %s", name, strings.Join(names, ", "))
}

// part is a row of the table: a plugin, the roles that run it, and how long
// its Stop may take.
type part struct {
	plugin Plugin
	roles  []Role
	stop   time.Duration
}

const (
	brief = 10 * time.Second
	// jobsEnd covers the 60 s that running jobs get, and giving back the
	// leases of those that did not make it.
	jobsEnd = 70 * time.Second
)

// table is every part of StreamGate in the order of start; the stop is the
// reverse (see the package comment for its reasons). A part may use only what
// stands above it.
func table() []part {
	all := every()
	return []part{
		{operator{}, all, brief},                               // first and last: start and stop can be watched
		{&dataDir{}, all, brief},                               // before anything is written there
		{&registration{}, all, brief},                          // before anything is done in the node's name; left when its jobs have ended
		{trust{}, all, brief},                                  // the certificate by which others know the node
		{&tracing{}, all, brief},                               // spans: sent when all that makes them has ended
		{&tools{}, []Role{RoleTranscoder}, brief},              // ffmpeg
		{&bus{}, all, brief},                                   // events
		{pausing{}, all, brief},                                // hears when the deployment is moved
		{&stores{}, all, brief},                                // records, queue, media, cache
		{auditing{}, all, brief},                               // who changed what
		{authenticating{}, all, brief},                         // who calls
		{chaining{}, []Role{RoleMetadata, RoleGateway}, brief}, // what wallets have
		{&calling{}, all, brief},                               // the services of other nodes

		{&transcoder{}, []Role{RoleTranscoder}, jobsEnd},
		{&uploads{}, []Role{RoleUpload}, brief},   // hands over to the transcoder
		{metadata{}, []Role{RoleMetadata}, brief}, // library and access
		{hooks{}, []Role{RoleMetadata}, brief},    // of the events of all of the above
		{ticketing{}, []Role{RoleStreaming, RoleGateway}, brief},
		{&streaming{}, []Role{RoleStreaming}, brief}, // demands cells of the transcoder
		{monitoring{}, all, brief},
		{edge{}, all, brief}, // REST and RPC over all of the above: on the public port, or the admin socket's alone
		{&consoling{}, []Role{RoleGateway}, brief},

		{admin{}, all, brief},                  // the operator's socket; needs the lock of the stores
		{interior{}, all, brief},               // what other nodes ask of this one
		{public{}, []Role{RoleGateway}, brief}, // accepts last, stops accepting first
		{&announcing{}, all, brief},            // others send work last, and are the first to stop
	}
}

// partsOf picks the rows of roles.
func partsOf(roles []Role, all []part) []part {
	if slices.Contains(roles, RoleMonolith) {
		return all
	}
	return slices.DeleteFunc(all, func(p part) bool {
		return !slices.ContainsFunc(p.roles, func(r Role) bool { return slices.Contains(roles, r) })
	})
}
